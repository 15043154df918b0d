// numpy's default_rng([size, seed, purpose]) (SeedSequence, then PCG64 XSL-RR 128/64) with uniform, normal and choice, so that
// the page draws what companion.core.data.sample_task and companion.core.network.initial_parameters draw, bit for bit.
import { normal } from "./normal.js";

const BITS64 = (1n << 64n) - 1n, BITS128 = (1n << 128n) - 1n, MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

// SeedSequence's hash: a 32-bit word is scrambled by a constant that moves on with every call.
const hasher = (constant, multiplier) => (word) => {
  const mixed = word ^ constant;
  constant = Math.imul(constant, multiplier);
  const product = Math.imul(mixed, constant);
  return product ^ (product >>> 16);
};

// The eight words of SeedSequence(entropy).generate_state, for at most four words of entropy.
function seedWords(entropy) {
  const hash = hasher(0x43b0d7e5, 0x931e8875), last = hasher(0x8b51f9dd, 0x58f38ded), places = [0, 1, 2, 3];
  const pool = places.map((k) => hash(entropy[k] ?? 0));
  for (const from of places) for (const to of places.filter((k) => k !== from)) {
    const mixed = (Math.imul(0xca01f9dd, pool[to]) - Math.imul(0x4973f715, hash(pool[from]))) | 0;
    pool[to] = mixed ^ (mixed >>> 16);
  }
  return [...pool, ...pool].map((word) => BigInt(last(word) >>> 0));
}

// A stream: `word` gives its next 64 bits, `unit` its next number in [0, 1); entropy: whole numbers from 0 to 2³² - 1.
export function randomStream(...entropy) {
  const words = seedWords(entropy);
  const number = (k) => (words[k + 1] << 96n) | (words[k] << 64n) | (words[k + 3] << 32n) | words[k + 2];
  const increment = ((number(4) << 1n) | 1n) & BITS128;
  const advance = (state) => (state * MULTIPLIER + increment) & BITS128;
  let state = advance((increment + number(0)) & BITS128);
  const word = () => {
    state = advance(state);
    const folded = (state >> 64n) ^ (state & BITS64), turn = state >> 122n;
    return ((folded >> turn) | (folded << (64n - turn))) & BITS64;
  };
  return { word, unit: () => Number(word() >> 11n) * 2 ** -53 };
}

const draw = (count, next) => Float64Array.from({ length: count }, next);
const uniform = ({ unit }, low, high, count) => draw(count, () => low + (high - low) * unit());
// numpy's choice of -1 and 1: a bit of each half of a word, the lower half first.
function signs({ word }, count) {
  let halves = 0n;
  return draw(count, (_, k) => {
    halves = k % 2 ? halves >> 32n : word();
    return (halves >> 31n) & 1n ? 1 : -1;
  });
}

export const INPUTS = {
  random: (size, seed) => uniform(randomStream(size, seed, 0), 0, 1, size),
  grid: (size) => { // PyTorch's linspace, whose last bit depends on the processor
    const step = 1 / (size - 1);
    return draw(size, (_, i) => (i < Math.floor(size / 2) ? i * step : 1 - (size - 1 - i) * step));
  },
};
// Values that know nothing of the inputs: what the data's stream draws after random inputs.
export const labels = (size, seed) => uniform(randomStream(size, seed, 0), 0, 1, 2 * size).slice(size);

const within = (w, b) => (stream, size) => ({ w: uniform(stream, -w, w, size), b: uniform(stream, -b, b, size) });
const around = (deviation) => (stream, size) =>
  ({ w: draw(size, () => deviation * normal(stream)), b: draw(size, () => normal(stream)) });
const atData = (stream, size, steepness) => { // prototypes in [0, 1]
  const sizes = uniform(stream, 0.5 * steepness, 1.5 * steepness, size), sign = signs(stream, size);
  const w = sizes.map((value, j) => value * sign[j]), at = uniform(stream, 0, 1, size);
  return { w, b: w.map((value, j) => -value * at[j]) };
};
export const INITIALISATIONS = {
  "uniform-10": within(10, 1), "uniform-1": within(1, 1), "uniform-3": within(3, 1),
  "normal-1": around(1), "normal-5": around(5),
  "uniform-N": (stream, size) => within(size, 0.1 * size)(stream, size),
  "data-5": (stream, size) => atData(stream, size, 5), "data-N": (stream, size) => atData(stream, size, size),
};

export function initialParameters(size, seed, initialisation = "uniform-10") {
  const stream = randomStream(size, seed, 1), { w, b } = INITIALISATIONS[initialisation](stream, size);
  // N^-½ rounded once, as Python has it, by a Newton step in 120 binary places: 1 / Math.sqrt(N) is rounded twice.
  const guess = BigInt(2 ** 120 / Math.sqrt(size));
  const bound = Number((guess + (1n << 240n) / BigInt(size) / guess) >> 1n) / 2 ** 120;
  const a = uniform(stream, -bound, bound, size);
  return { w, b, a, c: uniform(stream, -bound, bound, 1)[0] };
}
