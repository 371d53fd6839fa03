import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { any } from "@weft/xds/resource";
import type { DnsRefresh } from "../clusters/cluster.ts";
import { prepareCluster } from "../clusters/compile-cluster.ts";
import { compileDiscovery } from "../clusters/discovery.ts";
import { compileTools } from "../compile/testing/fixtures.ts";
import { TimerWheel } from "../timers/timer-wheel.ts";
import { keepResolved, nextAfterFailure, nextAfterSuccess } from "./keep-resolved.ts";
import type { FoundAddress } from "./resolve-name.ts";

const clusterJson = (fields: Partial<ClusterJson> = {}): ClusterJson => ({
  name: "names",
  type: "STRICT_DNS",
  loadAssignment: {
    clusterName: "names",
    endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress: { address: "a.test", portValue: 80 } } } }] }],
  },
  ...fields,
});

const refreshOf = (fields: Partial<ClusterJson> = {}): DnsRefresh => {
  const discovery = compileDiscovery(clusterJson(fields));
  if (discovery.kind !== "strictDns" && discovery.kind !== "logicalDns") assert.fail(discovery.kind);
  return discovery;
};

test("a name is asked for again when the first of its addresses may no longer be kept", () => {
  const found = [30, 7, 60].map((ttl) => ({ address: "10.0.0.1", ttl }));
  const respectDnsTtl = true;
  assert.equal(
    nextAfterSuccess(refreshOf({ respectDnsTtl }), found, () => 0),
    7000,
  );
  assert.equal(
    nextAfterSuccess(refreshOf({ dnsRefreshRate: "2s" }), found, () => 0),
    2000,
  );
  // Without a time to live, as from a hosts file, and without addresses.
  assert.equal(
    nextAfterSuccess(refreshOf({ respectDnsTtl }), [{ address: "10.0.0.1", ttl: 0 }], () => 0),
    5000,
  );
  assert.equal(
    nextAfterSuccess(refreshOf({ respectDnsTtl }), [], () => 0),
    5000,
  );
  const jittered = { ...refreshOf({ respectDnsTtl }), jitterMs: 100, ttlLeastMs: 10_000 };
  assert.equal(
    nextAfterSuccess(jittered, found, () => 0.5),
    10_050,
  );
});

test("failures are followed by longer and longer times where that is configured, drawn as Envoy draws them", () => {
  const plain = refreshOf();
  assert.deepEqual(
    [1, 2, 3].map((failures) => nextAfterFailure(plain, failures, () => 0.5)),
    [5000, 5000, 5000],
  );
  const rising = refreshOf({ dnsFailureRefreshRate: { baseInterval: "1s", maxInterval: "3s" } });
  assert.deepEqual(
    [1, 2, 3, 50].map((failures) => nextAfterFailure(rising, failures, () => 0.999999)),
    [999, 1999, 2999, 2999],
  );
  assert.equal(
    nextAfterFailure(rising, 1, () => 0),
    100,
  );
});

/** A clock that goes where it is told, and timers that go off with it. */
const openWorld = () => {
  let nowMs = 0;
  const timers = new Set<{ atMs: number; callback: () => void }>();
  const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
  const wheel = new TimerWheel(clock, (callback, delayMs) => {
    const timer = { atMs: nowMs + delayMs, callback };
    timers.add(timer);
    return { [Symbol.dispose]: () => void timers.delete(timer) };
  });
  const goTo = async (atMs: number): Promise<void> => {
    for (;;) {
      const [next] = [...timers].sort((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > atMs) break;
      timers.delete(next);
      nowMs = Math.max(nowMs, next.atMs);
      next.callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
    nowMs = atMs;
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { wheel, goTo };
};

const follow = async (fields: Partial<ClusterJson>, answers: readonly (readonly FoundAddress[] | Error)[]) => {
  const world = openWorld();
  const cluster = prepareCluster(clusterJson(fields), compileTools())(undefined);
  const { discovery } = cluster;
  if (discovery.kind !== "strictDns" && discovery.kind !== "logicalDns") assert.fail(discovery.kind);
  const left = [...answers];
  const timer = keepResolved(
    { cluster, settings: discovery, current: () => true, onChange: () => undefined },
    { host: "a.test", port: 80 },
    {
      wheel: world.wheel,
      log: silentLogger,
      random: () => 0.999,
      resolve: async () => {
        const next = left.shift() ?? new Error("no more");
        if (next instanceof Error) throw next;
        return next;
      },
    },
  );
  await world.goTo(0);
  const { counters } = cluster;
  return {
    ...world,
    cluster,
    stop: () => timer.retire(),
    addresses: () => cluster.hosts().map(({ address }) => address),
    counts: () => [
      counters.updateAttempt,
      counters.updateSuccess,
      counters.updateFailure,
      counters.updateEmpty,
      counters.updateNoRebuild,
    ],
  };
};
const found = (ttl: number, ...addresses: readonly string[]) => addresses.map((address) => ({ address, ttl }));

test("hosts follow the answers by their times to live, stay through failures, and go when there are none", async () => {
  const answers = [found(10, "10.0.0.1", "10.0.0.2", "10.0.0.2"), found(20, "10.0.0.2"), new Error("away"), []];
  const all = await follow({ respectDnsTtl: true, dnsFailureRefreshRate: { baseInterval: "1s" } }, answers);
  assert.deepEqual(all.addresses(), ["10.0.0.1:80", "10.0.0.2:80"]);
  assert.deepEqual(
    all.cluster.hosts().map(({ hostname }) => hostname),
    ["a.test", "a.test"],
  );
  await all.goTo(9_900);
  assert.deepEqual(all.counts(), [1, 1, 0, 0, 0]);
  await all.goTo(10_300);
  assert.deepEqual(all.addresses(), ["10.0.0.2:80"]);
  await all.goTo(30_400);
  assert.deepEqual(all.addresses(), ["10.0.0.2:80"]);
  assert.deepEqual(all.counts().slice(0, 3), [3, 2, 1]);
  await all.goTo(31_500);
  assert.deepEqual(all.addresses(), []);
  assert.deepEqual(all.counts(), [4, 3, 1, 1, 0]);
  all.stop();
});

test("a logical host keeps its address where the answer has none", async () => {
  const all = await follow({ type: "LOGICAL_DNS" }, [found(10, "10.0.0.1", "10.0.0.2"), []]);
  assert.deepEqual(all.addresses(), ["10.0.0.1:80"]);
  await all.goTo(5_300);
  assert.deepEqual(all.addresses(), ["10.0.0.1:80"]);
  assert.deepEqual(all.counts(), [2, 1, 1, 1, 0]);
  all.stop();
});

test("the typed cluster is one or the other, and asks the servers it names", () => {
  const typed = (fields: object): Partial<ClusterJson> => ({
    clusterType: {
      name: "envoy.clusters.dns",
      typedConfig: any("envoy.extensions.clusters.dns.v3.DnsCluster", fields),
    },
  });
  const cares = any("envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", {
    resolvers: [{ socketAddress: { address: "10.0.0.53", portValue: 5353 } }],
    dnsResolverOptions: { useTcpForDnsLookups: true, noDefaultSearchDomain: true },
  });
  const { type: _, ...json } = clusterJson();
  const discovery = compileDiscovery({
    ...json,
    ...typed({
      allAddressesInSingleEndpoint: true,
      dnsJitter: "0.1s",
      dnsLookupFamily: "V4_PREFERRED",
      dnsMinRefreshRate: "3s",
      typedDnsResolverConfig: { name: "cares", typedConfig: cares },
    }),
  });
  assert.ok(discovery.kind === "logicalDns");
  assert.deepEqual([discovery.jitterMs, discovery.family, discovery.ttlLeastMs], [100, "v4Preferred", 3000]);
  const { servers, useTcp, noSearch } = discovery.resolver;
  assert.deepEqual([servers, useTcp, noSearch], [[{ host: "10.0.0.53", port: 5353 }], true, true]);
  assert.throws(() => compileDiscovery({ ...json, ...typed({ dnsFailureRefreshRate: {} }) }), /baseInterval/);
});

test("resolvers that are no addresses, and those of other kinds, are refused by their path", () => {
  const dnsResolvers = [{ socketAddress: { address: "dns.test", portValue: 53 } }];
  assert.throws(() => compileDiscovery(clusterJson({ dnsResolvers })), /dnsResolvers\[0\]\.socketAddress\.address/);
  const typedDnsResolverConfig = { name: "apple", typedConfig: any("x.Apple", {}) };
  assert.throws(() => compileDiscovery(clusterJson({ typedDnsResolverConfig })), /typedDnsResolverConfig\.typedConfig/);
});
