import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { xxHash64 } from "./xxhash64.ts";

const mask = (1n << 64n) - 1n;
const p1 = 11400714785074694791n;
const p2 = 14029467366897019727n;
const p3 = 1609587929392839161n;
const p4 = 9650029242287828579n;
const p5 = 2870177450012600261n;
const rotl = (x: bigint, r: bigint): bigint => ((x << r) | (x >> (64n - r))) & mask;
const round = (acc: bigint, lane: bigint): bigint => (rotl((acc + lane * p2) & mask, 31n) * p1) & mask;

/** The algorithm as published, in big integers: slow and plain. */
const reference = (bytes: Uint8Array, seed: bigint): bigint => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let hash = (seed + p5) & mask;
  if (bytes.length >= 32) {
    const lanes = [(seed + p1 + p2) & mask, (seed + p2) & mask, seed, (seed - p1) & mask];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i] as bigint, view.getBigUint64(at + i * 8, true));
    }
    const [a, b, c, d] = lanes as [bigint, bigint, bigint, bigint];
    hash = (rotl(a, 1n) + rotl(b, 7n) + rotl(c, 12n) + rotl(d, 18n)) & mask;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * p1 + p4) & mask;
  }
  hash = (hash + BigInt(bytes.length)) & mask;
  for (; at + 8 <= bytes.length; at += 8) {
    hash = (rotl(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * p1 + p4) & mask;
  }
  if (at + 4 <= bytes.length) {
    hash = (rotl(hash ^ ((BigInt(view.getUint32(at, true)) * p1) & mask), 23n) * p2 + p3) & mask;
    at += 4;
  }
  for (; at < bytes.length; at++) hash = (rotl(hash ^ ((BigInt(bytes[at] as number) * p5) & mask), 11n) * p1) & mask;
  hash = ((hash ^ (hash >> 33n)) * p2) & mask;
  hash = ((hash ^ (hash >> 29n)) * p3) & mask;
  return hash ^ (hash >> 32n);
};

test("known values hash as published", () => {
  assert.equal(xxHash64(""), 0xef46db3751d8e999n);
  assert.equal(xxHash64("a"), 0xd24ec4f1a98c6e5bn);
  assert.equal(xxHash64("abc"), 0x44bc2cf5ad770999n);
  assert.equal(xxHash64("foo"), 3728699739546630719n);
});

test("any bytes and seed hash as the published algorithm in big integers", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 130 }), fc.bigInt({ min: 0n, max: mask }), (bytes, seed) => {
      assert.equal(xxHash64(bytes, seed), reference(bytes, seed));
    }),
    { numRuns: 300 },
  );
});
