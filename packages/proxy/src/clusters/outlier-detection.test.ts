import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutlierDetectionJson } from "@weft/xds/gen/envoy/config/cluster/v3/outlier_detection";
import { compileTools, testClock } from "../compile/testing/fixtures.ts";
import type { Outcome } from "./cluster.ts";
import { type CompiledCluster, compileCluster } from "./compile-cluster.ts";
import type { Host } from "./host.ts";
import { staticCluster } from "./testing/fixtures.ts";

const ips = (count: number): string[] => Array.from({ length: count }, (_, i) => `10.0.0.${i + 1}`);

/** A cluster with outlier detection where half of the hosts may be ejected. */
const detecting = (settings: OutlierDetectionJson, hosts = 4, random?: () => number): CompiledCluster => {
  const json = staticCluster(ips(hosts), {
    outlierDetection: { maxEjectionPercent: 50, enforcingSuccessRate: 0, ...settings },
    commonLbConfig: { healthyPanicThreshold: {} },
  });
  return compileCluster(json, undefined, compileTools(random, testClock()));
};

const host = (cluster: CompiledCluster, index = 0): Host => cluster.hosts()[index] as Host;
const answer = (status: number): Outcome => ({ kind: "response", status });
const send = (cluster: CompiledCluster, outcome: Outcome, times: number, index = 0, nowMs = 0): void => {
  for (let i = 0; i < times; i++) cluster.report(host(cluster, index), outcome, nowMs);
};
const picked = (cluster: CompiledCluster): Set<string | undefined> =>
  new Set(Array.from({ length: 50 }, () => cluster.pick({ hash: undefined })?.address));

test("a host is left out after so many server errors in a row", () => {
  const cluster = detecting({ consecutive5xx: 3 });
  send(cluster, answer(500), 2);
  send(cluster, answer(200), 1);
  send(cluster, answer(500), 2);
  assert.equal(host(cluster).ejected, false);
  send(cluster, answer(500), 1);
  assert.equal(host(cluster).ejected, true);
  assert.equal(picked(cluster).has("10.0.0.1:80"), false);
  assert.equal(cluster.counters.outlierDetectionEjectionsActive, 1);
  assert.equal(cluster.counters.membershipHealthy, 3);
});

test("an ejection lasts longer each time, up to the longest", () => {
  const cluster = detecting({ consecutive5xx: 1, interval: "1s", baseEjectionTime: "10s", maxEjectionTime: "15s" });
  send(cluster, answer(503), 1);
  cluster.tick(9000);
  assert.equal(host(cluster).ejected, true);
  cluster.tick(10_000);
  assert.equal(host(cluster).ejected, false);
  assert.equal(cluster.counters.outlierDetectionEjectionsActive, 0);
  send(cluster, answer(503), 1, 0, 10_000);
  cluster.tick(24_000);
  assert.equal(host(cluster).ejected, true);
  cluster.tick(25_000);
  assert.equal(host(cluster).ejected, false);
  assert.equal(cluster.counters.outlierDetectionEjectionsTotal, 2);
});

test("good intervals shorten the next ejection", () => {
  const cluster = detecting({ consecutive5xx: 1, interval: "1s", baseEjectionTime: "10s" });
  send(cluster, answer(503), 1);
  cluster.tick(10_000);
  cluster.tick(11_000);
  send(cluster, answer(503), 1, 0, 11_000);
  cluster.tick(21_000);
  assert.equal(host(cluster).ejected, false);
});

test("no more hosts are ejected than the percentage allows", () => {
  const cluster = detecting({ consecutive5xx: 1, maxEjectionPercent: 50 }, 3);
  send(cluster, answer(500), 1, 0);
  send(cluster, answer(500), 1, 1);
  assert.deepEqual(
    cluster.hosts().map(({ ejected }) => ejected),
    [true, false, false],
  );
  const strict = detecting({ consecutive5xx: 1, maxEjectionPercent: 10 }, 3);
  send(strict, answer(500), 1);
  assert.equal(host(strict).ejected, false);
  const atLeastOne = detecting({ consecutive5xx: 1, maxEjectionPercent: 10, alwaysEjectOneHost: true }, 3);
  send(atLeastOne, answer(500), 1, 0);
  send(atLeastOne, answer(500), 1, 1);
  assert.deepEqual(
    atLeastOne.hosts().map(({ ejected }) => ejected),
    [true, false, false],
  );
});

test("gateway failures count apart and only when enforced", () => {
  const off = detecting({ consecutive5xx: 0xffff, consecutiveGatewayFailure: 2 });
  send(off, answer(503), 5);
  assert.equal(host(off).ejected, false);
  const on = detecting({
    consecutive5xx: 0xffff,
    consecutiveGatewayFailure: 2,
    enforcingConsecutiveGatewayFailure: 100,
  });
  send(on, answer(503), 1);
  send(on, answer(500), 1);
  send(on, answer(504), 1);
  assert.equal(host(on).ejected, false);
  send(on, answer(502), 1);
  assert.equal(host(on).ejected, true);
});

test("local failures count as server errors, or apart when split", () => {
  const failure: Outcome = { kind: "localOrigin", cause: "connect-failure" };
  const joined = detecting({ consecutive5xx: 2 });
  send(joined, failure, 1);
  send(joined, answer(500), 1);
  assert.equal(host(joined).ejected, true);
  const split = detecting({
    consecutive5xx: 2,
    splitExternalLocalOriginErrors: true,
    consecutiveLocalOriginFailure: 2,
  });
  send(split, failure, 1);
  send(split, answer(500), 1);
  send(split, { kind: "connected" }, 1);
  send(split, failure, 1);
  assert.equal(host(split).ejected, false);
  send(split, failure, 1);
  assert.equal(host(split).ejected, true);
});

test("enforcing is a chance, and the row begins anew after it failed", () => {
  const draws = [0.6, 0.4];
  const cluster = detecting({ consecutive5xx: 2, enforcingConsecutive5xx: 50 }, 4, () => draws.shift() ?? 0);
  send(cluster, answer(500), 2);
  assert.equal(host(cluster).ejected, false);
  send(cluster, answer(500), 1);
  assert.equal(host(cluster).ejected, false);
  send(cluster, answer(500), 1);
  assert.equal(host(cluster).ejected, true);
});

test("a host far below the others' success rate is ejected at the sweep", () => {
  const cluster = detecting(
    { consecutive5xx: 0xffff, enforcingSuccessRate: 100, successRateMinimumHosts: 5, successRateRequestVolume: 10 },
    6,
  );
  for (let index = 0; index < 5; index++) send(cluster, answer(200), 10, index);
  send(cluster, answer(500), 10, 5);
  cluster.tick(9999);
  assert.equal(host(cluster, 5).ejected, false);
  cluster.tick(10_000);
  assert.deepEqual(
    cluster.hosts().map(({ ejected }) => ejected),
    [false, false, false, false, false, true],
  );
});

test("rates are not judged with too few hosts or requests", () => {
  const settings = {
    consecutive5xx: 0xffff,
    enforcingSuccessRate: 100,
    successRateMinimumHosts: 3,
    successRateRequestVolume: 10,
  };
  const cluster = detecting(settings, 4);
  send(cluster, answer(200), 10, 0);
  send(cluster, answer(200), 9, 1);
  send(cluster, answer(500), 10, 2);
  cluster.tick(10_000);
  assert.equal(host(cluster, 2).ejected, false);
});

test("a failure percentage ejects without comparison", () => {
  const cluster = detecting(
    {
      consecutive5xx: 0xffff,
      enforcingFailurePercentage: 100,
      failurePercentageThreshold: 60,
      failurePercentageMinimumHosts: 1,
      failurePercentageRequestVolume: 5,
    },
    2,
  );
  send(cluster, answer(500), 3);
  send(cluster, answer(200), 2);
  cluster.tick(10_000);
  assert.equal(host(cluster).ejected, true);
});

test("ejections outlive a new configuration, and end with outlier detection itself", () => {
  const old = detecting({ consecutive5xx: 1 });
  send(old, answer(500), 1);
  const json = staticCluster(ips(4), { outlierDetection: { consecutive5xx: 2 } });
  const next = compileCluster(json, old, compileTools());
  assert.equal(host(next).ejected, true);
  assert.equal(next.counters.outlierDetectionEjectionsActive, 1);
  const without = compileCluster(staticCluster(ips(4)), next, compileTools());
  assert.equal(host(without).ejected, false);
  assert.equal(without.counters.outlierDetectionEjectionsActive, 0);
});

test("a host that leaves takes its ejection with it", () => {
  const old = detecting({ consecutive5xx: 1 });
  send(old, answer(500), 1);
  const json = staticCluster(["10.0.0.2", "10.0.0.3"], { outlierDetection: { consecutive5xx: 1 } });
  const next = compileCluster(json, old, compileTools());
  assert.equal(next.counters.outlierDetectionEjectionsActive, 0);
  assert.equal(next.counters.membershipHealthy, 2);
});

test("settings that contradict themselves are refused", () => {
  const bad: [OutlierDetectionJson, RegExp][] = [
    [{ interval: "0s" }, /outlierDetection.interval: must be greater than 0/],
    [{ maxEjectionPercent: 101 }, /outlierDetection.maxEjectionPercent: "101" is not a percentage/],
    [{ baseEjectionTime: "60s", maxEjectionTime: "30s" }, /outlierDetection.maxEjectionTime: must not be below/],
    [{ monitors: [{ name: "x" }] }, /outlierDetection.monitors: is not supported/],
  ];
  for (const [settings, message] of bad) assert.throws(() => detecting(settings), message);
});
