/**
 * The hashes of a ring's entries: of `KEY_0`, `KEY_1` and so on. A ring may have millions of them, so the 64-bit
 * arithmetic is on halves that are kept here, and nothing is allocated for a hash.
 */

// Halves of what is being worked on, as signed 32-bit integers.
let hi = 0;
let lo = 0;

const multiply = (byHi: number, byLo: number): void => {
  const a0 = lo & 0xffff;
  const a1 = lo >>> 16;
  const b0 = byLo & 0xffff;
  const b1 = byLo >>> 16;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16);
  const cross = a0 * b1 + (middle & 0xffff);
  hi = (a1 * b1 + (middle >>> 16) + (cross >>> 16) + Math.imul(hi, byLo) + Math.imul(lo, byHi)) | 0;
  lo = (cross << 16) | (low & 0xffff);
};

const plus = (byHi: number, byLo: number): void => {
  const sum = (lo >>> 0) + (byLo >>> 0);
  hi = (hi + byHi + (sum > 0xffff_ffff ? 1 : 0)) | 0;
  lo = sum | 0;
};

/** To the left by 1 to 31 bits. */
const rotate = (bits: number): void => {
  const before = hi;
  hi = (hi << bits) | (lo >>> (32 - bits));
  lo = (lo << bits) | (before >>> (32 - bits));
};

/** Four bytes, little-endian. */
const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at] as number) |
  ((bytes[at + 1] as number) << 8) |
  ((bytes[at + 2] as number) << 16) |
  ((bytes[at + 3] as number) << 24);

/** Fills `hi` and `lo` with the hash of the first `length` bytes. */
type HashBytes = (bytes: Uint8Array, length: number) => void;

const [p1Hi, p1Lo, p2Hi, p2Lo] = [0x9e3779b1 | 0, 0x85ebca87 | 0, 0xc2b2ae3d | 0, 0x27d4eb4f];
const [p3Hi, p3Lo, p4Hi, p4Lo, p5Hi, p5Lo] = [
  0x165667b1,
  0x9e3779f9 | 0,
  0x85ebca77 | 0,
  0xc2b2ae63 | 0,
  0x27d4eb2f,
  0x165667c5,
];

/** Four lanes, upper and lower half each. */
const lanes = new Int32Array(8);
const laneTurns = [1, 7, 12, 18] as const;

/** A word goes into a lane that is in `hi` and `lo`. */
const takeIn = (laneHi: number, laneLo: number): void => {
  multiply(p2Hi, p2Lo);
  plus(laneHi, laneLo);
  rotate(31);
  multiply(p1Hi, p1Lo);
};

/** Blocks of 32 bytes; gives where it stopped. */
const takeBlocks = (bytes: Uint8Array, length: number): number => {
  lanes.fill(0);
  hi = p1Hi;
  lo = p1Lo;
  plus(p2Hi, p2Lo);
  lanes.set([hi, lo, p2Hi, p2Lo]);
  hi = ~p1Hi;
  lo = ~p1Lo;
  plus(0, 1);
  lanes.set([hi, lo], 6);
  let at = 0;
  for (; at + 32 <= length; at += 32) {
    for (let lane = 0; lane < 8; lane += 2) {
      lo = word(bytes, at + lane * 4);
      hi = word(bytes, at + lane * 4 + 4);
      takeIn(lanes[lane] as number, lanes[lane + 1] as number);
      lanes[lane] = hi;
      lanes[lane + 1] = lo;
    }
  }
  let sumHi = 0;
  let sumLo = 0;
  for (const [index, turn] of laneTurns.entries()) {
    hi = lanes[index * 2] as number;
    lo = lanes[index * 2 + 1] as number;
    rotate(turn);
    plus(sumHi, sumLo);
    sumHi = hi;
    sumLo = lo;
  }
  for (let lane = 0; lane < 8; lane += 2) {
    hi = lanes[lane] as number;
    lo = lanes[lane + 1] as number;
    takeIn(0, 0);
    hi ^= sumHi;
    lo ^= sumLo;
    multiply(p1Hi, p1Lo);
    plus(p4Hi, p4Lo);
    sumHi = hi;
    sumLo = lo;
  }
  return at;
};

const takeTail = (bytes: Uint8Array, from: number, length: number): void => {
  let at = from;
  for (; at + 8 <= length; at += 8) {
    const hashHi = hi;
    const hashLo = lo;
    lo = word(bytes, at);
    hi = word(bytes, at + 4);
    takeIn(0, 0);
    hi ^= hashHi;
    lo ^= hashLo;
    rotate(27);
    multiply(p1Hi, p1Lo);
    plus(p4Hi, p4Lo);
  }
  if (at + 4 <= length) {
    const hashHi = hi;
    const hashLo = lo;
    hi = 0;
    lo = word(bytes, at);
    multiply(p1Hi, p1Lo);
    hi ^= hashHi;
    lo ^= hashLo;
    rotate(23);
    multiply(p2Hi, p2Lo);
    plus(p3Hi, p3Lo);
    at += 4;
  }
  for (; at < length; at++) {
    const hashHi = hi;
    const hashLo = lo;
    hi = 0;
    lo = bytes[at] as number;
    multiply(p5Hi, p5Lo);
    hi ^= hashHi;
    lo ^= hashLo;
    rotate(11);
    multiply(p1Hi, p1Lo);
  }
};

/** xxHash64 with seed 0. */
const xx: HashBytes = (bytes, length) => {
  let at = 0;
  if (length >= 32) at = takeBlocks(bytes, length);
  else {
    hi = p5Hi;
    lo = p5Lo;
  }
  plus(0, length);
  takeTail(bytes, at, length);
  lo ^= hi >>> 1;
  multiply(p2Hi, p2Lo);
  lo ^= (lo >>> 29) | (hi << 3);
  hi ^= hi >>> 29;
  multiply(p3Hi, p3Lo);
  lo ^= hi;
};

const [mHi, mLo, murmurSeed] = [0xc6a4_a793 | 0, 0x5bd1_e995, 0xc70f_6907 | 0];

const fold = (): void => {
  lo ^= hi >>> 15;
};

/** MurmurHash2 for 64 bits (Appleby's variant A) with the seed that C++ libraries hash strings by. */
const murmur: HashBytes = (bytes, length) => {
  hi = 0;
  lo = length;
  multiply(mHi, mLo);
  lo ^= murmurSeed;
  const whole = length & ~7;
  for (let at = 0; at < whole; at += 8) {
    const hashHi = hi;
    const hashLo = lo;
    lo = word(bytes, at);
    hi = word(bytes, at + 4);
    multiply(mHi, mLo);
    fold();
    multiply(mHi, mLo);
    hi ^= hashHi;
    lo ^= hashLo;
    multiply(mHi, mLo);
  }
  for (let at = whole; at < length; at++) {
    const shift = (at & 3) * 8;
    if (at - whole < 4) lo ^= (bytes[at] as number) << shift;
    else hi ^= (bytes[at] as number) << shift;
  }
  if (length > whole) multiply(mHi, mLo);
  fold();
  multiply(mHi, mLo);
  fold();
};

const kinds = { xx, murmur } as const;
export type RingHashKind = keyof typeof kinds;

/** Entries of a ring by the halves of their hashes, unsigned. */
export interface RingKeys {
  readonly upper: Uint32Array;
  readonly lower: Uint32Array;
}

const encoder = new TextEncoder();
/** Digits of an entry's number. */
const digitsMax = 10;

/** Writes the hashes of `key_0` to `key_(count-1)` at `from` and on. */
export const hashEntries = (
  kind: RingHashKind,
  key: string,
  count: number,
  { upper, lower, from }: RingKeys & { readonly from: number },
): void => {
  const hash = kinds[kind];
  const head = encoder.encode(`${key}_`);
  const bytes = new Uint8Array(head.length + digitsMax);
  bytes.set(head);
  let digits = 1;
  for (let i = 0, next = 10; i < count; i++) {
    if (i === next) {
      digits++;
      next *= 10;
    }
    const length = head.length + digits;
    for (let rest = i, at = length - 1; at >= head.length; at--) {
      const quotient = Math.floor(rest / 10);
      bytes[at] = 48 + rest - quotient * 10;
      rest = quotient;
    }
    hash(bytes, length);
    upper[from + i] = hi;
    lower[from + i] = lo;
  }
};

const digitBits = 16;
const digitCount = 1 << digitBits;

/** One pass of a radix sort: puts the numbers in `from` in the order of 16 bits of their keys. */
const sortBy = (keys: Uint32Array, shift: number, from: Uint32Array): Uint32Array => {
  const starts = new Uint32Array(digitCount);
  for (let i = 0; i < keys.length; i++) {
    const digit = ((keys[i] as number) >>> shift) & (digitCount - 1);
    starts[digit] = (starts[digit] as number) + 1;
  }
  let start = 0;
  for (let digit = 0; digit < digitCount; digit++) {
    const count = starts[digit] as number;
    starts[digit] = start;
    start += count;
  }
  const to = new Uint32Array(from.length);
  for (let i = 0; i < from.length; i++) {
    const number = from[i] as number;
    const digit = ((keys[number] as number) >>> shift) & (digitCount - 1);
    const at = starts[digit] as number;
    to[at] = number;
    starts[digit] = at + 1;
  }
  return to;
};

/** The order of few entries, or of those whose upper halves are the same. */
const compareBy =
  ({ upper, lower }: RingKeys) =>
  (a: number, b: number): number =>
    (upper[a] as number) - (upper[b] as number) || (lower[a] as number) - (lower[b] as number) || a - b;

/** With fewer entries a radix sort's tables cost more than they save. */
const radixLeast = 16_384;

const sortedOrder = (keys: RingKeys): Uint32Array => {
  const { upper, lower } = keys;
  const order = new Uint32Array(upper.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  if (order.length < radixLeast) return order.sort(compareBy(keys));
  const byUpper = sortBy(upper, digitBits, sortBy(upper, 0, order));
  // Upper halves are seldom the same; where they are the lower ones decide.
  for (let i = 1; i < byUpper.length; i++) {
    const entry = byUpper[i] as number;
    let at = i;
    for (; at > 0; at--) {
      const before = byUpper[at - 1] as number;
      if (upper[before] !== upper[entry] || (lower[before] as number) <= (lower[entry] as number)) break;
      byUpper[at] = before;
    }
    byUpper[at] = entry;
  }
  return byUpper;
};

/** Entries and their owners in ascending order of the hashes; of equal ones the earlier comes first. */
export const sortEntries = (keys: RingKeys, owners: Uint32Array): RingKeys & { readonly owners: Uint32Array } => {
  const order = sortedOrder(keys);
  const by = (values: Uint32Array): Uint32Array => {
    const sorted = new Uint32Array(order.length);
    for (let i = 0; i < order.length; i++) sorted[i] = values[order[i] as number] as number;
    return sorted;
  };
  return { upper: by(keys.upper), lower: by(keys.lower), owners: by(owners) };
};
