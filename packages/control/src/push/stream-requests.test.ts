import assert from "node:assert/strict";
import { test } from "node:test";
import { type DeltaRequest, encodeDeltaRequest } from "@weft/xds/discovery";
import { typeUrl } from "@weft/xds/resource";
import { createRequestReader } from "./stream-requests.ts";

const names = (first: number): readonly string[] =>
  Array.from({ length: 100 }, (_, i) => `outbound|80||s${first + i}.default.svc.cluster.local`);
const encode = (over: Partial<DeltaRequest>): Uint8Array =>
  encodeDeltaRequest({
    node: undefined,
    typeUrl: typeUrl("envoy.config.endpoint.v3.ClusterLoadAssignment"),
    subscribe: [],
    unsubscribe: [],
    initialVersions: new Map(),
    responseNonce: "",
    errorDetail: undefined,
    ...over,
  });

test("requests in the same words are one object, others are not mixed up, however many there are", () => {
  const read = createRequestReader();
  const first = read("delta", encode({ subscribe: names(0) }));
  assert.equal(read("delta", encode({ subscribe: names(0) })), first);
  for (let n = 0; n < 40; n++) {
    const request = read("delta", encode({ subscribe: names(n) }));
    assert.deepEqual(request.mode === "delta" && request.subscribe, names(n));
  }
});

test("what many acknowledge in the same words is read once, however others come between", () => {
  const read = createRequestReader();
  const ack = (nonce: string): Uint8Array => encode({ responseNonce: nonce });
  const first = read("delta", ack("7-EDS"));
  assert.equal(read("delta", ack("7-EDS")), first);
  assert.equal(read("delta", ack("8-EDS")).nonce, "8-EDS");
  assert.equal(read("delta", ack("7-EDS")).nonce, "7-EDS");
  const bytes = Buffer.from(ack("9-EDS"));
  read("delta", bytes);
  bytes.write("8", bytes.indexOf("9-EDS"));
  assert.equal(read("delta", bytes).nonce, "8-EDS");
  assert.equal(read("delta", ack("9-EDS")).nonce, "9-EDS");
});

test("a request that says who asks, or what was refused, is read each time", () => {
  const read = createRequestReader();
  const who = { id: "a", metadata: { NAMESPACE: "default" } };
  const bytes = encode({ subscribe: names(0), node: who });
  assert.notEqual(read("delta", bytes), read("delta", bytes));
  assert.equal(read("delta", bytes).node?.id, "a");
  const small = encode({ node: who });
  assert.notEqual(read("delta", small), read("delta", small));
  const nack = encode({ errorDetail: { code: 3, message: "no" }, responseNonce: "1" });
  assert.notEqual(read("delta", nack), read("delta", nack));
  const refused = encode({ subscribe: names(0), errorDetail: { code: 3, message: "no" }, responseNonce: "1" });
  assert.notEqual(read("delta", refused), read("delta", refused));
});

test("what is no request throws, also when it comes again", () => {
  const read = createRequestReader();
  const garbage = Buffer.alloc(2000, 0xff);
  assert.throws(() => read("delta", garbage));
  assert.throws(() => read("delta", garbage));
});
