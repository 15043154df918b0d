// What is looked at of a network, as companion/core/metrics.py defines it.

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
