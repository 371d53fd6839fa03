import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientResponse } from "./client-dialect.ts";
import { type ClientOutput, type ClientStream, createClientStream } from "./client-stream.ts";
import { encodeResource } from "./codec.ts";
import {
  decodeDeltaResponse,
  decodeDiscoveryResponse,
  type EncodedResource,
  encodeDeltaResponse,
  encodeDiscoveryResponse,
} from "./discovery.ts";
import { resourceType } from "./resource.ts";

const { typeUrl } = resourceType("cluster");
const forms = ["delta", "sotw"] as const;
type Form = (typeof forms)[number];

const body = (name: string, ttlMs?: number, version = "1"): EncodedResource => ({
  name,
  version,
  typeUrl,
  value: encodeResource("cluster", { name }),
  ...(ttlMs === undefined ? {} : { ttlMs }),
});
const pulse = (name: string, ttlMs?: number, version = "1"): EncodedResource => ({
  name,
  version,
  typeUrl,
  value: undefined,
  ...(ttlMs === undefined ? {} : { ttlMs }),
});

let nonces = 0;
/** Over the wire and back, so that the codec is part of what is tested. */
const response = (form: Form, resources: readonly EncodedResource[]): ClientResponse => {
  const nonce = `n${++nonces}`;
  return form === "delta"
    ? {
        form,
        ...decodeDeltaResponse(encodeDeltaResponse({ systemVersion: "", resources, typeUrl, removed: [], nonce })),
      }
    : { form, ...decodeDiscoveryResponse(encodeDiscoveryResponse({ versionInfo: "1", resources, typeUrl, nonce })) };
};

const open = (form: Form): ClientStream => {
  const stream = createClientStream({ form, node: {}, random: () => 0 });
  stream.handle({ kind: "want", of: "cluster", names: "*" }, 0);
  stream.handle({ kind: "tick" }, 0);
  stream.handle({ kind: "opened" }, 0);
  return stream;
};
const give = (
  stream: ClientStream,
  form: Form,
  resources: readonly EncodedResource[],
  { nowMs = 0, refused = [] as readonly string[] } = {},
): readonly ClientOutput[] => {
  const outputs = stream.handle({ kind: "response", response: response(form, resources) }, nowMs);
  const offer = outputs.find((output) => output.kind === "offer");
  assert.ok(offer);
  const rejections = refused.map((name) => ({ name, reason: "no" }));
  return [...outputs, ...stream.handle({ kind: "verdict", offer: offer.offer, rejections }, nowMs)];
};
const gone = (names: readonly string[]) => [{ kind: "expired", of: "cluster", names }];
const held = (stream: ClientStream): readonly string[] => [...stream.held("cluster").keys()].sort();

for (const form of forms) {
  test(`${form}: a resource whose lifetime ends without a refresh is given up, others stay`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000), body("b")]);
    assert.equal(stream.deadlineMs(), 5_000);
    assert.deepEqual(stream.handle({ kind: "tick" }, 4_999), []);
    assert.deepEqual(stream.handle({ kind: "tick" }, 5_000), gone(["a"]));
    assert.deepEqual(held(stream), ["b"]);
    assert.equal(stream.deadlineMs(), undefined);
  });

  test(`${form}: a heartbeat without a body renews the lifetime, is acknowledged, and deletes nothing`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000), body("b")]);
    const outputs = give(stream, form, [pulse("a", 5_000)], { nowMs: 4_000 });
    const [offer, answer] = outputs;
    assert.deepEqual(offer?.kind === "offer" && offer.changes, []);
    assert.equal(answer?.kind === "send" && answer.request.errorDetail, undefined);
    assert.deepEqual(held(stream), ["a", "b"]);
    assert.deepEqual(stream.handle({ kind: "tick" }, 8_999), []);
    assert.deepEqual(stream.handle({ kind: "tick" }, 9_000), gone(["a"]));
  });

  test(`${form}: a heartbeat without a lifetime makes the resource stay`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000)]);
    give(stream, form, [pulse("a")], { nowMs: 1_000 });
    assert.equal(stream.deadlineMs(), undefined);
  });

  test(`${form}: heartbeats of another version, or of what is not held, renew nothing`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000)]);
    give(stream, form, [pulse("a", 60_000, "2"), pulse("x", 1_000)], { nowMs: 1_000 });
    assert.deepEqual(held(stream), ["a"]);
    assert.equal(stream.deadlineMs(), 5_000);
  });

  test(`${form}: a refused update leaves the lifetime of what is held as it was`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000)]);
    give(stream, form, [body("a", 60_000, "2")], { nowMs: 1_000, refused: ["a"] });
    assert.deepEqual(stream.handle({ kind: "tick" }, 5_000), gone(["a"]));
  });

  test(`${form}: a new body sets the lifetime anew, counted from its arrival`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000)]);
    give(stream, form, [body("a", 1_500, "2")], { nowMs: 2_000 });
    assert.equal(stream.deadlineMs(), 3_500);
    give(stream, form, [body("a", undefined, "3")], { nowMs: 3_000 });
    assert.equal(stream.deadlineMs(), undefined);
  });

  test(`${form}: lifetimes run on while no stream is there, and what ended is not claimed on the next`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000), body("b", 60_000)]);
    stream.handle({ kind: "closed" }, 1_000);
    const outputs = stream.handle({ kind: "tick" }, 6_000);
    assert.deepEqual(outputs, [{ kind: "open" }, ...gone(["a"])]);
    const [first] = stream.handle({ kind: "opened" }, 6_000);
    assert.ok(first?.kind === "send");
    if (first.request.form === "delta") assert.deepEqual([...first.request.initialVersions], [["b", "1"]]);
    else assert.equal(first.request.versionInfo, "");
  });

  test(`${form}: what nobody wants any more has no lifetime`, () => {
    const stream = open(form);
    give(stream, form, [body("a", 5_000), body("b", 5_000)]);
    stream.handle({ kind: "want", of: "cluster", names: new Set(["b"]) }, 1_000);
    assert.deepEqual(stream.handle({ kind: "tick" }, 5_000), gone(["b"]));
  });
}

test("sotw: heartbeats beside bodies are part of the full set", () => {
  const stream = open("sotw");
  give(stream, "sotw", [body("a", 5_000), body("b"), body("c")]);
  give(stream, "sotw", [pulse("a", 5_000), body("b")], { nowMs: 1_000 });
  assert.deepEqual(held(stream), ["a", "b"]);
});

test("a lifetime of zero or below is none", () => {
  for (const form of forms) {
    const stream = open(form);
    give(stream, form, [body("a", 0)]);
    assert.equal(stream.deadlineMs(), undefined);
  }
});
