import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DeltaRequest, decodeDeltaRequest, encodeDeltaRequest } from "./discovery.ts";
import { readPlainDeltaRequest } from "./plain-delta-request.ts";
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
const read = (over: Partial<DeltaRequest>) => readPlainDeltaRequest(encodeDeltaRequest(request(over)));
const plain = {
  node: undefined,
  typeUrl,
  nonce: "12-CDS",
  subscribe: [],
  unsubscribe: [],
  initialVersions: new Map<string, string>(),
};

test("an ACK of every type is read, and names to subscribe to", () => {
  for (const { typeUrl } of resourceTypes) assert.deepEqual(read({ typeUrl }), { ...plain, typeUrl });
  const names = Array.from({ length: 300 }, (_, i) => `outbound|80||s${i}.default.svc.cluster.local`);
  assert.deepEqual(read({ subscribe: names }), { ...plain, subscribe: names });
  assert.deepEqual(read({ unsubscribe: ["*"], responseNonce: "" }), { ...plain, nonce: "", unsubscribe: ["*"] });
  assert.deepEqual(read({ responseNonce: "" }), { ...plain, nonce: "" });
  const long = "n".repeat(200);
  assert.deepEqual(read({ responseNonce: long, subscribe: ["", long] }), {
    ...plain,
    nonce: long,
    subscribe: ["", long],
  });
});

test("a first request is read, with what the client is and holds", () => {
  const initialVersions = new Map(Array.from({ length: 300 }, (_, i) => [`outbound|80||s${i}`, `${i}`]));
  assert.deepEqual(read({ node: { id: "n" }, initialVersions, responseNonce: "" }), {
    ...plain,
    node: { id: "n" },
    initialVersions,
    nonce: "",
  });
  assert.deepEqual(read({ node: {} }), { ...plain, node: {} });
});

test("what is more than that is left to the full decoder", () => {
  const more: readonly Partial<DeltaRequest>[] = [
    { errorDetail: { code: 3, message: "no" } },
    { errorDetail: { code: 0, message: "" } },
    { subscribe: ["a", "\u00e9"] },
    { unsubscribe: ["\u00e9"] },
    { initialVersions: new Map([["a", "\u00e9"]]) },
    { node: { id: "\u00e9" } },
    { typeUrl: "" },
    { typeUrl: "type.googleapis.com/unknown" },
    { responseNonce: "nonce-\u00e9" },
  ];
  for (const over of more) assert.equal(read(over), undefined, JSON.stringify(over));
});

test("bytes that are no message, cut short or repeated are left to the full decoder", () => {
  const good = encodeDeltaRequest(request({ subscribe: ["a"] }));
  assert.equal(readPlainDeltaRequest(new Uint8Array(0)), undefined);
  assert.equal(readPlainDeltaRequest(Buffer.concat([good, good])), undefined);
  const invalidUtf8 = Buffer.from(good);
  invalidUtf8[good.length - 1] = 0xff;
  assert.equal(readPlainDeltaRequest(invalidUtf8), undefined);
});

test("whatever is read so, the full decoder reads the same, and what is no message is not read", () => {
  const initialVersions = new Map([["a", "1"]]);
  const node = {
    id: "n",
    metadata: { a: [null, true, 1.5, { b: "c" }] },
    locality: { region: "r" },
    userAgentBuildVersion: { version: { majorNumber: 1 } },
    extensions: [{ name: "x", typeUrls: ["u"] }, { disabled: true }],
    clientFeatures: ["f"],
  };
  const good = encodeDeltaRequest(request({ node, subscribe: ["a", "b-c"], unsubscribe: ["d"], initialVersions }));
  const edits = fc.array(fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 })), { maxLength: 3 });
  fc.assert(
    fc.property(edits, fc.nat({ max: 3 }), fc.nat({ max: good.length }), (changes, skipped, cut) => {
      const bytes = Buffer.concat([Buffer.alloc(skipped), good]).subarray(skipped, skipped + good.length - cut);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const got = readPlainDeltaRequest(bytes);
      if (!got) return;
      const { nonce, ...names } = got;
      assert.deepEqual(decodeDeltaRequest(bytes), request({ ...names, responseNonce: nonce }));
    }),
    { numRuns: 10_000 },
  );
});
