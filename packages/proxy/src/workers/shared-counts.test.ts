import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { breakers } from "../clusters/circuit-load.ts";
import { type CompiledCluster, compileCluster } from "../clusters/compile-cluster.ts";
import { checkFlags, type Host } from "../clusters/host.ts";
import { assignment, endpoint, staticCluster } from "../clusters/testing/fixtures.ts";
import { compileTools, testClock } from "../compile/testing/fixtures.ts";
import { createCountsMemory, mainLane, openSharedCounts, type SharedCounts } from "./shared-counts.ts";

const room = { clusters: 16, hosts: 64 };
const workers = 4;

/** The same configuration in the main thread (first) and four workers. */
const open = (json: ClusterJson) => {
  const memory = createCountsMemory(workers, room);
  const full: string[] = [];
  const counts = Array.from({ length: workers + 1 }, (_, lane) =>
    openSharedCounts(memory, lane, (what) => full.push(what)),
  );
  const compile = (each: SharedCounts, previous?: CompiledCluster, changed = json): CompiledCluster =>
    compileCluster(changed, previous, { ...compileTools(() => 0, testClock()), counts: each.counts });
  const clusters = counts.map((each) => compile(each));
  return { full, main: clusters[0] as CompiledCluster, all: clusters.slice(1), counts, compile };
};

const hostOf = (cluster: CompiledCluster, index = 0): Host => cluster.hosts()[index] as Host;
const fail = (cluster: CompiledCluster, index = 0, nowMs = 0): void =>
  cluster.report(hostOf(cluster, index), { kind: "response", status: 500 }, nowMs);

test("a limit of ten is ten for all workers together, and what is given back may be taken elsewhere", () => {
  const { all, main } = open(staticCluster(["10.0.0.1"]));
  let taken = 0;
  for (let round = 0; round < 5; round++) for (const { load } of all) if (load.take(breakers.connections, 10)) taken++;
  assert.equal(taken, 10);
  assert.equal(main.load.connections, 10);
  all[0]?.load.give(breakers.connections);
  assert.equal(all[3]?.load.take(breakers.connections, 10), true);
  assert.equal(all[1]?.load.take(breakers.connections, 10), false);
  all[1]?.load.force(breakers.connections);
  assert.equal(main.load.connections, 11);
  assert.equal(main.load.requests, 0);
});

test("five server errors in a row mean five, whichever workers saw them, and all of them hear of it", () => {
  const { all, main } = open(
    staticCluster(["10.0.0.1", "10.0.0.2"], { outlierDetection: { consecutive5xx: 5, maxEjectionPercent: 50 } }),
  );
  for (let i = 0; i < 4; i++) fail(all[i] as CompiledCluster);
  assert.deepEqual(
    all.map((each) => hostOf(each).ejected),
    [false, false, false, false],
  );
  fail(all[0] as CompiledCluster);
  for (const each of [main, ...all]) {
    assert.equal(hostOf(each).ejected, true);
    for (let i = 0; i < 20; i++) assert.equal(each.pick({ hash: undefined }), hostOf(each, 1));
  }
  assert.equal(main.counters.outlierDetectionEjectionsActive, 1);
  assert.equal(main.counters.outlierDetectionEjectionsTotal, 1);
  assert.equal(main.counters.membershipHealthy, 1);
  for (let i = 0; i < 10; i++) fail(all[i % 4] as CompiledCluster, 1);
  assert.equal(hostOf(main, 1).ejected, false, "half of the hosts is the most that may be out");
});

test("a good answer at one worker ends the row of all", () => {
  const { all } = open(staticCluster(["10.0.0.1", "10.0.0.2"], { outlierDetection: { consecutive5xx: 3 } }));
  fail(all[0] as CompiledCluster);
  fail(all[1] as CompiledCluster);
  all[2]?.report(hostOf(all[2]), { kind: "response", status: 200 }, 0);
  fail(all[3] as CompiledCluster);
  assert.equal(hostOf(all[0] as CompiledCluster).ejected, false);
});

test("only the main thread takes hosts back, once, and the next row begins at nothing", () => {
  const { all, main } = open(
    staticCluster(["10.0.0.1", "10.0.0.2"], {
      outlierDetection: { consecutive5xx: 2, baseEjectionTime: "10s", interval: "1s", maxEjectionPercent: 100 },
    }),
  );
  fail(all[0] as CompiledCluster);
  fail(all[1] as CompiledCluster);
  for (const each of all) each.tick(20_000);
  assert.equal(hostOf(main).ejected, true);
  main.tick(9_000);
  assert.equal(hostOf(main).ejected, true);
  main.tick(20_000);
  assert.deepEqual(
    [main, ...all].map((each) => hostOf(each).ejected),
    [false, false, false, false, false],
  );
  assert.equal(main.counters.outlierDetectionEjectionsActive, 0);
  fail(all[2] as CompiledCluster, 0, 21_000);
  assert.equal(hostOf(main).ejected, false);
});

test("rates are those of all workers together", () => {
  const { all, main } = open(
    staticCluster(["10.0.0.1", "10.0.0.2"], {
      outlierDetection: {
        consecutive5xx: 1000,
        interval: "1s",
        enforcingFailurePercentage: 100,
        failurePercentageMinimumHosts: 1,
        failurePercentageRequestVolume: 8,
        failurePercentageThreshold: 50,
        maxEjectionPercent: 50,
      },
    }),
  );
  for (const each of all) for (let i = 0; i < 2; i++) fail(each, 1);
  main.tick(1_000);
  assert.deepEqual(
    main.hosts().map(({ ejected }) => ejected),
    [false, true],
  );
});

test("least request sees what all workers have in flight", () => {
  const { all } = open(staticCluster(["10.0.0.1", "10.0.0.2"], { lbPolicy: "LEAST_REQUEST" }));
  for (let i = 0; i < 5; i++) hostOf(all[0] as CompiledCluster).counts.enter();
  assert.equal(hostOf(all[3] as CompiledCluster).activeRequests, 5);
});

test("statistics are added up; what every worker says alike is not", () => {
  const { all, main } = open(staticCluster(["10.0.0.1", "10.0.0.2"]));
  for (const each of all) {
    each.counters.upstreamRqTotal += 3;
    hostOf(each).stats.rqTotal++;
  }
  assert.equal(main.counters.upstreamRqTotal, 12);
  assert.equal(hostOf(main).stats.rqTotal, 4);
  assert.equal(main.counters.membershipTotal, 2);
  assert.equal(all[0]?.counters.upstreamRqTotal, 3);
});

test("a worker that dies gives back what it had in use; what it had counted stays", () => {
  const { all, main, counts, compile } = open(staticCluster(["10.0.0.1"]));
  const [dead, alive] = all as [CompiledCluster, CompiledCluster];
  for (const each of [dead, alive]) {
    each.load.force(breakers.requests);
    hostOf(each).counts.enter();
    each.counters.upstreamRqTotal++;
    each.counters.upstreamRqActive++;
    hostOf(each).stats.cxActive++;
  }
  counts[mainLane]?.clearLane(1);
  assert.equal(main.load.requests, 1);
  assert.equal(hostOf(main).activeRequests, 1);
  assert.equal(hostOf(main).stats.cxActive, 1);
  assert.deepEqual([main.counters.upstreamRqTotal, main.counters.upstreamRqActive], [2, 1]);
  const next = compile(counts[1] as SharedCounts);
  next.counters.upstreamRqTotal++;
  assert.equal(main.counters.upstreamRqTotal, 3, "its successor counts on");
});

test("a host that is gone is counted to the end of what is in flight, and leaves no trace in the one that takes its row", () => {
  const { all, main } = open({ name: "c", type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } });
  const [one] = all as [CompiledCluster];
  for (const each of [main, ...all]) each.setEndpoints(assignment(endpoint("10.0.0.1")));
  const old = hostOf(one);
  old.counts.enter();
  old.counts.enter();
  for (const each of [main, ...all]) each.setEndpoints(assignment(endpoint("10.0.0.2")));
  old.counts.leave();
  assert.equal(old.activeRequests, 1);
  old.counts.leave();
  for (const each of [main, ...all]) each.setEndpoints(assignment(endpoint("10.0.0.2"), endpoint("10.0.0.3")));
  old.stats.cxActive--;
  assert.deepEqual(
    main.hosts().map(({ activeRequests, stats }) => [activeRequests, stats.cxActive]),
    [
      [0, 0],
      [0, 0],
    ],
  );
});

test("a cluster that is gone gives its row up once nothing of it is in flight", () => {
  const { full, all, main, counts, compile } = open(staticCluster(["10.0.0.1"]));
  all[0]?.load.force(breakers.requests);
  for (const each of [main, ...all]) each.release();
  all[0]?.load.give(breakers.requests);
  for (let i = 0; i < room.clusters; i++)
    compile(counts[1] as SharedCounts, undefined, staticCluster([], { name: `n${i}` }));
  assert.deepEqual(full, []);
  compile(counts[1] as SharedCounts, undefined, staticCluster([], { name: "one more" }));
  assert.deepEqual(full, ["clusters"]);
});

test("what is counted on a cluster that is gone is not taken out of another's row when its thread dies", () => {
  const { all, main, counts, compile } = open(staticCluster(["10.0.0.1"]));
  const [old] = all as [CompiledCluster];
  const oldHost = hostOf(old);
  for (const each of [main, ...all]) each.release();
  const json = staticCluster(["10.0.0.9"], { name: "other" });
  const next = counts.map((each) => compile(each, undefined, json));
  for (let i = 0; i < 3; i++) {
    old.load.force(breakers.requests);
    oldHost.counts.enter();
  }
  next[2]?.load.force(breakers.requests);
  hostOf(next[2] as CompiledCluster).counts.enter();
  counts[mainLane]?.clearLane(1);
  assert.equal(next[mainLane]?.load.requests, 1);
  assert.equal(hostOf(next[mainLane] as CompiledCluster).activeRequests, 1);
});

test("without room a worker counts by itself, and says so once", () => {
  const { full, all } = open(staticCluster(Array.from({ length: 70 }, (_, i) => `10.0.0.${i + 1}`)));
  assert.deepEqual(full, ["hosts", "hosts", "hosts", "hosts", "hosts"], "once a thread");
  const last = hostOf(all[0] as CompiledCluster, 69);
  last.counts.enter();
  assert.equal(last.activeRequests, 1);
  assert.equal(hostOf(all[1] as CompiledCluster, 69).activeRequests, 0);
});

test("when outlier detection is switched off all hosts are back", () => {
  const json = staticCluster(["10.0.0.1", "10.0.0.2"], {
    outlierDetection: { consecutive5xx: 1, maxEjectionPercent: 50 },
  });
  const { all, main, counts, compile } = open(json);
  fail(all[0] as CompiledCluster);
  assert.equal(hostOf(main).ejected, true);
  const { outlierDetection: _, ...without } = json;
  const next = [main, ...all].map((each, lane) => compile(counts[lane] as SharedCounts, each, without));
  for (const each of next) assert.equal(hostOf(each).ejected, false);
  assert.equal(next[0]?.load.ejections, 0);
});

const checked: ClusterJson = {
  name: "c",
  type: "EDS",
  edsClusterConfig: { edsConfig: { ads: {} } },
  commonLbConfig: { healthyPanicThreshold: {} },
  healthChecks: [{ timeout: "1s", interval: "1s", unhealthyThreshold: 1, healthyThreshold: 1, tcpHealthCheck: {} }],
};
const give = (clusters: readonly CompiledCluster[], ...addresses: string[]): void => {
  for (const each of clusters) each.setEndpoints(assignment(...addresses.map((address) => endpoint(address))));
};

test("a host that is to be checked is not used by a worker that knew it before the main thread did", () => {
  const { all, main } = open(checked);
  const [worker] = all as [CompiledCluster];
  give([worker], "10.0.0.1");
  assert.equal(worker.pick({ hash: undefined }), hostOf(worker));
  give([main], "10.0.0.1");
  assert.equal(worker.pick({ hash: undefined }), undefined);
  main.setChecked(hostOf(main), 0);
  assert.equal(worker.pick({ hash: undefined }), hostOf(worker));
});

test("a check that is taken from a failing host brings it back in all workers", () => {
  const { all, main } = open(checked);
  const [worker] = all as [CompiledCluster];
  give([main, worker], "10.0.0.1");
  assert.equal(worker.pick({ hash: undefined }), undefined);
  const unchecked = endpoint("10.0.0.1");
  Object.assign(unchecked.endpoint ?? {}, { healthCheckConfig: { disableActiveHealthCheck: true } });
  for (const each of [worker, main]) each.setEndpoints(assignment(unchecked));
  assert.equal(worker.pick({ hash: undefined }), hostOf(worker));
});

test("what a check found does not undo that a worker saw the host leave meanwhile", () => {
  const { all, main } = open(checked);
  const [worker] = all as [CompiledCluster];
  give([main, worker], "10.0.0.1");
  const found = hostOf(main).counts.checked & ~checkFlags.failed;
  main.setChecked(hostOf(main), found);
  const later = hostOf(main).counts.checked | checkFlags.degraded;
  give([worker]);
  main.setChecked(hostOf(main), later);
  assert.equal(hostOf(main).counts.checked, checkFlags.leaving | checkFlags.degraded);
});
