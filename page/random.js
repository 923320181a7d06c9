/** The random numbers of NumPy's default_rng: PCG64, seeded by SeedSequence. Same seed, same candidates as in Python. */

const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const MASK64 = (1n << 64n) - 1n;
const MASK128 = (1n << 128n) - 1n;
const POOL = 4;

/**
 * @param {number|bigint} seed a whole number from 0 on
 * @returns {() => number} the next number, 0 or more and below 1, in 53 bits
 */
export function generator(seed) {
  const [high, low, stream, streamLow] = states(BigInt(seed));
  const step = ((((stream << 64n) | streamLow) << 1n) | 1n) & MASK128;
  let state = (step + ((high << 64n) | low)) & MASK128;
  const advance = () => {
    state = (state * MULTIPLIER + step) & MASK128;
  };
  advance();
  return () => {
    advance();
    const mixed = (state >> 64n) ^ (state & MASK64);
    const turn = state >> 122n;
    const number = ((mixed >> turn) | (mixed << (64n - turn))) & MASK64;
    return Number(number >> 11n) / 2 ** 53;
  };
}

/** Four 64-bit numbers of a seed, as SeedSequence(seed).generate_state(4, uint64) gives them. */
function states(seed) {
  const pool = mixed(words(seed));
  const hash = hasher(0x8b51f9dd, 0x58f38ded);
  const halves = Array.from({ length: 8 }, (_, n) => BigInt(hash(pool[n % POOL])));
  return [0, 2, 4, 6].map((n) => halves[n] | (halves[n + 1] << 32n));
}

function words(seed) {
  const found = [];
  for (let left = seed; left > 0n; left >>= 32n) found.push(Number(left & 0xffffffffn));
  return found;
}

function mixed(entropy) {
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = Array.from({ length: POOL }, (_, n) => hash(entropy[n] ?? 0));
  const stir = (target, value) => {
    const both = (Math.imul(0xca01f9dd, pool[target]) - Math.imul(0x4973f715, hash(value))) >>> 0;
    pool[target] = (both ^ (both >>> 16)) >>> 0;
  };
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) if (from !== to) stir(to, pool[from]);
  }
  for (const word of entropy.slice(POOL)) for (let to = 0; to < POOL; to++) stir(to, word);
  return pool;
}

function hasher(constant, multiplier) {
  return (value) => {
    const before = value ^ constant;
    constant = Math.imul(constant, multiplier);
    const product = Math.imul(before, constant) >>> 0;
    return (product ^ (product >>> 16)) >>> 0;
  };
}
