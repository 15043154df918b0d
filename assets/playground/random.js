// numpy's default_rng([size, seed, purpose]) (SeedSequence, then PCG64 XSL-RR 128/64) and uniform, so that the page draws
// what companion.core.data.sample_task and companion.core.network.initial_parameters draw, bit for bit.
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

// A function that gives the stream's next number in [0, 1); entropy: whole numbers from 0 to 2³² - 1.
export function randomStream(...entropy) {
  const words = seedWords(entropy);
  const number = (k) => (words[k + 1] << 96n) | (words[k] << 64n) | (words[k + 3] << 32n) | words[k + 2];
  const increment = ((number(4) << 1n) | 1n) & BITS128;
  const advance = (state) => (state * MULTIPLIER + increment) & BITS128;
  let state = advance((increment + number(0)) & BITS128);
  return () => {
    state = advance(state);
    const folded = (state >> 64n) ^ (state & BITS64), turn = state >> 122n;
    return Number((((folded >> turn) | (folded << (64n - turn))) & BITS64) >> 11n) * 2 ** -53;
  };
}

const uniform = (next, low, high, count) => Float64Array.from({ length: count }, () => low + (high - low) * next());
export const sampleInputs = (size, seed) => uniform(randomStream(size, seed, 0), 0, 1, size);
export function initialParameters(size, seed) {
  const next = randomStream(size, seed, 1);
  // N^-½ rounded once, as Python has it, by a Newton step in 120 binary places: 1 / Math.sqrt(N) is rounded twice.
  const guess = BigInt(2 ** 120 / Math.sqrt(size));
  const bound = Number((guess + (1n << 240n) / BigInt(size) / guess) >> 1n) / 2 ** 120;
  const [w, b, a] = [10, 1, bound].map((end) => uniform(next, -end, end, size));
  return { w, b, a, c: uniform(next, -bound, bound, 1)[0] };
}
