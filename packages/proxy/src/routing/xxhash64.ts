/**
 * xxHash64, the hash that Envoy's ring, Maglev table and hash policies use. Arithmetic is on pairs of 32-bit halves:
 * big integers would allocate at every step.
 */
const encoder = new TextEncoder();

interface Wide {
  hi: number;
  lo: number;
}

const prime1: Readonly<Wide> = { hi: 0x9e3779b1, lo: 0x85ebca87 };
const prime2: Readonly<Wide> = { hi: 0xc2b2ae3d, lo: 0x27d4eb4f };
const prime3: Readonly<Wide> = { hi: 0x165667b1, lo: 0x9e3779f9 };
const prime4: Readonly<Wide> = { hi: 0x85ebca77, lo: 0xc2b2ae63 };
const prime5: Readonly<Wide> = { hi: 0x27d4eb2f, lo: 0x165667c5 };

const multiply = (a: Wide, b: Readonly<Wide>): void => {
  const a0 = a.lo & 0xffff;
  const a1 = a.lo >>> 16;
  const b0 = b.lo & 0xffff;
  const b1 = b.lo >>> 16;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16);
  const middle2 = a0 * b1 + (middle % 0x10000);
  const carry = a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(middle2 / 0x10000);
  const hi = (carry + Math.imul(a.hi, b.lo) + Math.imul(a.lo, b.hi)) >>> 0;
  a.lo = (((middle2 & 0xffff) << 16) | (low & 0xffff)) >>> 0;
  a.hi = hi;
};

const plus = (a: Wide, b: Readonly<Wide>): void => {
  const lo = a.lo + b.lo;
  a.hi = (a.hi + b.hi + (lo > 0xffffffff ? 1 : 0)) >>> 0;
  a.lo = lo >>> 0;
};

/** Rotation to the left by 1 to 31 bits. */
const rotate = (a: Wide, bits: number): void => {
  const { hi, lo } = a;
  a.hi = ((hi << bits) | (lo >>> (32 - bits))) >>> 0;
  a.lo = ((lo << bits) | (hi >>> (32 - bits))) >>> 0;
};

const xor = (a: Wide, b: Readonly<Wide>): void => {
  a.hi = (a.hi ^ b.hi) >>> 0;
  a.lo = (a.lo ^ b.lo) >>> 0;
};

const xorShiftRight = (a: Wide, bits: number): void => {
  const hi = bits < 32 ? a.hi >>> bits : 0;
  const lo = bits < 32 ? (a.lo >>> bits) | (a.hi << (32 - bits)) : a.hi >>> (bits - 32);
  xor(a, { hi, lo: lo >>> 0 });
};

const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)) >>>
  0;

const read64 = (bytes: Uint8Array, at: number): Wide => ({ lo: u32(bytes, at), hi: u32(bytes, at + 4) });

const round = (accumulator: Wide, input: Wide): void => {
  multiply(input, prime2);
  plus(accumulator, input);
  rotate(accumulator, 31);
  multiply(accumulator, prime1);
};

const mergeRound = (hash: Wide, lane: Readonly<Wide>): void => {
  const copy = { hi: lane.hi, lo: lane.lo };
  const fresh = { hi: 0, lo: 0 };
  round(fresh, copy);
  xor(hash, fresh);
  multiply(hash, prime1);
  plus(hash, prime4);
};

/** Blocks of 32 bytes go through four lanes; gives where it stopped. */
const consumeBlocks = (bytes: Uint8Array, seed: Readonly<Wide>, hash: Wide): number => {
  const lanes: Wide[] = [seed, seed, seed, seed].map(({ hi, lo }) => ({ hi, lo }));
  const [one, two, three, four] = lanes as [Wide, Wide, Wide, Wide];
  plus(one, prime1);
  plus(one, prime2);
  plus(two, prime2);
  // The fourth lane starts at seed - prime1: plus its two's complement.
  plus(four, { hi: ~prime1.hi >>> 0, lo: (~prime1.lo + 1) >>> 0 });
  let at = 0;
  for (; at + 32 <= bytes.length; at += 32) {
    round(one, read64(bytes, at));
    round(two, read64(bytes, at + 8));
    round(three, read64(bytes, at + 16));
    round(four, read64(bytes, at + 24));
  }
  const turns = [1, 7, 12, 18];
  hash.hi = 0;
  hash.lo = 0;
  for (const [index, lane] of lanes.entries()) {
    const copy = { hi: lane.hi, lo: lane.lo };
    rotate(copy, turns[index] as number);
    plus(hash, copy);
  }
  for (const lane of lanes) mergeRound(hash, lane);
  return at;
};

const consumeTail = (bytes: Uint8Array, from: number, hash: Wide): void => {
  let at = from;
  for (; at + 8 <= bytes.length; at += 8) {
    const fresh = { hi: 0, lo: 0 };
    round(fresh, read64(bytes, at));
    xor(hash, fresh);
    rotate(hash, 27);
    multiply(hash, prime1);
    plus(hash, prime4);
  }
  if (at + 4 <= bytes.length) {
    const word = { hi: 0, lo: u32(bytes, at) };
    multiply(word, prime1);
    xor(hash, word);
    rotate(hash, 23);
    multiply(hash, prime2);
    plus(hash, prime3);
    at += 4;
  }
  for (; at < bytes.length; at++) {
    const word = { hi: 0, lo: bytes[at] as number };
    multiply(word, prime5);
    xor(hash, word);
    rotate(hash, 11);
    multiply(hash, prime1);
  }
};

/** The hash of a text's UTF-8 bytes, or of bytes. */
export const xxHash64 = (input: string | Uint8Array, seed = 0n): bigint => {
  const bytes = typeof input === "string" ? encoder.encode(input) : input;
  const start = { hi: Number((seed >> 32n) & 0xffffffffn), lo: Number(seed & 0xffffffffn) };
  const hash: Wide = { hi: 0, lo: 0 };
  let at = 0;
  if (bytes.length >= 32) {
    at = consumeBlocks(bytes, start, hash);
  } else {
    plus(hash, start);
    plus(hash, prime5);
  }
  plus(hash, { hi: Math.floor(bytes.length / 0x1_0000_0000), lo: bytes.length >>> 0 });
  consumeTail(bytes, at, hash);
  xorShiftRight(hash, 33);
  multiply(hash, prime2);
  xorShiftRight(hash, 29);
  multiply(hash, prime3);
  xorShiftRight(hash, 32);
  return (BigInt(hash.hi) << 32n) | BigInt(hash.lo);
};
