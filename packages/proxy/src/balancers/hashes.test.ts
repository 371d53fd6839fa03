import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "@weft/core/random";
import { xxHash64 } from "../routing/xxhash64.ts";
import { createTwister, mersenneTwister } from "./mersenne-twister.ts";
import { hashEntries, type RingHashKind, sortEntries } from "./ring-keys.ts";

test("the generator's ten thousandth number from the usual seed is the one that C++ prescribes", () => {
  const next = mersenneTwister(5489);
  let value = 0;
  for (let i = 0; i < 10_000; i++) value = next();
  assert.equal(value, 4_123_659_995);
});

test("equal seeds give equal sequences, other seeds others", () => {
  const take = (seed: number): number[] => Array.from({ length: 700 }, mersenneTwister(seed));
  assert.deepEqual(take(7), take(7));
  assert.notDeepEqual(take(7), take(8));
});

test("a generator that is seeded again begins the sequence of its new seed", () => {
  const twister = createTwister();
  twister.seed(7);
  for (let i = 0; i < 700; i++) twister.next();
  twister.seed(8);
  assert.deepEqual(Array.from({ length: 700 }, twister.next), Array.from({ length: 700 }, mersenneTwister(8)));
});

const entries = (kind: RingHashKind, key: string, count: number): bigint[] => {
  const keys = { upper: new Uint32Array(count + 1), lower: new Uint32Array(count + 1) };
  hashEntries(kind, key, count, { ...keys, from: 1 });
  assert.deepEqual([keys.upper[0], keys.lower[0]], [0, 0], "nothing is written before its place");
  return Array.from(
    { length: count },
    (_, i) => (BigInt(keys.upper[i + 1] ?? 0) << 32n) | BigInt(keys.lower[i + 1] ?? 0),
  );
};

/** Appleby's variant A as it is written for 64-bit integers. */
const murmur = (text: string): bigint => {
  const mask = (1n << 64n) - 1n;
  const times = (value: bigint): bigint => (value * 0xc6a4_a793_5bd1_e995n) & mask;
  const fold = (value: bigint): bigint => value ^ (value >> 47n);
  const bytes = Buffer.from(text);
  const whole = bytes.length & ~7;
  let hash = 0xc70f_6907n ^ times(BigInt(bytes.length));
  for (let at = 0; at < whole; at += 8) hash = times(hash ^ times(fold(times(bytes.readBigUInt64LE(at)))));
  const rest = Buffer.concat([bytes.subarray(whole), Buffer.alloc(8)]).readBigUInt64LE(0);
  if (bytes.length > whole) hash = times(hash ^ rest);
  return fold(times(fold(hash)));
};

test("entries of a ring have the hashes of their texts, whatever the key and its length", () => {
  for (let length = 0; length < 80; length++) {
    const key = "10.0.0.1:80 Äpfel.example/0123456789abcdefghijklmnopqrstuvwxyz".repeat(2).slice(0, length);
    for (const [kind, hash] of [
      ["xx", xxHash64],
      ["murmur", murmur],
    ] as const) {
      const expected = Array.from({ length: 12 }, (_, i) => hash(`${key}_${i}`));
      assert.deepEqual(entries(kind, key, 12), expected, `${kind} ${key}`);
    }
  }
});

test("an entry's number is written with all its digits", () => {
  const hashes = entries("xx", "k", 10_002);
  for (const i of [0, 9, 10, 11, 99, 100, 999, 1000, 9999, 10_000, 10_001]) assert.equal(hashes[i], xxHash64(`k_${i}`));
});

test("entries are sorted by both halves of their hashes, and the earlier of equal ones comes first", () => {
  for (const count of [0, 1, 500, 40_000]) {
    const random = seededRandom(count);
    // Few different halves, so that many are the same.
    const half = (): number => (Math.floor(random() * 60) * 0x0444_4445) >>> 0;
    const keys = { upper: new Uint32Array(count).map(half), lower: new Uint32Array(count).map(half) };
    const owners = new Uint32Array(count).map((_, index) => index);
    const hash = (i: number): number => (keys.upper[i] ?? 0) * 0x1_0000 + (keys.lower[i] ?? 0) / 0x1_0000;
    const expected = Array.from(owners).sort((a, b) => hash(a) - hash(b) || a - b);
    const sorted = sortEntries(keys, owners);
    assert.deepEqual(Array.from(sorted.owners), expected);
    assert.deepEqual(
      sorted.upper,
      owners.map((_, i) => keys.upper[expected[i] ?? 0] ?? 0),
    );
    assert.deepEqual(
      sorted.lower,
      owners.map((_, i) => keys.lower[expected[i] ?? 0] ?? 0),
    );
  }
});
