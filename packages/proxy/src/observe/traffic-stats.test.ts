import assert from "node:assert/strict";
import { test } from "node:test";
import { breakers } from "../clusters/circuit-load.ts";
import { countAnswer } from "../clusters/counters.ts";
import { staticCluster } from "../clusters/testing/fixtures.ts";
import { openPlane } from "../runtime/testing/test-plane.ts";
import { printStats } from "./print-stats.ts";
import { printPrometheus } from "./prometheus.ts";
import { collectTraffic } from "./traffic-stats.ts";

test("the counters of each cluster are printed under its stat name, until it is gone", async () => {
  await using mesh = openPlane();
  using _ = collectTraffic(mesh.stats, mesh.plane);
  const json = staticCluster(["10.1.0.1", "10.1.0.2"], { altStatName: "outbound|80||a.b.svc;" });
  await mesh.put({ kind: "cluster", name: "c", json });
  const [cluster] = mesh.plane.clusters();
  assert.ok(cluster);
  cluster.counters.upstreamRqTotal = 7;
  cluster.counters.upstreamRq2xx = 4;
  countAnswer(cluster.counters, 503);
  const text = printStats(mesh.stats.series(), { filter: "^cluster\\." });
  for (const [name, value] of [
    ["upstream_rq_total", 7],
    ["upstream_rq_2xx", 4],
    ["upstream_rq_503", 1],
    ["upstream_rq_completed", 1],
    ["membership_total", 2],
    ["membership_healthy", 2],
    ["circuit_breakers.default.rq_open", 0],
    ["outlier_detection.ejections_active", 0],
  ] as const)
    assert.ok(text.includes(`cluster.outbound|80||a.b.svc;.${name}: ${value}\n`), `${name} in ${text}`);
  const prometheus = printPrometheus(mesh.stats.series(), {});
  assert.match(prometheus, /^envoy_cluster_upstream_rq_total\{envoy_cluster_name="outbound\|80\|\|a\.b\.svc"\} 7$/m);
  await mesh.put({ kind: "cluster", name: "c", json: undefined });
  assert.doesNotMatch(printStats(mesh.stats.series(), {}), /^cluster\./m);
});

test("a breaker says that it is open while its limit is in use", async () => {
  await using mesh = openPlane();
  using _ = collectTraffic(mesh.stats, mesh.plane);
  const circuitBreakers = { thresholds: [{ maxRequests: 1 }] };
  await mesh.put({ kind: "cluster", name: "c", json: staticCluster(["10.1.0.1"], { circuitBreakers }) });
  const [cluster] = mesh.plane.clusters();
  assert.ok(cluster);
  const open = (): string => printStats(mesh.stats.series(), { filter: "default\\.rq_open" });
  assert.equal(open(), "cluster.c.circuit_breakers.default.rq_open: 0\n");
  cluster.load.force(breakers.requests);
  assert.equal(open(), "cluster.c.circuit_breakers.default.rq_open: 1\n");
});

test("a listener's connections are told by its address", () => {
  const series: (readonly [string, number, string])[] = [];
  const listener = (host: string) =>
    ({ name: "l", address: { host, port: 80 }, state: "active", error: undefined, connections: 3 }) as const;
  const unbound = { ...listener("x"), address: undefined };
  const collect = (source: () => Iterable<(typeof series)[number]>) => {
    series.push(...source());
    return { [Symbol.dispose]: () => {} };
  };
  const listeners = () => [listener("127.0.0.1"), listener("::1"), unbound];
  using _ = collectTraffic({ collect } as unknown as Parameters<typeof collectTraffic>[0], {
    clusters: () => [],
    listeners,
  });
  assert.deepEqual(series, [
    ["listener.127.0.0.1_80.downstream_cx_active", 3, "gauge"],
    ["listener.[__1]_80.downstream_cx_active", 3, "gauge"],
  ]);
});
