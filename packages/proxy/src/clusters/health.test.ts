/** What checks, xDS and time make of a cluster's hosts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { compileTools, testClock } from "../compile/testing/fixtures.ts";
import { type CompiledCluster, compileCluster } from "./compile-cluster.ts";
import { checkFlags, type Host } from "./host.ts";
import { assignment, endpoint } from "./testing/fixtures.ts";

const healthChecks = [
  { timeout: "1s", interval: "1s", unhealthyThreshold: 1, healthyThreshold: 1, tcpHealthCheck: {} },
];
const json: ClusterJson = {
  name: "c",
  type: "EDS",
  edsClusterConfig: { edsConfig: { ads: {} } },
  commonLbConfig: { healthyPanicThreshold: {} },
};
const clock = testClock();
const compile = (rest: ClusterJson = {}, previous?: CompiledCluster): CompiledCluster =>
  compileCluster({ ...json, ...rest }, previous, compileTools(undefined, clock));
const host = (cluster: CompiledCluster, index = 0): Host => cluster.hosts()[index] as Host;
const pick = (cluster: CompiledCluster): string | undefined => cluster.pick({ hash: undefined })?.address;
const flags = (cluster: CompiledCluster): number[] => cluster.hosts().map(({ counts }) => counts.checked);

test("a host that is to be checked is not used before it was, one without checks is", () => {
  const cluster = compile({ healthChecks });
  const disabled = endpoint("10.0.0.2");
  Object.assign(disabled.endpoint ?? {}, { healthCheckConfig: { disableActiveHealthCheck: true } });
  cluster.setEndpoints(assignment(endpoint("10.0.0.1"), disabled));
  assert.deepEqual(flags(cluster), [checkFlags.failed, 0]);
  assert.equal(pick(cluster), "10.0.0.2:80");
  assert.equal(cluster.counters.membershipHealthy, 1);
});

test("hosts that were not checked yet do not count where that is asked", () => {
  const commonLbConfig = { ignoreNewHostsUntilFirstHc: true, healthyPanicThreshold: { value: 50 } };
  const cluster = compile({ healthChecks, commonLbConfig });
  cluster.setEndpoints(assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3")));
  cluster.setChecked(host(cluster), 0);
  assert.equal(cluster.counters.membershipExcluded, 2);
  for (let i = 0; i < 20; i++) assert.equal(pick(cluster), "10.0.0.1:80");
  assert.equal(cluster.counters.lbHealthyPanic, 0);
});

test("a host that xDS names no more stays while it passes, and goes when it fails", () => {
  const cluster = compile({ healthChecks });
  cluster.setEndpoints(assignment(endpoint("10.0.0.1"), endpoint("10.0.0.2")));
  for (const one of cluster.hosts()) cluster.setChecked(one, 0);
  assert.deepEqual(cluster.setEndpoints(assignment(endpoint("10.0.0.2"))).removed, []);
  assert.deepEqual(
    cluster.hosts().map(({ address }) => address),
    ["10.0.0.2:80", "10.0.0.1:80"],
  );
  const left = host(cluster, 1);
  assert.equal(left.counts.checked, checkFlags.leaving);
  cluster.setChecked(left, checkFlags.leaving | checkFlags.failed);
  assert.deepEqual(flags(cluster), [0]);
  assert.equal(left.removed, true);
});

test("a host that is named again is no longer one to leave", () => {
  const cluster = compile({ healthChecks });
  cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
  cluster.setChecked(host(cluster), 0);
  cluster.setEndpoints(assignment());
  cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
  assert.deepEqual(flags(cluster), [0]);
});

test("xDS alone decides where its word goes over that of checks", () => {
  const cluster = compile({ healthChecks, ignoreHealthOnHostRemoval: true });
  cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
  cluster.setChecked(host(cluster), 0);
  assert.equal(cluster.setEndpoints(assignment()).removed.length, 1);
  assert.equal(cluster.hosts().length, 0);
});

test("what checks found is kept by a new configuration, and forgotten with the checks", () => {
  const old = compile({ healthChecks });
  old.setEndpoints(assignment(endpoint("10.0.0.1")));
  old.setChecked(host(old), checkFlags.degraded);
  const next = compile({ healthChecks, connectTimeout: "1s" }, old);
  assert.deepEqual(flags(next), [checkFlags.degraded]);
  assert.equal(host(next).state, "degraded");
  assert.deepEqual(flags(compile({}, next)), [0]);
});

test("a passed check takes an ejected host back, unless it is told not to", () => {
  for (const uneject of [undefined, false]) {
    const outlierDetection = {
      consecutive5xx: 1,
      maxEjectionPercent: 100,
      ...(uneject === undefined ? {} : { successfulActiveHealthCheckUnejectHost: uneject }),
    };
    const cluster = compile({ outlierDetection });
    cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
    cluster.report(host(cluster), { kind: "response", status: 500 }, 0);
    assert.equal(host(cluster).ejected, true);
    cluster.passedCheck(host(cluster));
    assert.equal(host(cluster).ejected, uneject === false);
  }
});

test("a host that fails loses its connections, one that is merely degraded does not", () => {
  const cluster = compile({ healthChecks });
  cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
  cluster.setChecked(host(cluster), 0);
  let drained = 0;
  const pool = { [Symbol.dispose]: () => void drained++ };
  host(cluster).pool = pool;
  cluster.setChecked(host(cluster), checkFlags.degraded);
  assert.equal(drained, 0);
  cluster.setChecked(host(cluster), checkFlags.failed);
  assert.equal(drained, 1);
  assert.equal(host(cluster).pool, undefined);
});

test("what is tied to a host ends when it is put out", () => {
  const cluster = compile({ healthChecks, closeConnectionsOnHostHealthFailure: true });
  assert.equal(cluster.closesOnFailure, true);
  cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
  cluster.setChecked(host(cluster), 0);
  let closed = 0;
  const tie = {
    close: () => {
      closed++;
      host(cluster).ties?.delete(tie);
    },
  };
  host(cluster).ties = new Set([tie]);
  cluster.setChecked(host(cluster), checkFlags.failed);
  assert.equal(closed, 1);
});

test("endpoints that are not said anew in time are used no more", () => {
  const cluster = compile();
  cluster.setEndpoints({ ...assignment(endpoint("10.0.0.1")), policy: { endpointStaleAfter: "30s" } });
  const nowMs = clock.nowMs();
  assert.equal(cluster.deadlineMs(), nowMs + 30_000);
  assert.deepEqual(cluster.tick(nowMs + 29_999), []);
  assert.equal(cluster.tick(nowMs + 30_000).length, 1);
  assert.equal(pick(cluster), undefined);
  assert.equal(cluster.counters.assignmentStale, 1);
  cluster.setEndpoints(assignment(endpoint("10.0.0.1")));
  assert.equal(pick(cluster), "10.0.0.1:80");
});

test("a share of requests is dropped, and only those are called dropped", () => {
  const cluster = compile();
  const dropOverloads = [{ category: "much", dropPercentage: { numerator: 25 } }];
  cluster.setEndpoints({ ...assignment(endpoint("10.0.0.1")), policy: { dropOverloads } });
  let dropped = 0;
  for (let i = 0; i < 4_000; i++) {
    const got = pick(cluster);
    assert.equal(cluster.wasDropped(), got === undefined);
    if (got === undefined) dropped++;
  }
  assert.ok(Math.abs(dropped - 1_000) < 150, String(dropped));
  assert.equal(cluster.counters.upstreamRqDropOverload, dropped);
});

test("priorities go by the weight of their hosts where that is asked", () => {
  const policy: object = { weightedPriorityHealth: true, overprovisioningFactor: 100 };
  const cluster = compile();
  cluster.setEndpoints({
    policy,
    endpoints: [
      {
        lbEndpoints: [
          endpoint("10.0.0.1", { loadBalancingWeight: 9 }),
          endpoint("10.0.0.2", { healthStatus: "UNHEALTHY" }),
        ],
      },
      { priority: 1, lbEndpoints: [endpoint("10.0.0.3")] },
    ],
  });
  const picks = Array.from({ length: 4_000 }, () => pick(cluster));
  const first = picks.filter((address) => address === "10.0.0.1:80").length;
  assert.ok(Math.abs(first - 3_600) < 140, String(first));
});

const checkedBy = (healthCheckConfig: object, address = "10.0.0.1") => {
  const one = endpoint(address);
  Object.assign(one.endpoint ?? {}, { healthCheckConfig });
  return assignment(one);
};

test("a host that xDS takes the checks from while it fails is used again, and stays so with checks until one fails", () => {
  const cluster = compile({ healthChecks });
  cluster.setEndpoints(checkedBy({}));
  assert.deepEqual(flags(cluster), [checkFlags.failed]);
  cluster.setEndpoints(checkedBy({ disableActiveHealthCheck: true }));
  assert.deepEqual(flags(cluster), [0]);
  assert.equal(pick(cluster), "10.0.0.1:80");
  assert.equal(cluster.counters.membershipHealthy, 1);
  cluster.setEndpoints(checkedBy({}));
  assert.deepEqual(flags(cluster), [0]);
});

test("a host that is to be checked at another place is not used before it was, at the same place it is", () => {
  const cluster = compile({ healthChecks });
  cluster.setEndpoints(checkedBy({ portValue: 81 }));
  cluster.setChecked(host(cluster), 0);
  cluster.setEndpoints(checkedBy({ portValue: 81, hostname: "other" }));
  assert.deepEqual(flags(cluster), [0]);
  cluster.setEndpoints(checkedBy({ portValue: 82 }));
  assert.deepEqual(flags(cluster), [checkFlags.failed]);
  assert.equal(pick(cluster), undefined);
});

test("an address that is listed twice with different checks is not begun with anew each time", () => {
  const cluster = compile({ healthChecks });
  const twice = {
    clusterName: "c",
    endpoints: [81, 82].map((portValue) => checkedBy({ portValue }).endpoints?.[0] ?? {}),
  };
  cluster.setEndpoints(twice);
  cluster.setChecked(host(cluster), 0);
  cluster.setEndpoints(structuredClone(twice));
  assert.deepEqual(flags(cluster), [0]);
});
