// The losses of the playground with their gradients, under the names of companion/core: the nominal ones, the two other
// attractors, and the other formulas of companion/core/forms.py; tests/test_playground.py holds them together.

const pairs = (neurons) => Math.max(neurons * (neurons - 1), 1);

// mean_i [-τ log Σ_k exp(-(p_i - q_k)²/τ)] of points p, candidates q; `add` takes `factor` times its derivative by p_i - q_k.
function softNearest(points, candidates, share, factor, temperature, add) {
  const count = points.length, others = candidates.length;
  let value = 0;
  for (let i = 0; i < count; i++) {
    let nearest = Infinity, total = 0; // exponents are taken from the nearest candidate's, so that one of them is 0
    for (let k = 0; k < others; k++) nearest = Math.min(nearest, (points[i] - candidates[k]) ** 2);
    for (let k = 0; k < others; k++)
      total += share[k] = Math.exp((nearest - (points[i] - candidates[k]) ** 2) / temperature);
    value += (nearest - temperature * Math.log(total)) / count;
    const r = (2 * factor) / (count * total);
    for (let k = 0; k < others; k++) add(i, k, r * share[k] * (points[i] - candidates[k]));
  }
  return value;
}

// The place of the first of the nearest of some points; `but` is left out.
function nearestTo(at, points, but = -1) {
  let place = -1, least = Infinity;
  for (let k = 0; k < points.length; k++)
    if (k !== but && (at - points[k]) ** 2 < least) [least, place] = [(at - points[k]) ** 2, k];
  return place;
}

// mean over j ≠ k of what `closeness` of d = x̂_j - x̂_k is, which returns its value and its derivative by d.
function separated({ neurons, positions, pull }, factor, closeness) {
  const r = 2 / pairs(neurons); // a pair is met once and counted twice
  let value = 0;
  for (let j = 0; j < neurons; j++) for (let k = 0; k < j; k++) {
    const [near, slope] = closeness(positions[j] - positions[k]);
    value += r * near;
    pull[j] += factor * r * slope;
    pull[k] -= factor * r * slope;
  }
  return value;
}

// mean over j ≠ k of (mean_i v_ij v_ik)², with v the responses or, less a number for each neuron, centred ones.
function productsSquared({ samples, neurons, push }, factor, v) {
  const r = 2 / pairs(neurons);
  let value = 0;
  for (let j = 0; j < neurons; j++) for (let k = 0; k < j; k++) {
    let product = 0;
    for (let row = 0; row < v.length; row += neurons) product += v[row + j] * v[row + k];
    product /= samples;
    value += r * product ** 2;
    const g = (factor * r * 2 * product) / samples;
    for (let row = 0; row < v.length; row += neurons) {
      push[row + j] += g * v[row + k];
      push[row + k] += g * v[row + j];
    }
  }
  return value;
}

// One entry a loss. It returns its value and adds `factor` times its derivatives to net.push (by the responses h_ij),
// net.pull (by the prototypes x̂_j) or net.gradient itself (by a and c). A further loss is one more entry.
export const LOSSES = {
  fit(net, factor) { // mean_i (f(x_i) - y_i)²
    const { samples, neurons, h, a, y, push, slope, gradient } = net, last = 3 * neurons;
    let value = 0;
    for (let i = 0, row = 0; i < samples; i++, row += neurons) {
      let error = net.theta[last] - y[i];
      for (let j = 0; j < neurons; j++) error += a[j] * h[row + j];
      value += error ** 2 / samples;
      const r = (factor * 2 * error) / samples;
      for (let j = 0; j < neurons; j++) {
        push[row + j] += r * a[j];
        slope.a[j] += r * h[row + j];
      }
      gradient[last] += r;
    }
    return value;
  },
  overlap({ samples, neurons, h, push }, factor) { // mean over i, j ≠ k of h_ij h_ik
    const count = samples * pairs(neurons), r = (2 * factor) / count;
    let value = 0;
    for (let i = 0, row = 0; i < samples; i++, row += neurons) {
      let sum = 0; // Σ_{j≠k} h_ij h_ik = Σ_j h_ij (Σ_k h_ik - h_ij)
      for (let j = 0; j < neurons; j++) sum += h[row + j];
      for (let j = 0; j < neurons; j++) {
        value += (h[row + j] * (sum - h[row + j])) / count;
        push[row + j] += r * (sum - h[row + j]);
      }
    }
    return value;
  },
  coverage: (net, factor, temperature) => // mean_i [-τ log Σ_j exp(-(x_i - x̂_j)²/τ)]
    softNearest(net.x, net.positions, net.share, factor, temperature, (i, j, g) => { net.pull[j] -= g; }),
  chamfer: (net, factor, temperature) => LOSSES.coverage(net, factor, temperature) + // and its mirror image
    softNearest(net.positions, net.x, net.share, factor, temperature, (j, i, g) => { net.pull[j] += g; }),
  transport({ samples, x, positions, pull, order, places }, factor) { // mean_k (x_(k) - x̂_(k))², both in order
    let value = 0;
    places.sort((j, k) => positions[j] - positions[k] || j - k);
    for (let k = 0; k < samples; k++) {
      const d = positions[places[k]] - x[order[k]];
      value += (d * d) / samples;
      pull[places[k]] += (2 * factor * d) / samples;
    }
    return value;
  },
  separation: (net, factor, temperature) => separated(net, factor, (d) => { // mean over j ≠ k of exp(-(x̂_j - x̂_k)²/τ)
    const near = Math.exp(-(d * d) / temperature);
    return [near, (-2 * d * near) / temperature];
  }),

  "squared Gram": (net, factor) => productsSquared(net, factor, net.h),
  "squared covariance"(net, factor) { // the mean's own derivative adds nothing: centred responses sum to 0
    const { samples, neurons } = net, mean = new Float64Array(neurons);
    net.h.forEach((h, at) => { mean[at % neurons] += h / samples; });
    return productsSquared(net, factor, net.h.map((h, at) => h - mean[at % neurons]));
  },
  cosine({ samples, neurons, h, push }, factor) { // mean over j ≠ k of u_j·u_k, with u_j = h_j / |h_j|
    const r = 2 / pairs(neurons), norm = new Float64Array(neurons), along = new Float64Array(neurons);
    h.forEach((response, at) => { norm[at % neurons] += response ** 2; });
    const shortest = 1e-8, length = norm.map((square) => Math.max(Math.sqrt(square), shortest));
    const sums = new Float64Array(samples), u = h.map((response, at) => response / length[at % neurons]);
    u.forEach((value, at) => { sums[Math.floor(at / neurons)] += value; });
    const others = u.map((value, at) => sums[Math.floor(at / neurons)] - value); // Σ_{k≠j} u_k
    u.forEach((value, at) => { along[at % neurons] += value * others[at]; });
    for (let at = 0; at < h.length; at++) { // a length that stands still at `shortest` has no derivative
      const j = at % neurons, still = Math.sqrt(norm[j]) < shortest;
      push[at] += (factor * r * (others[at] - (still ? 0 : u[at] * along[j]))) / length[j];
    }
    return along.reduce((sum, value) => sum + value, 0) / pairs(neurons);
  },
  "nearest prototype"({ samples, x, positions, pull }, factor) { // mean_i min_j (x_i - x̂_j)²
    let value = 0;
    for (let i = 0; i < samples; i++) {
      const j = nearestTo(x[i], positions), d = positions[j] - x[i];
      value += (d * d) / samples;
      pull[j] += (2 * factor * d) / samples;
    }
    return value;
  },
  "largest response"({ samples, neurons, h, push }, factor) { // 1 - mean_i max_j h_ij
    let value = 0;
    for (let row = 0; row < h.length; row += neurons) {
      const responses = h.subarray(row, row + neurons), largest = Math.max(...responses);
      value += (1 - largest) / samples;
      push[row + responses.indexOf(largest)] -= factor / samples;
    }
    return value;
  },
  "soft assignment"({ samples, neurons, x, positions, share, pull }, factor, temperature) { // mean_i Σ_j p_ij (x_i - x̂_j)²
    let value = 0;
    for (let i = 0; i < samples; i++) {
      const least = (x[i] - positions[nearestTo(x[i], positions)]) ** 2;
      let total = 0, sum = 0;
      for (let j = 0; j < neurons; j++) {
        const squared = (x[i] - positions[j]) ** 2;
        total += share[j] = Math.exp((least - squared) / temperature);
        sum += share[j] * squared;
      }
      value += sum / total / samples;
      for (let j = 0; j < neurons; j++) {
        const d = positions[j] - x[i], r = (share[j] / total) * (1 - (d * d - sum / total) / temperature);
        pull[j] += (2 * factor * r * d) / samples;
      }
    }
    return value;
  },
  "exp(-d/√τ)": (net, factor, temperature) => separated(net, factor, (d) => {
    const near = Math.exp(-Math.abs(d) / Math.sqrt(temperature));
    return [near, (-Math.sign(d) * near) / Math.sqrt(temperature)];
  }),
  "1/(1+d²/τ)": (net, factor, temperature) => separated(net, factor, (d) => {
    const near = 1 / (1 + (d * d) / temperature);
    return [near, ((-2 * d) / temperature) * near ** 2];
  }),
  "nearest neighbour"({ neurons, positions, pull }, factor, temperature) { // mean_j exp(-min_{k≠j} (x̂_j - x̂_k)²/τ)
    let value = 0;
    for (let j = 0; j < neurons; j++) {
      const k = nearestTo(positions[j], positions, j), d = positions[j] - positions[k];
      const near = Math.exp(-(d * d) / temperature) / neurons, r = (2 * factor * d * near) / temperature;
      value += near;
      pull[j] -= r;
      pull[k] += r;
    }
    return value;
  },
};

// The loss that each level of a setting stands for: the nominal level's has a name of its own.
const levels = (nominal, loss, ...others) => ({ [nominal]: loss, ...Object.fromEntries(others.map((level) => [level, level])) });
export const FORMS = {
  overlap_form: levels("product", "overlap", "cosine", "squared Gram", "squared covariance"),
  coverage_form: levels("soft minimum", "coverage", "nearest prototype", "largest response", "soft assignment"),
  separation_form: levels("exp(-d²/τ)", "separation", "exp(-d/√τ)", "1/(1+d²/τ)", "nearest neighbour"),
};
// How many terms a structural loss's mean is over.
export function terms(loss, samples, neurons) {
  if (loss === "overlap") return samples * pairs(neurons);
  if (loss === "squared Gram") return samples ** 2 * pairs(neurons);
  if (loss === "nearest neighbour") return neurons;
  const overPairs = [FORMS.overlap_form, FORMS.separation_form].some((form) => Object.values(form).includes(loss));
  return overPairs ? pairs(neurons) : samples;
}
