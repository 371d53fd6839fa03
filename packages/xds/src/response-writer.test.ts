import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeDeltaResponse, decodeDiscoveryResponse } from "./discovery.ts";
import { resourceType } from "./resource.ts";
import { createResponseWriter } from "./response-writer.ts";

const { typeUrl } = resourceType("cluster");
const text = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }));
const entry = fc.record({
  typeUrl: fc.constant(typeUrl),
  name: text,
  version: text,
  json: fc.constant({}),
  endpointsName: fc.constant(undefined),
  bytes: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(70_000).fill(1))),
});
const response = fc.record({
  typeUrl: fc.oneof(fc.constant(typeUrl), fc.constant("")),
  nonce: text,
  version: text,
  entries: fc.array(entry, { maxLength: 4 }),
  removed: fc.array(text, { maxLength: 3 }),
});

const unframed = (frame: Uint8Array): Uint8Array => {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  assert.deepEqual([view[0], view.readUInt32BE(1)], [0, frame.length - 5]);
  return new Uint8Array(frame.subarray(5));
};

test("what is written is what the decoder of protobuf reads, in both forms", () => {
  const write = createResponseWriter();
  fc.assert(
    fc.property(response, (given) => {
      const { nonce, version, removed, entries } = given;
      const delta = decodeDeltaResponse(unframed(write({ mode: "delta", ...given })));
      assert.deepEqual([delta.nonce, delta.systemVersion, delta.typeUrl], [nonce, version, given.typeUrl]);
      assert.deepEqual(delta.removed, removed);
      const named = entries.map(({ name, version, bytes }) => ({ name, version, typeUrl, value: bytes }));
      assert.deepEqual(delta.resources, named);
      const sotw = decodeDiscoveryResponse(unframed(write({ mode: "sotw", ...given, removed: [] })));
      assert.deepEqual([sotw.nonce, sotw.versionInfo, sotw.typeUrl], [nonce, version, given.typeUrl]);
      const bare = entries.map(({ bytes }) => ({ name: "", version, typeUrl, value: bytes }));
      assert.deepEqual(sotw.resources, bare);
    }),
    { numRuns: 300 },
  );
});

test("a resource written again, in another response or form, is written the same", () => {
  const write = createResponseWriter();
  const one = { typeUrl, name: "a", version: "1", json: {}, endpointsName: undefined, bytes: new Uint8Array([1, 2]) };
  const base = { typeUrl, nonce: "1-CDS", version: "7", entries: [one], removed: [] };
  const first = write({ mode: "delta", ...base });
  write({ mode: "sotw", ...base });
  assert.deepEqual(write({ mode: "delta", ...base }), first);
  assert.equal(decodeDeltaResponse(unframed(write({ mode: "delta", ...base, nonce: "2-CDS" }))).nonce, "2-CDS");
});
