import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readDeltaAck } from "./delta-ack.ts";
import { type DeltaRequest, decodeDeltaRequest, encodeDeltaRequest } from "./discovery.ts";
import { resourceTypes } from "./resource.ts";

const typeUrl = resourceTypes[0]?.typeUrl ?? "";
const request = (over: Partial<DeltaRequest> = {}): DeltaRequest => ({
  node: undefined,
  typeUrl,
  subscribe: [],
  unsubscribe: [],
  initialVersions: new Map(),
  responseNonce: "12-CDS",
  errorDetail: undefined,
  ...over,
});
const read = (over: Partial<DeltaRequest>) => readDeltaAck(encodeDeltaRequest(request(over)));

test("a plain ACK of every type is read", () => {
  for (const { typeUrl } of resourceTypes) assert.deepEqual(read({ typeUrl }), { typeUrl, nonce: "12-CDS" });
});

test("what is more than an ACK is left to the full decoder", () => {
  const more: readonly Partial<DeltaRequest>[] = [
    { errorDetail: { code: 3, message: "no" } },
    { errorDetail: { code: 0, message: "" } },
    { subscribe: ["a"] },
    { subscribe: [""] },
    { unsubscribe: ["a"] },
    { initialVersions: new Map([["a", "1"]]) },
    { node: { id: "n" } },
    { node: {} },
    { responseNonce: "" },
    { typeUrl: "" },
    { typeUrl: "type.googleapis.com/unknown" },
    { responseNonce: "n".repeat(200) },
    { responseNonce: "nonce-\u00e9" },
  ];
  for (const over of more) assert.equal(read(over), undefined, JSON.stringify(over));
});

test("bytes that are no message, cut short or repeated are left to the full decoder", () => {
  const good = encodeDeltaRequest(request());
  assert.equal(readDeltaAck(new Uint8Array(0)), undefined);
  for (let length = 1; length < good.length; length++) assert.equal(readDeltaAck(good.subarray(0, length)), undefined);
  assert.equal(readDeltaAck(Buffer.concat([good, good])), undefined);
  const invalidUtf8 = Buffer.from(good);
  invalidUtf8[good.length - 1] = 0xff;
  assert.equal(readDeltaAck(invalidUtf8), undefined);
});

test("whatever is read so, the full decoder reads the same", () => {
  const good = encodeDeltaRequest(request());
  const edits = fc.array(fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 })), { maxLength: 3 });
  fc.assert(
    fc.property(edits, fc.nat({ max: 3 }), (changes, skipped) => {
      const bytes = Buffer.concat([Buffer.alloc(skipped), good]).subarray(skipped);
      for (const [at, value] of changes) bytes[at] = value;
      const ack = readDeltaAck(bytes);
      if (ack) assert.deepEqual(decodeDeltaRequest(bytes), request({ typeUrl: ack.typeUrl, responseNonce: ack.nonce }));
    }),
    { numRuns: 1_000 },
  );
});
