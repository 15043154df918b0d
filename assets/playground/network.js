// The science of the playground: the network, its training, and what is looked at of it. Definitions and names are those of
// companion/core; tests/test_playground.py holds the two together.
import { FORMS, LOSSES, terms } from "./forms.js";

export const TARGETS = { sine: (x) => 0.5 * (1 + Math.sin(2 * Math.PI * x)), line: (x) => x,
  step: (x) => Number(x >= 0.5), chirp: (x) => 0.5 * (1 + Math.sin(6 * Math.PI * x * x)) };
// Of an activation exp(-s z²) its s.
export const EXPONENTS = { "exp(-z²)": 1, "exp(-z²/2)": 0.5 };
export const SWITCHES = ["overlap", "coverage", "separation"]; // in the order of a mask's three bits
export const ATTRACTORS = ["coverage", "chamfer", "transport"]; // what the middle bit switches on
export const MASK_NAMES = {
  "000": "Std", "001": "Sep", "010": "Cov", "011": "Cov+Sep", "100": "Ovl", "101": "Ovl+Sep", "110": "Ovl+Cov", "111": "Full",
};
// The settings of companion.core.settings.Settings that training knows, at their nominal levels.
export const NOMINAL = { mask: "000", attractor: "coverage", strength: 1, temperature: 1e-4, balance: 1, activation: "exp(-z²)",
  overlap_form: "product", coverage_form: "soft minimum", separation_form: "exp(-d²/τ)", reduction: "mean", matched: false,
  optimiser: "adam", step_size: 0.01, steps: 2000 };

// h_ij = exp(-(w_j x_i + b_j)²), an array of neurons for each sample.
export const activations = (x, w, b) =>
  Array.from(x, (at) => Float64Array.from(w, (wj, j) => Math.exp(-((wj * at + b[j]) ** 2))));
// f(x_i) = Σ_j a_j h_ij + c.
export const predict = (x, { w, b, a, c }) =>
  Float64Array.from(activations(x, w, b), (row) => row.reduce((sum, h, j) => sum + a[j] * h, 0) + c);
// x̂_j = -b_j / w_j; no finite number where a weight is 0.
export const prototypes = (w, b) => Float64Array.from(w, (wj, j) => -b[j] / wj);

// A network on its data, with all that a step writes to; theta and gradient hold w, b, a and c one after another.
export class Network {
  constructor(x, y, { w, b, a, c }, exponent = 1) {
    const samples = x.length, neurons = w.length, part = (flat, k) => flat.subarray(k * neurons, (k + 1) * neurons);
    const split = (flat) => ({ w: part(flat, 0), b: part(flat, 1), a: part(flat, 2) });
    const theta = Float64Array.of(...w, ...b, ...a, c), gradient = theta.slice();
    const order = Int32Array.from(x.keys()).sort((i, k) => x[i] - x[k] || i - k), places = Int32Array.from(w.keys());
    Object.assign(this, { exponent, samples, neurons, x, y, order, places, theta, gradient, slope: split(gradient) }, split(theta));
    for (const name of ["h", "z", "push"]) this[name] = new Float64Array(samples * neurons);
    for (const name of ["positions", "pull"]) this[name] = new Float64Array(neurons);
    this.share = new Float64Array(Math.max(samples, neurons));
  }
  get parameters() { return { w: this.w, b: this.b, a: this.a, c: this.theta.at(-1) }; }
  // The parameters of the same network with exp(-z²), which the metrics and the picture take: w and b times √s.
  get inNominalActivation() {
    const [w, b] = [this.w, this.b].map((values) => values.map((value) => value * Math.sqrt(this.exponent)));
    return { ...this.parameters, w, b };
  }
  // Write dL/d(w, b, a, c) of L = Σ factors[name] · loss into this.gradient; return L.
  differentiate(factors, temperature) {
    const { samples, neurons, exponent, x, w, b, h, z, push, positions, pull, slope } = this;
    push.fill(0), pull.fill(0), this.gradient.fill(0);
    for (let j = 0; j < neurons; j++) positions[j] = -b[j] / w[j];
    for (let i = 0, at = 0; i < samples; i++) for (let j = 0; j < neurons; j++, at++) {
      z[at] = w[j] * x[i] + b[j];
      h[at] = Math.exp(-exponent * z[at] * z[at]);
    }
    let total = 0;
    for (const [name, factor] of Object.entries(factors)) if (factor) total += factor * LOSSES[name](this, factor, temperature);
    for (let i = 0, at = 0; i < samples; i++) for (let j = 0; j < neurons; j++, at++) {
      const d = -2 * exponent * push[at] * z[at] * h[at]; // dh/db = -2szh, dh/dw = -2szhx
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

const BETAS = [0.9, 0.999], EPSILON = 1e-8, MOMENTUM = 0.9, PARTS = [1, 0.1, 0.01], SMALLEST_GRADIENT = 1e-8;
// A network in training, full-batch: L = L_fit + λ (u_ovl m_ovl L_ovl + κ u_cov m_cov L_att + u_sep m_sep L_sep), whose units u
// are 1 where λ counts means, as in the book's nominal choice.
export class Trainer extends Network {
  constructor(x, y, p, settings = {}) {
    super(x, y, p, EXPONENTS[settings.activation ?? NOMINAL.activation]);
    [this.start, this.tried] = [this.theta.slice(), 0];
    this.begin();
    this.set(settings);
  }
  begin() {
    this.theta.set(this.start);
    [this.steps, this.mean, this.square] = [0, new Float64Array(this.theta.length), new Float64Array(this.theta.length)];
  }
  // Take settings, nominal where they are not given, from the next step on; the activation stays.
  set(given = {}) {
    const settings = { ...NOMINAL, ...given }, { mask, attractor, strength, balance } = settings;
    const attracts = attractor === "coverage" ? FORMS.coverage_form[settings.coverage_form] : attractor;
    const losses = [FORMS.overlap_form[settings.overlap_form], attracts, FORMS.separation_form[settings.separation_form]];
    this.settings = settings;
    this.factors = { fit: 1 };
    losses.forEach((loss, bit) => {
      if (mask[bit] === "1") this.factors[loss] = strength * (loss === attracts ? balance : 1) * this.unit(loss);
    });
  }
  // What λ counts for a structural loss: its mean; where sums stand for means, the terms of it; and where it is matched, the
  // norm of the fit's gradient at the start over that of the loss's.
  unit(loss) {
    const { reduction, matched } = this.settings, norm = (name) => this.atStart({ [name]: 1 }).norm;
    const count = reduction === "sum" ? terms(loss, this.samples, this.neurons) : 1;
    return matched ? (count * norm("fit")) / (count * norm(loss) + SMALLEST_GRADIENT) : count;
  }
  // A weighed sum of losses where training starts, and the norm of its gradient.
  atStart(factors) {
    const now = this.theta.slice();
    this.theta.set(this.start);
    const value = this.differentiate(factors, this.settings.temperature), norm = Math.hypot(...this.gradient);
    this.theta.set(now);
    return { value, norm };
  }
  // Whether every parameter and every prototype is a finite number.
  get finite() { return this.theta.every(Number.isFinite) && prototypes(this.w, this.b).every(Number.isFinite); }
  // Take `count` steps, or fewer if something stops being finite and nothing is left to try; return whether all is finite.
  train(count = 1) {
    for (let step = 0; step < count && (this.finite || this.beginAgain()); step++) {
      this.differentiate(this.factors, this.settings.temperature);
      this.steps += 1;
      if (this.settings.optimiser === "adam") this.adam();
      else this.momentum();
    }
    return this.finite || this.beginAgain();
  }
  adam() {
    const { theta, gradient, mean, square, settings: { step_size } } = this;
    const size = step_size / (1 - BETAS[0] ** this.steps), root = Math.sqrt(1 - BETAS[1] ** this.steps);
    for (let k = 0; k < theta.length; k++) {
      mean[k] += (1 - BETAS[0]) * (gradient[k] - mean[k]);
      square[k] = BETAS[1] * square[k] + (1 - BETAS[1]) * gradient[k] * gradient[k];
      theta[k] -= (size * mean[k]) / (Math.sqrt(square[k]) / root + EPSILON);
    }
  }
  // Gradient descent with momentum. Where the loss is above the start's, or is no number, after a tenth of the steps or after
  // all of them, its step size is too large: training begins again with the next.
  momentum() {
    const { theta, gradient, mean, rate, settings: { temperature, steps } } = this;
    for (let k = 0; k < theta.length; k++) {
      mean[k] = MOMENTUM * mean[k] + gradient[k];
      theta[k] -= rate * mean[k];
    }
    const looked = this.steps === Math.floor(steps / 10) || this.steps === steps;
    if (looked && !(this.differentiate(this.factors, temperature) <= this.atStart(this.factors).value)) this.beginAgain();
  }
  // The step size in use: the first, a tenth or a hundredth of what is set.
  get rate() { return this.settings.step_size * PARTS[this.tried]; }
  // Begin again with the next step size, if momentum has one left; return whether it has.
  beginAgain() {
    if (this.settings.optimiser === "adam" || this.tried === PARTS.length - 1) return false;
    this.tried += 1;
    this.begin();
    return true;
  }
}
export { FORMS, LOSSES };
