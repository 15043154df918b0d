// The science of the playground: the network, its losses with their gradients, Adam, the metrics. Definitions and names
// are those of companion/{model,losses,train,metrics}.py; tests/test_playground.py holds the two together.

export const TARGETS = { sine: (x) => 0.5 * (1 + Math.sin(2 * Math.PI * x)), line: (x) => x,
  step: (x) => Number(x >= 0.5), chirp: (x) => 0.5 * (1 + Math.sin(6 * Math.PI * x * x)) };
export const SWITCHES = ["overlap", "coverage", "separation"]; // in the order of a mask's three bits
export const ATTRACTORS = ["coverage", "chamfer", "transport"]; // what the middle bit switches on
export const MASK_NAMES = {
  "000": "Std", "001": "Sep", "010": "Cov", "011": "Cov+Sep", "100": "Ovl", "101": "Ovl+Sep", "110": "Ovl+Cov", "111": "Full",
};
const each = (names, value) => Object.fromEntries(names.map((name, k) => [name, value(name, k)]));

// h_ij = exp(-(w_j x_i + b_j)²), an array of neurons for each sample.
export const activations = (x, w, b) =>
  Array.from(x, (at) => Float64Array.from(w, (wj, j) => Math.exp(-((wj * at + b[j]) ** 2))));
// f(x_i) = Σ_j a_j h_ij + c.
export const predict = (x, { w, b, a, c }) =>
  Float64Array.from(activations(x, w, b), (row) => row.reduce((sum, h, j) => sum + a[j] * h, 0) + c);
// x̂_j = -b_j / w_j; no finite number where a weight is 0.
export const prototypes = (w, b) => Float64Array.from(w, (wj, j) => -b[j] / wj);

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
    const count = samples * Math.max(neurons * (neurons - 1), 1), r = (2 * factor) / count;
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
  separation({ neurons, positions, pull }, factor, temperature) { // mean over j ≠ k of exp(-(x̂_j - x̂_k)²/τ)
    const count = Math.max(neurons * (neurons - 1), 1), r = (4 * factor) / (count * temperature);
    let value = 0;
    for (let j = 0; j < neurons; j++) for (let k = 0; k < j; k++) { // a pair is met once and counted twice
      const d = positions[j] - positions[k], g = Math.exp(-(d * d) / temperature);
      value += (2 * g) / count;
      pull[j] -= r * d * g;
      pull[k] += r * d * g;
    }
    return value;
  },
};
const TERMS = Object.entries(LOSSES);

// A network on its data, with all that a step writes to; theta and gradient hold w, b, a and c one after another.
export class Network {
  constructor(x, y, { w, b, a, c }) {
    const samples = x.length, neurons = w.length, part = (flat, k) => flat.subarray(k * neurons, (k + 1) * neurons);
    const split = (flat) => ({ w: part(flat, 0), b: part(flat, 1), a: part(flat, 2) });
    const theta = Float64Array.of(...w, ...b, ...a, c), gradient = theta.slice();
    const order = Int32Array.from(x.keys()).sort((i, k) => x[i] - x[k] || i - k), places = Int32Array.from(w.keys());
    Object.assign(this, { samples, neurons, x, y, order, places, theta, gradient, slope: split(gradient) }, split(theta));
    for (const name of ["h", "z", "push"]) this[name] = new Float64Array(samples * neurons);
    for (const name of ["positions", "pull"]) this[name] = new Float64Array(neurons);
    this.share = new Float64Array(Math.max(samples, neurons));
  }
  get parameters() { return { w: this.w, b: this.b, a: this.a, c: this.theta.at(-1) }; }
  // Write dL/d(w, b, a, c) of L = Σ factors[name] · loss into this.gradient; return L.
  differentiate(factors, temperature) {
    const { samples, neurons, x, w, b, h, z, push, positions, pull, slope } = this;
    push.fill(0), pull.fill(0), this.gradient.fill(0);
    for (let j = 0; j < neurons; j++) positions[j] = -b[j] / w[j];
    for (let i = 0, at = 0; i < samples; i++) for (let j = 0; j < neurons; j++, at++) {
      z[at] = w[j] * x[i] + b[j];
      h[at] = Math.exp(-z[at] * z[at]);
    }
    let total = 0;
    for (const [name, loss] of TERMS) if (factors[name]) total += factors[name] * loss(this, factors[name], temperature);
    for (let i = 0, at = 0; i < samples; i++) for (let j = 0; j < neurons; j++, at++) {
      const d = -2 * push[at] * z[at] * h[at]; // dh/db = -2zh, dh/dw = -2zhx
      slope.w[j] += d * x[i];
      slope.b[j] += d;
    }
    for (let j = 0; j < neurons; j++) if (pull[j] !== 0) {
      slope.w[j] -= (pull[j] * positions[j]) / w[j]; // x̂ = -b/w, so dx̂/dw = -x̂/w and dx̂/db = -1/w
      slope.b[j] -= pull[j] / w[j];
    }
    return total;
  }
}

const LEARNING_RATE = 0.01, BETAS = [0.9, 0.999], EPSILON = 1e-8;
// A network in training: full-batch Adam on L = L_fit + λ (m_ovl L_ovl + κ m_cov L_att + m_sep L_sep).
export class Trainer extends Network {
  constructor(x, y, p, ...settings) {
    super(x, y, p);
    [this.steps, this.mean, this.square] = [0, new Float64Array(this.theta.length), new Float64Array(this.theta.length)];
    this.set(...settings);
  }
  // Take settings from the next step on.
  set(mask = "000", strength = 1, temperature = 1e-4, attractor = "coverage", balance = 1) {
    const { coverage, ...repulsions } = each(SWITCHES, (_, bit) => (mask[bit] === "1" ? strength : 0));
    this.temperature = temperature;
    this.factors = { fit: 1, ...repulsions, [attractor]: balance * coverage };
  }
  // Whether every parameter and every prototype is a finite number.
  get finite() { return this.theta.every(Number.isFinite) && prototypes(this.w, this.b).every(Number.isFinite); }
  // Take `count` steps, or fewer if something stops being finite; return whether all is finite.
  train(count = 1) {
    const { theta, gradient, mean, square } = this;
    for (let step = 0; step < count && this.finite; step++) {
      this.differentiate(this.factors, this.temperature);
      this.steps += 1;
      const size = LEARNING_RATE / (1 - BETAS[0] ** this.steps), root = Math.sqrt(1 - BETAS[1] ** this.steps);
      for (let k = 0; k < theta.length; k++) {
        mean[k] += (1 - BETAS[0]) * (gradient[k] - mean[k]);
        square[k] = BETAS[1] * square[k] + (1 - BETAS[1]) * gradient[k] * gradient[k];
        theta[k] -= (size * mean[k]) / (Math.sqrt(square[k]) / root + EPSILON);
      }
    }
    return this.finite;
  }
}

// The neuron matched to each sample at the least total cost[sample][neuron]: shortest augmenting paths, O(n³).
export function match(cost) {
  const n = cost.length, row = new Float64Array(n), column = new Float64Array(n + 1);
  const owner = new Int32Array(n + 1).fill(-1); // the sample that holds a neuron; place n is the start of a path
  for (let sample = 0; sample < n; sample++) {
    const least = new Float64Array(n + 1).fill(Infinity), from = new Int32Array(n), done = new Uint8Array(n + 1);
    let at = n;
    for (owner[n] = sample; owner[at] !== -1; ) {
      const i = owner[at];
      let next = -1;
      done[at] = 1;
      for (let j = 0; j < n; j++) {
        if (done[j]) continue;
        const reduced = cost[i][j] - row[i] - column[j];
        if (reduced < least[j]) [least[j], from[j]] = [reduced, at];
        if (next < 0 || least[j] < least[next]) next = j;
      }
      const step = least[next];
      for (let j = 0; j <= n; j++)
        if (done[j]) [row[owner[j]], column[j]] = [row[owner[j]] + step, column[j] - step]; else least[j] -= step;
      at = next;
    }
    for (; at !== n; at = from[at]) owner[at] = owner[from[at]];
  }
  return Int32Array.from({ length: n }, (_, i) => owner.indexOf(i)); // place n comes last, so a neuron is found first
}

// E, the mean distance of (x_i, y_i) to the matched (x̂_j, f(x̂_j)); NaN if a distance is no finite number.
export function reconstructionError(x, y, positions, values) {
  const cost = Array.from(x, (xi, i) => Float64Array.from(positions, (at, j) => Math.hypot(xi - at, y[i] - values[j])));
  if (!cost.every((distances) => distances.every(Number.isFinite))) return NaN;
  return match(cost).reduce((sum, j, i) => sum + cost[i][j], 0) / x.length;
}
// Distinct neurons that respond most to at least one sample, over all neurons; of neurons that tie the first counts.
export const specializationRatio = (responses) =>
  new Set(responses.map((row) => row.indexOf(Math.max(...row)))).size / responses[0].length;
// The share of prototypes outside [min x_i, max x_i].
export const expelledFraction = (x, positions) =>
  positions.filter((at) => at < Math.min(...x) || at > Math.max(...x)).length / positions.length;
