import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { any } from "@weft/xds/resource";
import type { CompiledCluster } from "../clusters/compile-cluster.ts";
import { checkFlags, type Host } from "../clusters/host.ts";
import { assignment, endpoint } from "../clusters/testing/fixtures.ts";
import { updateCounters } from "../clusters/update-window.ts";
import { compileTools, testClock } from "../compile/testing/fixtures.ts";
import { createStats } from "../observe/create-stats.ts";
import { TimerWheel } from "../timers/timer-wheel.ts";
import { createCountsMemory, openSharedCounts } from "../workers/shared-counts.ts";
import { ClusterTable, type ClusterTableTools } from "./cluster-table.ts";

/** A table whose names have the addresses of `names`; an answer takes a turn. */
const open = (tools: Partial<ClusterTableTools> = {}, clock = testClock()) => {
  const timers = new Set<() => void>();
  const wheel = new TimerWheel(clock, (run) => {
    timers.add(run);
    return { [Symbol.dispose]: () => void timers.delete(run) };
  });
  const names = new Map<string, readonly string[]>();
  const stats = tools.stats ?? createStats();
  const table: ClusterTable = new ClusterTable({
    ...compileTools(() => 0, clock),
    wheel,
    stats,
    updates: updateCounters(stats),
    log: silentLogger,
    resolve: async ({ name }) => (names.get(name) ?? []).map((address) => ({ address, ttl: 60 })),
    local: { locality: zone("z1"), hosts: () => table.get("own")?.hosts() ?? [] },
    localCluster: "own",
    ...tools,
  });
  const put = (json: ClusterJson): CompiledCluster => {
    const name = json.name ?? "";
    table.prepare(name, json)();
    return table.get(name) ?? assert.fail();
  };
  /** Runs what is due after that time. */
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    for (const run of [...timers]) {
      timers.delete(run);
      run();
    }
    await settled();
  };
  return { table, names, put, pass };
};

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const zone = (name: string) => ({ region: "", zone: name, subZone: "" });

/** Hosts in zones, for a cluster that keeps to its own. */
const zonal = (name: string, zones: Readonly<Record<string, readonly string[]>>): ClusterJson => ({
  name,
  connectTimeout: "1s",
  commonLbConfig: { zoneAwareLbConfig: { minClusterSize: "1" } },
  loadAssignment: {
    clusterName: name,
    endpoints: Object.entries(zones).map(([key, addresses]) => ({
      locality: zone(key),
      lbEndpoints: addresses.map((address) => endpoint(address)),
    })),
  },
});

const picked = (cluster: CompiledCluster): ReadonlySet<string | undefined> =>
  new Set(Array.from({ length: 8 }, () => cluster.pick({ hash: undefined })?.address));

test("clusters that are routed by zone hear of what DNS says of the proxy's own", async () => {
  const { put, names, pass } = open();
  const own = (addresses: readonly string[]): void => void names.set("z2.own", addresses);
  names.set("z1.own", ["10.1.0.1"]);
  own([]);
  const app = put(zonal("app", { z1: ["10.9.0.1"], z2: ["10.9.0.2"] }));
  put({ ...zonal("own", { z1: ["z1.own"], z2: ["z2.own"] }), type: "STRICT_DNS", dnsRefreshRate: "5s" });
  await settled();
  assert.deepEqual(picked(app), new Set(["10.9.0.1:80", "10.9.0.2:80"]), "all proxies are in one zone");
  own(["10.1.0.2"]);
  await pass(6_000);
  assert.deepEqual(picked(app), new Set(["10.9.0.1:80"]));
});

test("without the proxy's own cluster nothing is routed by zone any more", () => {
  const { put, table } = open();
  put(zonal("own", { z1: ["10.1.0.1"], z2: ["10.1.0.2"] }));
  const app = put(zonal("app", { z1: ["10.9.0.1"], z2: ["10.9.0.2"] }));
  assert.deepEqual(picked(app), new Set(["10.9.0.1:80"]));
  table.delete("own");
  assert.deepEqual(picked(app), new Set(["10.9.0.1:80", "10.9.0.2:80"]));
});

const dynamic = (fields: Partial<ClusterJson> = {}): ClusterJson => ({
  name: "dynamic",
  lbPolicy: "CLUSTER_PROVIDED",
  clusterType: {
    name: "envoy.clusters.dynamic_forward_proxy",
    typedConfig: any("envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", {
      dnsCacheConfig: { name: "cache", dnsLookupFamily: "V4_ONLY", dnsRefreshRate: "5s" },
    }),
  },
  outlierDetection: { consecutive5xx: 1, maxEjectionPercent: 100, baseEjectionTime: "600s" },
  ...fields,
});

const found = (cluster: CompiledCluster, name: string): Promise<Host> =>
  new Promise((resolve, reject) => {
    const take = (host: unknown): void => (typeof host === "string" ? reject(new Error(host)) : resolve(host as Host));
    const now = cluster.dynamicHost(name, take);
    if (now !== undefined) take(now);
  });

const eject = (cluster: CompiledCluster, host: Host): void => {
  cluster.report(host, { kind: "response", status: 500 }, 0);
  assert.equal(host.ejected, true);
};

test("a host by name that is ejected stays so where its name has another address, for it is the same host", async () => {
  const { put, names, pass } = open();
  names.set("a.test", ["10.0.0.1"]);
  const cluster = put(dynamic());
  const before = await found(cluster, "a.test:80");
  eject(cluster, before);
  assert.equal(cluster.load.ejections, 1);
  names.set("a.test", ["10.0.0.2"]);
  await pass(61_000);
  const after = await found(cluster, "a.test:80");
  assert.deepEqual([before === after, before.removed, after.address], [true, false, "10.0.0.2:80"]);
  assert.deepEqual([cluster.load.ejections, cluster.counters.outlierDetectionEjectionsActive], [1, 1]);
});

test("a cluster of hosts by name that is replaced or gone gives its ejections back", async () => {
  const { put, names, table } = open();
  names.set("a.test", ["10.0.0.1"]);
  const first = put(dynamic());
  eject(first, await found(first, "a.test:80"));
  const second = put(dynamic({ connectTimeout: "2s" }));
  assert.equal(second.load.ejections, 0);
  eject(second, await found(second, "a.test:80"));
  table.delete("dynamic");
  assert.equal(second.load.ejections, 0);
});

test("the subsets of a cluster are counted once, however often it is replaced, and not at all when it is gone", () => {
  const memory = createCountsMemory(2, { clusters: 8, hosts: 8 });
  const [main, one, two] = [0, 1, 2].map((lane) =>
    open({ counts: openSharedCounts(memory, lane, () => assert.fail()).counts }),
  );
  assert.ok(main && one && two);
  const json = (ms: number): ClusterJson => ({
    name: "c",
    connectTimeout: `${ms / 1000}s`,
    lbSubsetConfig: { fallbackPolicy: "ANY_ENDPOINT", subsetSelectors: [{ keys: ["v"] }] },
    loadAssignment: {
      clusterName: "c",
      endpoints: [
        {
          lbEndpoints: ["1", "2"].map((v) =>
            endpoint(`10.0.0.${v}`, { metadata: { filterMetadata: { "envoy.lb": { v } } } }),
          ),
        },
      ],
    },
  });
  const active = (): number => main.put(json(1)).counters.lbSubsetsActive;
  two.put(json(1));
  for (const ms of [1, 2, 3]) {
    one.put(json(ms)).pick({ hash: undefined });
    assert.equal(active(), 2);
  }
  one.table.delete("c");
  assert.equal(active(), 0);
});

/** Of two hosts that checks are said of by the test. */
const merging = (window: object): ClusterJson => ({
  name: "c",
  type: "EDS",
  edsClusterConfig: { edsConfig: { ads: {} } },
  commonLbConfig: { healthyPanicThreshold: {}, ...window },
  healthChecks: [{ timeout: "1s", interval: "600s", unhealthyThreshold: 1, healthyThreshold: 1, tcpHealthCheck: {} }],
});
const two = assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2"));
const names = (stats: ReturnType<typeof createStats>) =>
  ["cluster_updated", "cluster_updated_via_merge", "update_merge_cancelled", "update_out_of_merge_window"].map(
    (name) => stats.counter(`cluster_manager.${name}`).value,
  );
/** What checks find of the hosts, one after the other. */
const find = (cluster: CompiledCluster, ...failed: readonly boolean[]): void => {
  for (const [index, host] of cluster.hosts().entries()) {
    const fails = failed[index];
    if (fails !== undefined) cluster.setChecked(host, fails ? checkFlags.failed : 0);
  }
};
const first = new Set(["10.0.0.1:80"]);
const second = new Set(["10.0.0.2:80"]);
const both = first.union(second);

test("what checks find within the window of a cluster is minded once, at its end", async () => {
  const stats = createStats();
  const { table, put, pass } = open({ stats });
  const cluster = put(merging({ updateMergeWindow: "3s" }));
  table.setEndpoints("c", two);
  find(cluster, false);
  assert.deepEqual(picked(cluster), first, "no window was open");
  find(cluster, true, false);
  assert.equal(cluster.counters.membershipHealthy, 1, "what is counted does not wait");
  for (let secondOf = 0; secondOf < 2; secondOf++) {
    await pass(1_000);
    assert.deepEqual(picked(cluster), first);
  }
  await pass(1_010);
  assert.deepEqual(picked(cluster), second);
  assert.deepEqual(names(stats), [1, 1, 0, 1]);
});

test("endpoints are taken at once, and bring the health that waits", () => {
  const stats = createStats();
  const { table, put } = open({ stats });
  const cluster = put(merging({ updateMergeWindow: "600s" }));
  table.setEndpoints("c", two);
  assert.deepEqual(names(stats), [0, 0, 0, 0], "the first ones are no update");
  find(cluster, false);
  assert.deepEqual(picked(cluster), first);
  find(cluster, true, false);
  assert.deepEqual(picked(cluster), first);
  table.setEndpoints("c", assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2", { loadBalancingWeight: 2 })));
  assert.deepEqual(picked(cluster), second);
  table.setEndpoints("c", assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2", { loadBalancingWeight: 2 })));
  assert.deepEqual(names(stats), [2, 0, 0, 1]);
});

test("the end of a window is kept also where endpoints are to go stale much later", async () => {
  const { table, put, pass } = open();
  const cluster = put(merging({ updateMergeWindow: "3s" }));
  table.setEndpoints("c", { ...two, policy: { endpointStaleAfter: "3600s" } });
  find(cluster, false);
  assert.deepEqual(picked(cluster), first);
  find(cluster, true, false);
  for (let passed = 0; passed < 4; passed++) await pass(1_010);
  assert.deepEqual(picked(cluster), second);
});

test("where no window is given nothing waits", () => {
  const { table, put } = open();
  table.setEndpoints("c", two);
  for (const window of [{}, { updateMergeWindow: "0s" }]) {
    const cluster = put(merging(window));
    find(cluster, false, false);
    assert.deepEqual(picked(cluster), both);
    find(cluster, true);
    assert.deepEqual(picked(cluster), second);
  }
});

test("a window that is no duration is refused", () => {
  const { put } = open();
  assert.throws(() => put(merging({ updateMergeWindow: "soon" })), /commonLbConfig\.updateMergeWindow: "soon"/);
});

test("all threads let what one of them found wait, and it is counted once", async () => {
  const memory = createCountsMemory(2);
  const stats = createStats();
  const clock = testClock();
  const threads = [0, 1, 2].map((lane) =>
    open({ stats, counts: openSharedCounts(memory, lane, () => assert.fail("full")).counts }, clock),
  );
  const clusters = threads.map(({ put }) => put(merging({ updateMergeWindow: "1s" })));
  for (const { table } of threads) table.setEndpoints("c", two);
  const seen = () => clusters.map((cluster) => picked(cluster));
  const checking = clusters[0] ?? assert.fail();
  find(checking, false);
  assert.deepEqual(seen(), [first, first, first]);
  find(checking, true, false);
  assert.deepEqual(seen(), [first, first, first]);
  for (let passed = 0; passed < 2; passed++) {
    clock.advance(1_010);
    for (const { pass } of threads) await pass(0);
  }
  assert.deepEqual(seen(), [second, second, second]);
  assert.deepEqual(names(stats), [1, 1, 0, 1]);
});
