import assert from "node:assert/strict";
import { test } from "node:test";
import { type NodeJson, parseProxyFacts } from "../generate/proxy-facts.ts";
import { messageBytesMaxOf } from "./message-limits.ts";

const id = "sidecar~10.0.0.1~web.default~default.svc.cluster.local";
const limitOf = (node: NodeJson): number => messageBytesMaxOf(parseProxyFacts(node)) / 2 ** 20;

test("gRPC clients and those we know nothing of get 4 MiB, our sidecar and Envoy what they take", () => {
  assert.equal(limitOf({ id: "any", userAgentName: "gRPC Go" }), 4);
  assert.equal(limitOf({ id: "any", userAgentName: "envoy", metadata: { GENERATOR: "grpc" } }), 4);
  assert.equal(limitOf({ id }), 4);
  assert.equal(messageBytesMaxOf(undefined) / 2 ** 20, 4);
  assert.equal(limitOf({ id, metadata: { WEFT_VERSION: "1" } }), 64);
  assert.equal(limitOf({ id, userAgentName: "envoy" }), 128);
});
