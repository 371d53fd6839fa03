import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { compileTools, testClock } from "../compile/testing/fixtures.ts";
import { machineResolver } from "../dns/resolve-name.ts";
import { breakers } from "./circuit-load.ts";
import { type CompiledCluster, compileCluster } from "./compile-cluster.ts";
import type { Host } from "./host.ts";
import { assignment, endpoint, staticCluster } from "./testing/fixtures.ts";

const compile = (json: ClusterJson, previous?: CompiledCluster): CompiledCluster =>
  compileCluster(json, previous, compileTools());

const addresses = (hosts: readonly Host[]): string[] => hosts.map(({ address }) => address).sort();

const edsCluster: ClusterJson = {
  name: "c",
  type: "EDS",
  edsClusterConfig: { edsConfig: { ads: {} }, serviceName: "svc" },
};

/** Every host picked in so many tries, with how often. */
const picks = (cluster: CompiledCluster, tries = 400): Map<string | undefined, number> => {
  const counts = new Map<string | undefined, number>();
  for (let i = 0; i < tries; i++) {
    const address = cluster.pick({ hash: undefined })?.address;
    counts.set(address, (counts.get(address) ?? 0) + 1);
  }
  return counts;
};

test("a static cluster has Envoy's defaults", () => {
  const cluster = compile(staticCluster(["10.0.0.1"]));
  assert.equal(cluster.connectTimeoutMs, 5000);
  assert.equal(cluster.statName, "c");
  assert.deepEqual(cluster.limits, {
    maxConnections: 1024,
    maxPendingRequests: 1024,
    maxRequests: 1024,
    maxRetries: 3,
    retryBudget: undefined,
    maxHostConnections: undefined,
    tracksRemaining: false,
    given: false,
  });
  assert.equal(cluster.http.protocol, "http1");
  assert.equal(cluster.http.idleTimeoutMs, 3_600_000);
  assert.equal(cluster.http.maxRequestsPerConnection, Number.POSITIVE_INFINITY);
  assert.deepEqual(cluster.defaultTransport, { kind: "plaintext" });
  assert.equal(cluster.warm, true);
  assert.equal(cluster.deadlineMs(), undefined);
  assert.equal(cluster.pick({ hash: undefined })?.address, "10.0.0.1:80");
});

test("priority HIGH has limits and load of its own, and all else in common", () => {
  const thresholds = [{ maxRequests: 1 }, { priority: "HIGH" as const, maxRequests: 7, trackRemaining: true }];
  const perHostThresholds = [{ maxConnections: 2 }];
  const json = staticCluster(["10.0.0.1"], { circuitBreakers: { thresholds, perHostThresholds } });
  const cluster = compile(json);
  const high = cluster.high?.() ?? assert.fail();
  assert.deepEqual([cluster.limits.maxRequests, high.limits.maxRequests, high.limits.maxRetries], [1, 7, 3]);
  assert.deepEqual([cluster.limits.maxHostConnections, high.limits.maxHostConnections], [2, undefined]);
  assert.equal(high.limits.tracksRemaining, true);
  assert.ok(high.load.take(breakers.requests, 7));
  assert.deepEqual([cluster.load.requests, high.load.requests], [0, 1]);
  assert.equal(high.counters, cluster.counters);
  assert.equal(high.pick({ hash: undefined }), cluster.pick({ hash: undefined }));
  const next = compile(json, cluster);
  assert.equal(next.high?.().load, high.load, "what is in use is in use of the cluster that replaces it too");
  const bad = (fields: object) => () => compile(staticCluster([], { circuitBreakers: fields }));
  assert.throws(bad({ perHostThresholds: [{ maxRequests: 1 }] }), /perHostThresholds\[0\].maxRequests/);
});

test("Istio's way to say unlimited is infinity", () => {
  const maximum = 4_294_967_295;
  const cluster = compile(
    staticCluster([], {
      circuitBreakers: { thresholds: [{ maxConnections: maximum, maxRetries: maximum, trackRemaining: true }] },
    }),
  );
  assert.equal(cluster.limits.maxConnections, Number.POSITIVE_INFINITY);
  assert.equal(cluster.limits.maxRetries, Number.POSITIVE_INFINITY);
  assert.equal(cluster.limits.maxRequests, 1024);
});

test("an EDS cluster is warm with its first endpoints, and keeps hosts by address", () => {
  const cluster = compile(edsCluster);
  assert.deepEqual(cluster.discovery, { kind: "eds", serviceName: "svc" });
  assert.equal(cluster.warm, false);
  assert.equal(cluster.pick({ hash: undefined }), undefined);
  const first = cluster.setEndpoints(assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2")));
  assert.deepEqual(addresses(first.added), ["10.0.0.1:80", "10.0.0.2:80"]);
  assert.equal(cluster.warm, true);
  const [kept] = cluster.hosts();
  const second = cluster.setEndpoints(
    assignment(endpoint("10.0.0.1", { loadBalancingWeight: 7 }), endpoint("10.0.0.3")),
  );
  assert.equal(cluster.hosts()[0], kept);
  assert.equal(kept?.weight, 7);
  assert.deepEqual(addresses(second.removed), ["10.0.0.2:80"]);
  assert.ok(second.removed.every(({ removed }) => removed));
  assert.equal(cluster.counters.membershipTotal, 2);
});

test("endpoints that cannot be taken change nothing", () => {
  const cluster = compile(edsCluster);
  cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
  const bad: [Parameters<typeof cluster.setEndpoints>[0], RegExp][] = [
    [
      assignment(endpoint("10.0.0.2"), { healthStatus: "HEALTHY" }),
      /endpoints\[0\].lbEndpoints\[1\].endpoint: is required/,
    ],
    [assignment(endpoint("10.0.0.2", { loadBalancingWeight: 0 })), /loadBalancingWeight: must be at least 1/],
    [{ endpoints: [{ loadBalancingWeight: 0 }] }, /endpoints\[0\].loadBalancingWeight: must be at least 1/],
    [{ endpoints: [{ priority: 129 }] }, /endpoints\[0\].priority: must not exceed 128/],
    [
      { policy: { dropOverloads: [{ category: "x" }, { category: "y" }] } },
      /policy.dropOverloads: has more than one category/,
    ],
    [{ policy: { endpointStaleAfter: "0s" } }, /policy.endpointStaleAfter: must be greater than 0/],
    [{ endpoints: [{ ledsClusterLocalityConfig: {} }] }, /ledsClusterLocalityConfig: is not supported/],
  ];
  for (const [json, message] of bad) assert.throws(() => cluster.setEndpoints(json), message);
  assert.deepEqual(addresses(cluster.hosts()), ["10.0.0.1:80"]);
});

test("a recompiled cluster keeps hosts, endpoints, counters and load", () => {
  const old = compile(edsCluster);
  old.setEndpoints(assignment(endpoint("10.0.0.1")));
  for (let i = 0; i < 3; i++) old.load.force(breakers.requests);
  old.counters.upstreamRqTotal = 9;
  const next = compile({ ...edsCluster, connectTimeout: "1s" }, old);
  assert.equal(next.hosts()[0], old.hosts()[0]);
  assert.equal(next.warm, true);
  assert.equal(next.load, old.load);
  assert.equal(next.counters.upstreamRqTotal, 9);
  assert.deepEqual(next.replaced, []);
});

test("a change of transport takes new hosts, so that no old connection is used", () => {
  const old = compile(edsCluster);
  old.setEndpoints(assignment(endpoint("10.0.0.1")));
  const transportSocket = {
    name: "tls",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      sni: "a",
    } as object,
  };
  const next = compile({ ...edsCluster, transportSocket }, old);
  assert.deepEqual(addresses(next.hosts()), ["10.0.0.1:80"]);
  assert.notEqual(next.hosts()[0], old.hosts()[0]);
  assert.deepEqual(next.replaced, old.hosts());
  assert.equal(old.hosts()[0]?.removed, true);
});

test("another service name starts without endpoints", () => {
  const old = compile(edsCluster);
  old.setEndpoints(assignment(endpoint("10.0.0.1")));
  const next = compile({ ...edsCluster, edsClusterConfig: { edsConfig: { ads: {} }, serviceName: "other" } }, old);
  assert.equal(next.warm, false);
  assert.deepEqual(next.hosts(), []);
  assert.deepEqual(addresses(next.replaced), ["10.0.0.1:80"]);
});

test("a host that is kept has the name that its endpoint has now", () => {
  const cluster = compile({ name: "c", type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } });
  const named = (hostname: string) => {
    const one = endpoint("10.0.0.1");
    return assignment({ ...one, endpoint: { ...one.endpoint, hostname } });
  };
  cluster.setEndpoints(named("old.example"));
  const [host] = cluster.hosts();
  cluster.setEndpoints(named("new.example"));
  assert.equal(cluster.hosts()[0], host);
  assert.equal(host?.hostname, "new.example");
});

test("strict DNS has a host per address, logical DNS the first only", () => {
  const dns = (type: "STRICT_DNS" | "LOGICAL_DNS"): CompiledCluster =>
    compile({ name: "c", type, loadAssignment: assignment(endpoint("db.example")), dnsLookupFamily: "V4_ONLY" });
  const name = { host: "db.example", port: 80 };
  const strict = dns("STRICT_DNS");
  assert.deepEqual(strict.discovery, {
    kind: "strictDns",
    names: [name],
    refreshMs: 5000,
    failureRefreshMs: 5000,
    failureRefreshMostMs: 5000,
    failureRandom: false,
    jitterMs: 0,
    respectTtl: false,
    ttlLeastMs: 0,
    family: "v4",
    resolver: machineResolver,
  });
  assert.equal(strict.warm, false);
  strict.setResolved(name, ["10.0.0.1", "10.0.0.2"]);
  assert.deepEqual(addresses(strict.hosts()), ["10.0.0.1:80", "10.0.0.2:80"]);
  const change = strict.setResolved(name, ["10.0.0.2"]);
  assert.deepEqual(addresses(change.removed), ["10.0.0.1:80"]);
  const logical = dns("LOGICAL_DNS");
  logical.setResolved(name, ["10.0.0.1", "10.0.0.2"]);
  assert.deepEqual(addresses(logical.hosts()), ["10.0.0.1:80"]);
});

test("a cluster takes over what DNS said of the names it has still, and begins anew without any of them", () => {
  const dns = (names: readonly string[], previous?: CompiledCluster): CompiledCluster =>
    compile(
      { name: "c", type: "STRICT_DNS", loadAssignment: assignment(...names.map((name) => endpoint(name))) },
      previous,
    );
  const first = dns(["a.example", "b.example"]);
  first.setResolved({ host: "a.example", port: 80 }, ["10.0.0.1"]);
  first.setResolved({ host: "b.example", port: 80 }, ["10.0.0.2"]);
  const second = dns(["b.example", "c.example"], first);
  assert.deepEqual([...second.discovered.resolved.keys()], ["b.example:80"]);
  assert.deepEqual(addresses(second.hosts()), ["10.0.0.2:80"]);
  assert.equal(second.warm, true);
  const third = dns(["d.example"], second);
  assert.deepEqual([third.discovered.resolved.size, third.warm], [0, false]);
});

test("an ORIGINAL_DST cluster makes hosts on demand and drops unused ones", () => {
  const clock = testClock();
  const json: ClusterJson = { name: "p", type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED" };
  const cluster = compileCluster(json, undefined, compileTools(undefined, clock));
  const host = cluster.originalHost("10.0.0.9:5432");
  assert.equal(cluster.originalHost("10.0.0.9:5432"), host);
  assert.equal(cluster.originalHost("db.example:1"), undefined);
  assert.equal(cluster.pick({ hash: undefined }), undefined);
  assert.deepEqual(cluster.hosts(), [host]);
  (host as Host).counts.enter();
  for (const at of [5000, 10_000]) assert.deepEqual(cluster.tick(at), []);
  (host as Host).counts.leave();
  assert.deepEqual(cluster.tick(15_000), []);
  assert.deepEqual(cluster.tick(20_000), [host]);
  assert.deepEqual(cluster.hosts(), []);
});

test("lower priorities take over in proportion to what the higher ones lack", () => {
  const cluster = compile(edsCluster);
  const at = (priority: number, prefix: string, healthy: number, unhealthy: number) => ({
    priority,
    lbEndpoints: [
      ...Array.from({ length: healthy }, (_, i) => endpoint(`10.${prefix}.0.${i + 1}`)),
      ...Array.from({ length: unhealthy }, (_, i) =>
        endpoint(`10.${prefix}.1.${i + 1}`, { healthStatus: "UNHEALTHY" }),
      ),
    ],
  });
  const share = (prefix: string): number => {
    const counts = [...picks(cluster, 4000)];
    return counts.filter(([a]) => a?.startsWith(prefix)).reduce((sum, [, n]) => sum + n, 0) / 4000;
  };
  cluster.setEndpoints({ endpoints: [at(0, "0", 8, 2), at(1, "1", 2, 0)] });
  assert.equal(share("10.0.0"), 1);
  cluster.setEndpoints({ endpoints: [at(0, "0", 5, 5), at(1, "1", 2, 0)] });
  assert.ok(Math.abs(share("10.0.0") - 0.7) < 0.03);
  cluster.setEndpoints({ endpoints: [at(0, "0", 0, 5), at(1, "1", 2, 0)] });
  assert.equal(share("10.1.0"), 1);
});

test("panic uses every host, unless it is switched off", () => {
  const bad = { healthStatus: "UNHEALTHY" as const };
  const load = assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2", bad), endpoint("10.0.0.3", bad));
  const panicking = compile(edsCluster);
  panicking.setEndpoints(load);
  assert.equal(picks(panicking).size, 3);
  assert.equal(panicking.counters.lbHealthyPanic, 400);
  const calm = compile({ ...edsCluster, commonLbConfig: { healthyPanicThreshold: {} } });
  calm.setEndpoints(load);
  assert.deepEqual([...picks(calm).keys()], ["10.0.0.1:80"]);
  calm.setEndpoints(assignment(endpoint("10.0.0.2", bad)));
  assert.equal(calm.pick({ hash: undefined }), undefined);
});

test("degraded hosts are used only when healthy ones do not suffice", () => {
  const cluster = compile(edsCluster);
  const degraded = { healthStatus: "DEGRADED" as const };
  cluster.setEndpoints(assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2", degraded)));
  const counts = picks(cluster, 2000);
  assert.ok(Math.abs((counts.get("10.0.0.2:80") ?? 0) / 2000 - 0.3) < 0.05, String([...counts]));
});

test("weighted localities get their weight, less as they lose hosts", () => {
  const cluster = compile({ ...edsCluster, commonLbConfig: { localityWeightedLbConfig: {} } });
  const zone = (name: string, weight: number, ...endpoints: ReturnType<typeof endpoint>[]) => ({
    locality: { region: "r", zone: name },
    loadBalancingWeight: weight,
    lbEndpoints: endpoints,
  });
  const bad = { healthStatus: "UNHEALTHY" as const };
  cluster.setEndpoints({
    endpoints: [zone("a", 3, endpoint("10.0.0.1")), zone("b", 1, endpoint("10.0.0.2"), endpoint("10.0.0.3"))],
  });
  assert.ok(Math.abs((picks(cluster).get("10.0.0.1:80") ?? 0) - 300) <= 2);
  cluster.setEndpoints({
    endpoints: [
      zone("a", 1, endpoint("10.0.0.1"), endpoint("10.0.0.4"), endpoint("10.0.0.5", bad), endpoint("10.0.0.6", bad)),
      zone("b", 1, endpoint("10.0.0.2"), endpoint("10.0.0.3")),
    ],
  });
  const counts = picks(cluster, 1700);
  const inA = (counts.get("10.0.0.1:80") ?? 0) + (counts.get("10.0.0.4:80") ?? 0);
  assert.ok(Math.abs(inA - 700) <= 5, String([...counts]));
});

test("the list of policies is searched for the first one known", () => {
  const policy = (name: string) => ({
    typedExtensionConfig: { name, typedConfig: { "@type": `type.googleapis.com/${name}` } as object },
  });
  const known = "envoy.extensions.load_balancing_policies.random.v3.Random";
  assert.ok(
    compile(staticCluster(["10.0.0.1"], { loadBalancingPolicy: { policies: [policy("x.Y"), policy(known)] } })),
  );
  assert.throws(
    () => compile(staticCluster([], { loadBalancingPolicy: { policies: [policy("x.Y")] } })),
    /loadBalancingPolicy.policies: none of them is supported: x.Y/,
  );
});

test("HTTP settings come from typed options in each of their forms", () => {
  const http = (options: object) =>
    compile(
      staticCluster([], {
        typedExtensionProtocolOptions: {
          "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            ...options,
          } as object,
        },
      }),
    ).http;
  assert.equal(http({ explicitHttpConfig: { httpProtocolOptions: {} } }).protocol, "http1");
  assert.equal(http({ explicitHttpConfig: { http2ProtocolOptions: {} } }).protocol, "http2");
  assert.equal(http({ autoConfig: {} }).protocol, "auto");
  const down = http({
    useDownstreamProtocolConfig: { http2ProtocolOptions: { maxConcurrentStreams: 9 }, httpProtocolOptions: {} },
    commonHttpProtocolOptions: { idleTimeout: "0s", maxRequestsPerConnection: 5 },
  });
  assert.deepEqual(
    [down.protocol, down.maxConcurrentStreams, down.idleTimeoutMs, down.maxRequestsPerConnection],
    ["downstream", 9, Number.POSITIVE_INFINITY, 5],
  );
  assert.throws(
    () => http({ explicitHttpConfig: { http3ProtocolOptions: { allowMetadata: true } } }),
    /HttpProtocolOptions"\].explicitHttpConfig.http3ProtocolOptions: is not supported/,
  );
  assert.equal(compile(staticCluster([], { http2ProtocolOptions: {} })).http.protocol, "http2");
});

test("auto mTLS chooses the transport by the endpoint's metadata", () => {
  const sds = (name: string) => ({ name, sdsConfig: { ads: {} } });
  const tls = {
    name: "envoy.transport_sockets.tls",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      sni: "outbound_.80_._.c",
      commonTlsContext: {
        alpnProtocols: ["istio-peer-exchange", "istio"],
        tlsCertificateSdsSecretConfigs: [sds("default")],
        combinedValidationContext: {
          defaultValidationContext: { matchSubjectAltNames: [{ exact: "spiffe://td/ns/n/sa/s" }] },
          validationContextSdsSecretConfig: sds("ROOTCA"),
        },
        tlsParams: { tlsMinimumProtocolVersion: "TLSv1_2", tlsMaximumProtocolVersion: "TLSv1_3" },
      },
    } as object,
  };
  const cluster = compile({
    ...edsCluster,
    transportSocketMatches: [
      { name: "tlsMode-istio", match: { tlsMode: "istio" }, transportSocket: tls },
      { name: "tlsMode-disabled", transportSocket: { name: "envoy.transport_sockets.raw_buffer" } },
    ],
  });
  const metadata = { filterMetadata: { "envoy.transport_socket_match": { tlsMode: "istio" } } };
  cluster.setEndpoints(assignment(endpoint("10.0.0.1", { metadata }), endpoint("10.0.0.2")));
  const [meshed, plain] = cluster.hosts().map((host) => cluster.transportOf(host));
  assert.equal(plain?.kind, "plaintext");
  assert.equal(meshed?.kind, "tls");
  if (meshed?.kind !== "tls") return;
  assert.deepEqual(meshed.certificate, { kind: "named", name: "default" });
  assert.deepEqual(meshed.trust, { kind: "named", name: "ROOTCA" });
  assert.equal(meshed.sans[0]?.test("spiffe://td/ns/n/sa/s"), true);
  assert.equal(meshed.sans[0]?.test("spiffe://td/ns/n/sa/t"), false);
});

test("what a cluster cannot honour is refused by its path", () => {
  const cases: [ClusterJson, RegExp][] = [
    [{}, /^name: is required/],
    [staticCluster(["db.example"]), /loadAssignment.endpoints: "db.example" is not an IP address/],
    [{ name: "c", type: "EDS" }, /edsClusterConfig.edsConfig: is required/],
    [staticCluster([], { clusterType: { name: "envoy.clusters.redis" } }), /clusterType: "envoy.clusters.redis"/],
    [
      staticCluster([], { lbSubsetConfig: { subsetSelectors: [{}] } }),
      /lbSubsetConfig.subsetSelectors\[0\].keys: is required/,
    ],
    [staticCluster([], { healthChecks: [{ timeout: "1s" }] }), /healthChecks\[0\].interval: is required/],
    [staticCluster([], { connectTimeout: "0s" }), /connectTimeout: must be greater than 0/],
    [staticCluster([], { connectTimeout: "5" }), /connectTimeout: "5" is not a duration/],
    [staticCluster([], { lbPolicy: "CLUSTER_PROVIDED" }), /lbPolicy: CLUSTER_PROVIDED goes together/],
    [
      staticCluster([], { leastRequestLbConfig: { choiceCount: 1 }, lbPolicy: "LEAST_REQUEST" }),
      /leastRequestLbConfig.choiceCount/,
    ],
    [
      staticCluster([], { transportSocket: { name: "x", typedConfig: { "@type": "a/x.Y" } as object } }),
      /transportSocket.typedConfig: x.Y/,
    ],
    [
      staticCluster([], { dnsResolvers: [{ pipe: { path: "/x" } }], type: "STRICT_DNS" }),
      /dnsResolvers\[0\]\.socketAddress\.address: ""/,
    ],
  ];
  for (const [json, message] of cases) assert.throws(() => compile(json), { name: "ConfigError", message });
});
