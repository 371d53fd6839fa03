import assert from "node:assert/strict";
import { test } from "node:test";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { decodeLeaseKeys, encodeLeaseTimeToLive } from "./lease-keys.ts";

const encoded = (ttlSeconds: number, keys: readonly Uint8Array[]): Uint8Array => {
  const writer = new BinaryWriter()
    .uint32(0o12)
    .bytes(new Uint8Array([8, 1]))
    .uint32(0o20)
    .int64(7);
  writer.uint32(0o30).int64(ttlSeconds).uint32(0o40).int64(30);
  for (const key of keys) writer.uint32(0o52).bytes(key);
  return writer.finish();
};

test("the keys of a lease are read as they were written, and a lease that is gone has less than no time", () => {
  fc.assert(
    fc.property(fc.integer({ min: -1, max: 9_000 }), fc.array(fc.uint8Array()), (ttlSeconds, keys) => {
      assert.deepEqual(decodeLeaseKeys(encoded(ttlSeconds, keys)), { ttlSeconds, keys });
    }),
  );
});

test("an answer cut anywhere within a field is refused, and never read as another's keys", () => {
  const keys = [Buffer.from("/weft/a"), Buffer.from("/weft/b")];
  const whole = encoded(12, keys);
  for (let cut = 0; cut < whole.length; cut++) {
    try {
      const { keys: read } = decodeLeaseKeys(whole.subarray(0, cut));
      assert.deepEqual(read.map(String), keys.slice(0, read.length).map(String));
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  }
});

test("the question names the lease and asks for its keys", () => {
  assert.deepEqual([...encodeLeaseTimeToLive(5n)], [0o10, 5, 0o20, 1]);
});
