import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeAuthenticateAnswer,
  decodeLeaseTimeToLive,
  decodeRangeAnswer,
  decodeWatchAnswer,
  type EtcdKeyValue,
  encodeAuthenticate,
  encodeProgressRequest,
  encodeRange,
  encodeWatch,
  keyAfter,
  prefixEnd,
} from "./messages.ts";
import { encodeLeaseTimeToLive, encodeRangeAnswer, encodeWatchAnswer, readMessage } from "./testing/server-messages.ts";

const bytes = fc.uint8Array({ maxLength: 40 });
const revision = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const record: fc.Arbitrary<EtcdKeyValue> = fc.record({
  key: bytes,
  value: bytes,
  modRevision: revision,
  lease: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
});
const clusterId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const rangeAnswer = fc.record({ clusterId, revision, records: fc.array(record), more: fc.boolean(), count: fc.nat() });
const watchAnswer = fc.record({
  ...{ clusterId, revision, created: fc.boolean(), canceled: fc.boolean(), compactRevision: revision },
  ...{ cancelReason: fc.string({ unit: "grapheme" }), fragment: fc.boolean() },
  events: fc.array(
    fc.record({
      kind: fc.constantFrom("put" as const, "delete" as const),
      record,
      before: fc.option(record, { nil: undefined }),
    }),
  ),
});
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, part) => {
      if (typeof part === "bigint") return String(part);
      return part instanceof Uint8Array ? [...part] : part;
    }),
  );

test("answers are read as they were written", () => {
  fc.assert(
    fc.property(rangeAnswer, (answer) =>
      assert.deepEqual(plain(decodeRangeAnswer(encodeRangeAnswer(answer))), plain(answer)),
    ),
  );
  fc.assert(
    fc.property(watchAnswer, (answer) =>
      assert.deepEqual(plain(decodeWatchAnswer(encodeWatchAnswer(answer))), plain(answer)),
    ),
  );
});

test("the time of a lease is read, also of one that is gone", () => {
  for (const seconds of [30, 1, -1]) assert.equal(decodeLeaseTimeToLive(encodeLeaseTimeToLive(seconds)), seconds);
});

test("an answer that was cut anywhere, and any other bytes, are read or refused, never worse", () => {
  const read = (decode: (from: Uint8Array) => unknown, from: Uint8Array): void => {
    try {
      decode(from);
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  };
  fc.assert(
    fc.property(watchAnswer, rangeAnswer, (watch, range) => {
      const [a, b] = [encodeWatchAnswer(watch), encodeRangeAnswer(range)];
      for (let at = 0; at < a.length; at++) read(decodeWatchAnswer, a.subarray(0, at));
      for (let at = 0; at < b.length; at++) read(decodeRangeAnswer, b.subarray(0, at));
    }),
    { numRuns: 20 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      for (const decode of [decodeRangeAnswer, decodeWatchAnswer, decodeAuthenticateAnswer]) read(decode, noise);
    }),
    { numRuns: 2_000 },
  );
});

test("requests have the fields of etcd's protocol", () => {
  const key = Buffer.from("/a/");
  const rangeEnd = prefixEnd(key);
  const range = readMessage(encodeRange({ key, rangeEnd, limit: 10, revision: 2 ** 40 }));
  assert.deepEqual(
    plain([...range]),
    plain(
      [
        [1, key],
        [2, rangeEnd],
        [3, 10],
        [4, 2 ** 40],
      ].map(([a, b]) => [a, typeof b === "number" ? b : new Uint8Array(b as Uint8Array)]),
    ),
  );
  assert.deepEqual([...readMessage(encodeRange({ key })).keys()], [1]);
  const create = readMessage(encodeWatch({ key, rangeEnd, startRevision: 7 })).get(1) as Uint8Array;
  assert.deepEqual(plain([...readMessage(create)].slice(2)), [
    [3, 7],
    [4, 1],
    [6, 1],
    [8, 1],
  ]);
  assert.deepEqual([...readMessage(encodeProgressRequest()).keys()], [3]);
  const login = readMessage(encodeAuthenticate("me", "pässword"));
  assert.equal(Buffer.from(login.get(2) as Uint8Array).toString(), "pässword");
});

test("a prefix ends before the first key that does not begin with it", () => {
  assert.deepEqual([...prefixEnd(Buffer.from("/a/"))], [...Buffer.from("/a0")]);
  assert.deepEqual([...prefixEnd(Uint8Array.of(1, 0xff, 0xff))], [2]);
  assert.deepEqual([...prefixEnd(Uint8Array.of(0xff))], [0]);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 4 }), bytes, (prefix, rest) => {
      const [end, key] = [Buffer.from(prefixEnd(prefix)), Buffer.from([...prefix, ...rest])];
      assert.ok(end.equals(Buffer.of(0)) || Buffer.compare(key, end) < 0);
      assert.ok(Buffer.compare(keyAfter(key), key) > 0);
    }),
  );
});
