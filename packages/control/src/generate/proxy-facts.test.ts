import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { parseProxyFacts } from "./proxy-facts.ts";

const id = "sidecar~10.0.0.1~web-7.shop~shop.svc.cluster.local";

test("a node's id and metadata give the facts, with Istio's defaults", () => {
  const facts = parseProxyFacts({ id, metadata: {}, locality: { region: "eu", zone: "a" } });
  assert.deepEqual(facts, {
    id,
    authenticated: false,
    kind: "sidecar",
    addresses: ["10.0.0.1"],
    workload: "web-7",
    namespace: "shop",
    serviceAccount: "default",
    labels: {},
    cluster: "",
    locality: "eu/a/",
    mode: "REDIRECT",
    agent: "",
    native: false,
    asksOnDemand: false,
    sdsCluster: undefined,
    dnsCapture: false,
    dnsAddress: undefined,
    outbound: { host: "127.0.0.1", port: 15001 },
    inbound: [],
    envoyFacts: { istioVersion: "1.31.0", metadata: new Map() },
  });
});

test("metadata says the rest: mode, keys, addresses, ports", () => {
  const facts = parseProxyFacts({
    id,
    metadata: {
      NAMESPACE: "other",
      WEFT_VERSION: "1",
      INTERCEPTION_MODE: "NONE",
      INSTANCE_IPS: "10.0.0.1,fd00::1",
      WEFT_OUTBOUND: "127.0.0.1:16001",
      LABELS: { app: "web", wrong: 1 },
      WEFT_INBOUND: '[{"port":"9001","appPort":3000,"protocol":"grpc"}]',
    },
  });
  assert.deepEqual([facts.namespace, facts.native, facts.sdsCluster, facts.mode], ["other", true, "sds-grpc", "NONE"]);
  assert.deepEqual(
    [facts.addresses, facts.outbound.port, facts.labels],
    [["10.0.0.1", "fd00::1"], 16001, { app: "web" }],
  );
  assert.deepEqual(facts.inbound, [
    {
      address: "127.0.0.1",
      port: 9001,
      appAddress: "127.0.0.1",
      appPort: 3000,
      protocol: "grpc",
      name: "grpc",
      service: undefined,
    },
  ]);
  const stock = parseProxyFacts({ id, metadata: { WEFT_SDS: "agent" } });
  assert.deepEqual([stock.native, stock.sdsCluster], [false, "agent"]);
});

test("gateways and gRPC clients are known by id, metadata or user agent; a gRPC client's id may be anything", () => {
  assert.equal(parseProxyFacts({ id: "router~1.2.3.4~gw.ns~ns.svc.cluster.local" }).kind, "gateway");
  assert.equal(parseProxyFacts({ id: "x", userAgentName: "grpc-node-js-xds" }).kind, "grpc");
  assert.equal(parseProxyFacts({ id: "x", userAgentName: "gRPC Go" }).kind, "grpc");
  assert.equal(parseProxyFacts({ id, metadata: { GENERATOR: "grpc", WEFT_VERSION: "1" } }).native, false);
});

test("nodes that are wrong are refused", () => {
  const cases: readonly (readonly [Parameters<typeof parseProxyFacts>[0], string])[] = [
    [{}, "WF3001"],
    [{ id: "web" }, "WF3001"],
    [{ id: "waypoint~1~a.b~c" }, "WF3001"],
    [{ id, metadata: { INTERCEPTION_MODE: "none" } }, "WF3002"],
    [{ id, metadata: { WEFT_INBOUND: "{" } }, "WF3002"],
    [{ id, metadata: { WEFT_INBOUND: { port: 1 } } }, "WF3002"],
    [{ id, metadata: { WEFT_INBOUND: [{ port: 0 }] } }, "WF3002"],
    [{ id, metadata: { WEFT_INBOUND: [{}] } }, "WF3002"],
    [{ id, metadata: { WEFT_INBOUND: Array.from({ length: 257 }, () => ({ port: 1 })) } }, "WF3002"],
    [{ id, metadata: { LABELS: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [i, ""])) } }, "WF3002"],
  ];
  for (const [node, code] of cases) {
    assert.throws(
      () => parseProxyFacts(node),
      (error) => error instanceof WeftError && error.code === code,
      JSON.stringify(node).slice(0, 80),
    );
  }
});
