/** What each block of a DestinationRule comes to in the clusters and endpoints of its clients and its server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeResource } from "@weft/xds/codec";
import type { MeshSettings } from "../model/mesh-settings.ts";
import { type InstanceInput, testMesh, testProxy } from "./test-mesh.ts";

const host = "catalog.default.svc.cluster.local";
const catalog: InstanceInput = { service: "catalog", id: "a", port: 9001, portName: "http", servicePort: 80 };

interface Input {
  readonly policy: string;
  readonly more?: string;
  readonly proxy?: Record<string, unknown>;
  readonly id?: string;
  readonly mesh?: Partial<MeshSettings>;
  readonly instances?: readonly InstanceInput[];
}

const stock = { WEFT_VERSION: undefined, WEFT_SDS: "keys" };

const generate = ({ policy, more = "", proxy = {}, id, mesh, instances = [catalog] }: Input) => {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: catalog }
spec: { host: catalog, trafficPolicy: ${policy}${more} }
`;
  const made = testMesh({ yaml, instances, ...(mesh ? { mesh } : {}) });
  const { resources, notes } = made.generator.generate(testProxy(proxy, id));
  for (const cluster of resources.cluster.values()) encodeResource("cluster", cluster);
  for (const endpoints of resources.endpoints.values()) encodeResource("endpoints", endpoints);
  return { ...resources, notes };
};

const clusterOf = (input: Input, subset = "", port = 80) => {
  const cluster = generate(input).cluster.get(`outbound|${port}|${subset}|${host}`);
  assert.ok(cluster);
  return cluster;
};

const httpOptions = (cluster: ReturnType<typeof clusterOf>): Record<string, unknown> =>
  (Object.values(cluster.typedExtensionProtocolOptions ?? {})[0] ?? {}) as Record<string, unknown>;

test("a port's settings wipe out everything around them, also in a subset and also what they cannot say", () => {
  const policy = `{
    connectionPool: { tcp: { maxConnections: 7 } }, outlierDetection: { interval: 1s }, tls: { mode: DISABLE },
    retryBudget: { percent: 50 }, proxyProtocol: { version: V2 },
    portLevelSettings: [{ port: { number: 80 }, loadBalancer: { simple: RANDOM } }] }`;
  const cluster = clusterOf({ policy });
  assert.equal(cluster.lbPolicy, "RANDOM");
  assert.equal(cluster.outlierDetection, undefined);
  assert.equal(cluster.circuitBreakers?.thresholds?.[0]?.maxConnections, 4_294_967_295);
  assert.equal(cluster.circuitBreakers?.thresholds?.[0]?.retryBudget, undefined);
  assert.equal(cluster.transportSocketMatches?.length, 2);
  const subset = clusterOf(
    {
      policy: "{ connectionPool: { tcp: { maxConnections: 7 } }, outlierDetection: { interval: 1s } }",
      more: `, subsets: [{ name: v1, labels: { v: "1" }, trafficPolicy: {
        portLevelSettings: [{ port: { number: 80 }, loadBalancer: { simple: RANDOM } }] } }]`,
    },
    "v1",
  );
  assert.equal(subset.outlierDetection, undefined);
  assert.equal(subset.circuitBreakers?.thresholds?.[0]?.maxConnections, 4_294_967_295);
});

test("the pool limits of a rule hold at the server's side, and nothing else of it does", () => {
  const proxy = { WEFT_INBOUND: [{ port: 9001, appPort: 8080, protocol: "http", service: "catalog" }] };
  const inbound = (policy: string, more = "") => generate({ policy, more, proxy }).cluster.get("inbound|8080||");
  const cluster = inbound(`{
    connectionPool: { tcp: { maxConnections: 7, connectTimeout: 2s, tcpKeepalive: { time: 5s } },
      http: { maxRequestsPerConnection: 3, idleTimeout: 4s, h2UpgradePolicy: UPGRADE } },
    outlierDetection: { interval: 1s }, loadBalancer: { simple: RANDOM }, tls: { mode: DISABLE } }`);
  assert.ok(cluster);
  assert.equal(cluster.circuitBreakers?.thresholds?.[0]?.maxConnections, 7);
  assert.equal(cluster.connectTimeout, "2s");
  assert.deepEqual(cluster.upstreamConnectionOptions, { tcpKeepalive: { keepaliveTime: 5 } });
  const { commonHttpProtocolOptions, explicitHttpConfig } = httpOptions(cluster);
  assert.deepEqual(commonHttpProtocolOptions, { idleTimeout: "4s", maxRequestsPerConnection: 3 });
  assert.deepEqual(explicitHttpConfig, { httpProtocolOptions: {} }, "the server's side is not upgraded");
  assert.deepEqual(
    [cluster.outlierDetection, cluster.lbPolicy, cluster.commonLbConfig],
    [undefined, undefined, undefined],
  );
  const selective = inbound(
    "{ connectionPool: { tcp: { maxConnections: 7 } } }",
    ", workloadSelector: { matchLabels: { app: x } }",
  );
  assert.equal(selective?.circuitBreakers?.thresholds?.[0]?.maxConnections, 4_294_967_295);
});

test("panic is off unless minHealthPercent gives a threshold, and only then the unhealthy are not sent", () => {
  const instances = [catalog, { ...catalog, id: "b", address: "10.0.0.2", health: "unhealthy" }];
  const of = (policy: string) => {
    const { cluster, endpoints } = generate({ policy, instances });
    const name = `outbound|80||${host}`;
    const states = (endpoints.get(name)?.endpoints ?? []).flatMap(({ lbEndpoints }) =>
      (lbEndpoints ?? []).map(({ healthStatus }) => healthStatus ?? "UNKNOWN"),
    );
    return [cluster.get(name)?.commonLbConfig?.healthyPanicThreshold, states];
  };
  const both = ["UNKNOWN", "UNHEALTHY"];
  assert.deepEqual(of("{}"), [{ value: 0 }, both]);
  assert.deepEqual(of("{ outlierDetection: { interval: 1s } }"), [{ value: 0 }, both]);
  assert.deepEqual(of("{ outlierDetection: { minHealthPercent: 0 } }"), [{ value: 0 }, both]);
  assert.deepEqual(of("{ outlierDetection: { minHealthPercent: 30 } }"), [{ value: 30 }, ["UNKNOWN"]]);
});

test("distribute takes away the endpoints of localities it does not list, and shares are rounded up", () => {
  const at = (id: string, locality: string, weight: number) => ({
    ...catalog,
    id,
    address: `10.0.0.${id}`,
    locality,
    weight,
  });
  const policy = `{ loadBalancer: { localityLbSetting: { distribute: [
    { from: "eu/a/*", to: { "eu/a/*": 67, "eu/b/*": 33 } }] } } }`;
  const instances = [at("1", "eu/a/1", 1), at("2", "eu/a/2", 2), at("3", "eu/b/1", 1), at("4", "us/a/1", 1)];
  const proxy = { LABELS: {} };
  const mesh = testMesh({
    yaml: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: catalog }
spec: { host: catalog, trafficPolicy: ${policy} }
`,
    instances,
  });
  const facts = { ...testProxy(proxy), locality: "eu/a/1" };
  const { endpoints, cluster } = mesh.generator.generate(facts).resources;
  const name = `outbound|80||${host}`;
  assert.deepEqual(
    endpoints
      .get(name)
      ?.endpoints?.map(({ locality, loadBalancingWeight, priority }) => [
        `${locality?.region}/${locality?.zone}/${locality?.subZone}`,
        loadBalancingWeight,
        priority ?? 0,
      ]),
    [
      ["eu/a/1", 23, 0],
      ["eu/a/2", 45, 0],
      ["eu/b/1", 33, 0],
    ],
  );
  assert.deepEqual(cluster.get(name)?.commonLbConfig?.localityWeightedLbConfig, {});
});

const priorities = (policy: string, labels: Record<string, string> = {}) => {
  const at = (id: string, locality: string, more: Record<string, string> = {}) => ({
    ...catalog,
    id,
    address: `10.0.0.${id}`,
    locality,
    labels: more,
  });
  const instances = [
    at("1", "eu/a/1"),
    at("2", "eu/a/2", { version: "v2" }),
    at("3", "eu/b/1"),
    at("4", "us/a/1"),
    at("5", "ap/a/1"),
  ];
  const mesh = testMesh({
    yaml: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: catalog }
spec: { host: catalog, trafficPolicy: ${policy} }
`,
    instances,
  });
  const facts = { ...testProxy({ LABELS: labels }), locality: "eu/a/1" };
  const { endpoints, cluster } = mesh.generator.generate(facts).resources;
  const found = endpoints.get(`outbound|80||${host}`)?.endpoints ?? [];
  const places = found.flatMap(({ lbEndpoints, priority }) =>
    (lbEndpoints ?? []).map(({ endpoint }) => [endpoint?.address?.socketAddress?.address?.slice(-1), priority ?? 0]),
  );
  return { places: Object.fromEntries(places), common: cluster.get(`outbound|80||${host}`)?.commonLbConfig };
};

test("failover needs outlier detection, orders by nearness, and prefers the region it names", () => {
  const outliers = "outlierDetection: { interval: 1s }";
  assert.deepEqual(priorities("{}").places, { 1: 0, 2: 0, 3: 0, 4: 0, 5: 0 });
  assert.deepEqual(priorities(`{ ${outliers} }`).places, { 1: 0, 2: 1, 3: 2, 4: 3, 5: 3 });
  const to = `{ ${outliers}, loadBalancer: { localityLbSetting: { failover: [{ from: eu, to: us }] } } }`;
  assert.deepEqual(priorities(to).places, { 1: 0, 2: 1, 3: 2, 4: 3, 5: 4 });
  assert.deepEqual(priorities(to).common?.localityWeightedLbConfig, {});
  assert.equal(priorities(`{ ${outliers} }`).common?.localityWeightedLbConfig, undefined);
  const off = `{ ${outliers}, loadBalancer: { localityLbSetting: { enabled: false } } }`;
  assert.deepEqual(priorities(off).places, { 1: 0, 2: 0, 3: 0, 4: 0, 5: 0 });
});

test("failoverPriority counts labels from the first on; a label that both lack is shared, topology comes from the place", () => {
  const by = (keys: string) =>
    `{ outlierDetection: { interval: 1s }, loadBalancer: { localityLbSetting: { failoverPriority: [${keys}] } } }`;
  assert.deepEqual(priorities(by("version"), { version: "v2" }).places, { 1: 1, 2: 0, 3: 1, 4: 1, 5: 1 });
  assert.deepEqual(priorities(by("version")).places, { 1: 0, 2: 1, 3: 0, 4: 0, 5: 0 });
  assert.deepEqual(priorities(by("version=v2")).places, { 1: 1, 2: 0, 3: 1, 4: 1, 5: 1 });
  const topology = by("topology.kubernetes.io/region, topology.kubernetes.io/zone");
  assert.deepEqual(priorities(topology).places, { 1: 0, 2: 0, 3: 1, 4: 2, 5: 2 });
});

test("zone awareness leaves zones of a region together and hands the rest to the proxy", () => {
  const zones = "loadBalancer: { zoneAwareLbSetting: { minClusterSize: 3, failover: [{ from: eu, to: us }] } }";
  const { places, common } = priorities(`{ outlierDetection: { interval: 1s }, ${zones} }`);
  assert.deepEqual(places, { 1: 0, 2: 0, 3: 0, 4: 1, 5: 2 });
  assert.deepEqual(common?.zoneAwareLbConfig, { minClusterSize: "3" });
  const off = priorities("{ loadBalancer: { zoneAwareLbSetting: { enabled: false } } }").common;
  assert.deepEqual(off?.zoneAwareLbConfig, { routingEnabled: { value: 0 }, minClusterSize: "6" });
});

test("a secret's name gives sidecars no TLS and a finding, unless a selector picks them; gateways read it", () => {
  const policy = "{ tls: { mode: MUTUAL, credentialName: bank } }";
  const bare = generate({ policy, proxy: stock });
  const name = `outbound|80||${host}`;
  assert.equal(bare.cluster.get(name)?.transportSocket, undefined);
  assert.equal(bare.cluster.get(name)?.transportSocketMatches, undefined);
  assert.deepEqual(
    bare.notes.map(({ code, level }) => [code, level]),
    [["WF1541", "error"]],
  );
  const selector = ", workloadSelector: { matchLabels: { app: web } }";
  const chosen = generate({ policy, more: selector, proxy: { ...stock, LABELS: { app: "web" } } });
  assert.match(JSON.stringify(chosen.cluster.get(name)?.transportSocket), /kubernetes:\/\/bank-cacert/);
  assert.deepEqual(
    chosen.notes.map(({ code }) => code),
    ["WF7011", "WF7011"],
  );
  const id = "router~10.0.0.9~gw-1.default~default.svc.cluster.local";
  const gateway = generate({ policy, proxy: stock, id });
  assert.match(JSON.stringify(gateway.cluster.get(name)?.transportSocket), /"name":"kubernetes:\/\/bank"/);
});

test("TLS to the outside takes the name of each request, unless the rule gives one", () => {
  const tls = (fields: string, proxy: Record<string, unknown> = stock) => {
    const cluster = clusterOf({ policy: `{ tls: { mode: SIMPLE${fields} } }`, proxy });
    return [httpOptions(cluster).upstreamHttpProtocolOptions, JSON.stringify(cluster.transportSocket)] as const;
  };
  assert.deepEqual(tls("")[0], { autoSni: true, autoSanValidation: true });
  assert.doesNotMatch(tls("")[1], /matchTypedSubjectAltNames/);
  assert.match(tls("")[1], /"filename":"\/etc\/ssl\/certs\/ca-certificates.crt"/);
  assert.match(tls(", caCertificates: system")[1], /"filename":"\/etc\/ssl/);
  assert.deepEqual(tls(", sni: a.example")[0], undefined);
  assert.match(tls(", sni: a.example")[1], /"exact":"a.example"/);
  assert.deepEqual(tls(", subjectAltNames: [b.example]")[0], { autoSni: true });
  assert.deepEqual(tls(", insecureSkipVerify: true")[0], { autoSni: true });
  assert.match(tls(", caCertificates: /ca.pem, caCrl: /crl.pem")[1], /"crl":\{"filename":"\/crl.pem"\}/);
  assert.deepEqual(tls("", {})[0], { autoSni: true, autoSanValidation: true });
});

test("HTTP versions: UPGRADE holds over the client's, limits of HTTP/2 count on HTTP/2 ports only", () => {
  const options = (http: string, portName = "http", mesh: Partial<MeshSettings> = {}) =>
    httpOptions(
      clusterOf({ policy: `{ connectionPool: { http: ${http} } }`, instances: [{ ...catalog, portName }], mesh }),
    );
  const keepAlive = "http2KeepAlive: { interval: 10s, timeout: 2s }, maxConcurrentStreams: 5";
  const limits = { maxConcurrentStreams: 5, connectionKeepalive: { interval: "10s", timeout: "2s" } };
  assert.deepEqual(options(`{ ${keepAlive} }`, "grpc").explicitHttpConfig, { http2ProtocolOptions: limits });
  assert.equal(options(`{ ${keepAlive} }`).explicitHttpConfig, undefined);
  const upgraded = { http2ProtocolOptions: {} };
  assert.deepEqual(options("{ h2UpgradePolicy: UPGRADE, useClientProtocol: true }").explicitHttpConfig, upgraded);
  assert.deepEqual(options("{ h2UpgradePolicy: UPGRADE }", "unnamed").explicitHttpConfig, upgraded);
  const mesh = { h2UpgradePolicy: "UPGRADE" } as const;
  assert.deepEqual(options("{ h2UpgradePolicy: DEFAULT }", "http", mesh).explicitHttpConfig, upgraded);
  assert.equal(options("{ h2UpgradePolicy: DO_NOT_UPGRADE }", "http", mesh).explicitHttpConfig, undefined);
  assert.equal(options("{ h2UpgradePolicy: DEFAULT }", "unnamed", mesh).explicitHttpConfig, undefined);
  assert.deepEqual(options("{ useClientProtocol: true }").useDownstreamProtocolConfig, {
    httpProtocolOptions: {},
    http2ProtocolOptions: {},
  });
});

test("PROXY headers wrap every socket of the cluster", () => {
  const plain = clusterOf({ policy: "{ tls: { mode: DISABLE }, proxyProtocol: {} }" }).transportSocket;
  assert.equal(plain?.name, "envoy.transport_sockets.upstream_proxy_protocol");
  assert.match(JSON.stringify(plain), /"version":"V1".*raw_buffer/);
  const matches = clusterOf({ policy: "{ proxyProtocol: { version: V2 } }" }).transportSocketMatches ?? [];
  assert.deepEqual(
    matches.map(({ transportSocket }) => transportSocket?.name),
    ["envoy.transport_sockets.upstream_proxy_protocol", "envoy.transport_sockets.upstream_proxy_protocol"],
  );
  assert.match(JSON.stringify(matches), /"version":"V2"/);
});

test("warm-up, hashing and outlier counts come as written; local origin only when split", () => {
  const warm = clusterOf({
    policy: "{ loadBalancer: { simple: ROUND_ROBIN, warmup: { duration: 30s, aggression: 2, minimumPercent: 5 } } }",
  });
  assert.deepEqual(warm.roundRobinLbConfig?.slowStartConfig, {
    slowStartWindow: "30s",
    aggression: { defaultValue: 2, runtimeKey: "weft.warmup" },
    minWeightPercent: { value: 5 },
  });
  const old = clusterOf({ policy: "{ loadBalancer: { warmupDurationSecs: 5s } }" });
  assert.deepEqual(old.leastRequestLbConfig, { slowStartConfig: { slowStartWindow: "5s" } });
  const ring = clusterOf({ policy: "{ loadBalancer: { consistentHash: { useSourceIp: true } } }" });
  assert.deepEqual([ring.lbPolicy, ring.ringHashLbConfig], ["RING_HASH", { minimumRingSize: "1024" }]);
  const split = clusterOf({
    policy: "{ outlierDetection: { splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3 } }",
  }).outlierDetection;
  assert.deepEqual(split, {
    splitExternalLocalOriginErrors: true,
    consecutiveLocalOriginFailure: 3,
    enforcingConsecutiveLocalOriginFailure: 100,
    enforcingLocalOriginSuccessRate: 0,
    enforcingSuccessRate: 0,
  });
  const passthrough = clusterOf({ policy: "{ loadBalancer: { simple: PASSTHROUGH } }" });
  assert.deepEqual(
    [passthrough.type, passthrough.lbPolicy, passthrough.transportSocketMatches],
    ["ORIGINAL_DST", "CLUSTER_PROVIDED", undefined],
  );
});

test("the mesh's default policy fills the blocks a rule leaves out, and no fields of those it has", () => {
  const mesh = {
    defaultTrafficPolicy: {
      connectionPool: { tcp: { maxConnections: 9 }, http: { maxRetries: 2 } },
      outlierDetection: { interval: "7s" },
    },
  };
  const bare = clusterOf({ policy: "{}", mesh });
  assert.equal(bare.circuitBreakers?.thresholds?.[0]?.maxConnections, 9);
  assert.equal(bare.outlierDetection?.interval, "7s");
  const own = clusterOf({ policy: "{ connectionPool: { http: { http2MaxRequests: 4 } } }", mesh });
  const [threshold] = own.circuitBreakers?.thresholds ?? [];
  assert.deepEqual([threshold?.maxConnections, threshold?.maxRequests], [4_294_967_295, 4]);
  assert.equal(own.outlierDetection?.interval, "7s");
});

test("a TCP proxy has the rule's times, tunnel and hash; where traffic is split there is no tunnel", () => {
  const policy = `{ connectionPool: { tcp: { idleTimeout: 0s, maxConnectionDuration: 9s } },
    tunnel: { protocol: POST, targetHost: 2001:db8::1, targetPort: 9443 },
    loadBalancer: { consistentHash: { useSourceIp: true } } }`;
  const mesh = testMesh({
    yaml: `
apiVersion: v1
kind: Service
metadata: { name: db, namespace: default }
spec: { clusterIP: 10.9.0.1, ports: [{ name: tcp, port: 5432 }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: db }
spec: { host: db, trafficPolicy: ${policy} }
`,
  });
  const { listener } = mesh.generator.generate(testProxy({ INTERCEPTION_MODE: "REDIRECT" })).resources;
  const chain = listener.get("10.9.0.1_5432")?.filterChains?.[0];
  const config = chain?.filters?.at(-1)?.typedConfig as Record<string, unknown>;
  assert.deepEqual(config.tunnelingConfig, { hostname: "[2001:db8::1]:9443", usePost: true });
  assert.deepEqual(
    [config.idleTimeout, config.maxDownstreamConnectionDuration, config.hashPolicy],
    ["0s", "9s", [{ sourceIp: {} }]],
  );
});
