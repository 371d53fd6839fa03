import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress } from "@weft/core/address";
import {
  type ClusterReport,
  decodeLoadWish,
  encodeLoadReport,
  type LoadReport,
  streamLoadStatsPath,
} from "@weft/xds/load-reports";
import { createMetrics } from "../metrics/metrics.ts";
import { testNode } from "../testing/ads-client.ts";
import { openTestPlane, type TestPlane } from "../testing/plane.ts";
import { openRawCall } from "../testing/raw-call.ts";
import { createLoadTable, loadLimits, type ReporterView } from "./load-table.ts";

const locality = (issued: number, inProgress = 0, zone = "a") => ({
  ...{ region: "eu", zone, subZone: "", priority: 0, inProgress },
  ...{ issued, succeeded: issued - 1, failed: 1 },
});
const report = (cluster: string, issued: number, over: Partial<ClusterReport> = {}): ClusterReport => ({
  ...{ cluster, service: "", dropped: 2, intervalMs: 10_000, localities: [locality(issued)] },
  ...over,
});
const service = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: one }
spec:
  hosts: [one.example.com]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: 8001 } }]
`;
const begin = (mesh: TestPlane, node: LoadReport["node"], clusters: readonly ClusterReport[] = []) => {
  const call = openRawCall(formatAddress(mesh.plane.xds), streamLoadStatsPath);
  call.send(encodeLoadReport({ node, clusters }));
  return call;
};
const loadz = async (mesh: TestPlane) =>
  (await mesh.api<{ reporters: readonly ReporterView[] }>("/debug/loadz")).body.reporters;

test("a client that can is asked for all its clusters, another for those it was given by name", async () => {
  await using mesh = await openTestPlane();
  await mesh.api("/v1/config/apply", { method: "POST", body: service });
  using able = begin(mesh, { ...testNode(), clientFeatures: ["envoy.lrs.supports_send_all_clusters"] });
  const all = decodeLoadWish(await able.next());
  assert.deepEqual([all.clusters, all.intervalMs], ["all", 10_000]);
  using other = begin(mesh, testNode());
  const named = decodeLoadWish(await other.next());
  assert.ok(named.clusters.includes("outbound|80||one.example.com"));
});

test("reports are summed up, shown and printed as metrics, and go when their client goes", async () => {
  await using mesh = await openTestPlane();
  const call = begin(mesh, testNode());
  await call.next();
  for (const issued of [10, 5]) call.send(encodeLoadReport({ node: undefined, clusters: [report("a", issued)] }));
  // A second stream's answer comes after the first stream's messages were read.
  using second = begin(mesh, testNode(), [report("b", 1)]);
  await second.next();
  const [first] = await loadz(mesh);
  assert.equal(first?.proxy, testNode().id);
  const [cluster] = first?.clusters ?? [];
  assert.deepEqual([cluster?.cluster, cluster?.dropped, cluster?.localities[0]?.issued], ["a", 4, 15]);
  const metrics = async () => (await fetch(`http://${formatAddress(mesh.plane.monitoring)}/metrics`)).text();
  const before = await metrics();
  assert.match(before, /weft_load_requests_total\{cluster="a",result="issued"\} 15/);
  assert.match(before, /weft_load_requests_total\{cluster="a",result="failed"\} 2/);
  assert.match(before, /weft_load_reporters 2\n/);
  call[Symbol.dispose]();
  await call.ended;
  for (let more = await loadz(mesh); more.length > 1; ) more = await loadz(mesh);
  assert.match(await metrics(), /weft_load_requests_total\{cluster="a",result="issued"\} 15/);
});

test("a client that does not say who it is, or sends no report, loses its stream, and others do not", async () => {
  await using mesh = await openTestPlane();
  using good = begin(mesh, testNode());
  await good.next();
  for (const node of [undefined, { id: "nobody" }]) {
    using bad = begin(mesh, node);
    assert.equal((await bad.ended).code, 3);
  }
  using junk = openRawCall(formatAddress(mesh.plane.xds), streamLoadStatsPath);
  junk.send(Buffer.from([0xff, 0x01]));
  assert.equal((await junk.ended).code, 3);
  good.send(encodeLoadReport({ node: undefined, clusters: [report("a", 3)] }));
  while ((await loadz(mesh))[0]?.clusters.length !== 1);
});

test("what reporters tell is bounded in clusters, localities and names, and said to be", () => {
  const metrics = createMetrics();
  const table = createLoadTable(metrics);
  const reporter = table.open({ proxy: "p", namespace: "default" });
  const many = Array.from({ length: loadLimits.clustersPerReporter + 7 }, (_, n) => report(`c${n}`, 1));
  reporter.add(many, 0);
  reporter.add([report("x".repeat(loadLimits.nameChars + 1), 1), report("", 1)], 0);
  const zones = Array.from({ length: loadLimits.localitiesPerCluster + 5 }, (_, n) => locality(1, 0, `z${n}`));
  reporter.add([report("c0", 1, { localities: zones })], 0);
  const [view] = table.list();
  assert.equal(view?.clusters.length, loadLimits.clustersPerReporter);
  assert.equal(view?.clusters[0]?.localities.length, loadLimits.localitiesPerCluster);
  assert.match(metrics.print(), /weft_load_reports_left_out_total 1[45]\n/);
  for (let n = 0; n < 3; n++) table.open({ proxy: `q${n}`, namespace: "default" }).add(many, 0);
  const others = table.open({ proxy: "r", namespace: "default" });
  others.add(
    Array.from({ length: 6_000 }, (_, n) => report(`d${n}`, 1)),
    0,
  );
  const lines = metrics.print().match(/^weft_load_requests_total\{/gm) ?? [];
  assert.ok(lines.length <= loadLimits.clusters * 4);
});

test("many reporters together are kept no more of than the bound, and what they took is free when they go", () => {
  const table = createLoadTable(createMetrics());
  const zones = Array.from({ length: loadLimits.localitiesPerCluster }, (_, n) => locality(1, 0, `z${n}`));
  const clusters = Array.from({ length: 1_000 }, (_, n) => report(`c${n}`, 1, { localities: zones }));
  const reporters = Array.from({ length: 5 }, (_, n) => table.open({ proxy: `p${n}`, namespace: "default" }));
  const keptNow = (): number =>
    table.list().reduce((sum, view) => view.clusters.reduce((all, one) => all + 1 + one.localities.length, sum), 0);
  for (const reporter of reporters) for (let i = 0; i < 2; i++) reporter.add(clusters, 0);
  assert.equal(keptNow(), loadLimits.kept);
  for (const reporter of reporters) reporter[Symbol.dispose]();
  using later = table.open({ proxy: "later", namespace: "default" });
  later.add(clusters, 1);
  assert.equal(keptNow(), clusters.length * (1 + zones.length));
});

test("names of services and places that are too long are left out", () => {
  const metrics = createMetrics();
  const table = createLoadTable(metrics);
  using reporter = table.open({ proxy: "p", namespace: "default" });
  reporter.add([report("a", 1, { service: "x".repeat(loadLimits.nameChars + 1) })], 0);
  reporter.add(
    [report("b", 1, { localities: [locality(1, 0, "z".repeat(loadLimits.placeChars + 1)), locality(1)] })],
    0,
  );
  assert.deepEqual(
    table.list()[0]?.clusters.map(({ cluster, localities }) => [cluster, localities.length]),
    [["b", 1]],
  );
  assert.match(metrics.print(), /weft_load_reports_left_out_total 2\n/);
});

test("what a report does not speak of has nothing in progress any more", () => {
  const table = createLoadTable(createMetrics());
  using reporter = table.open({ proxy: "p", namespace: "default" });
  reporter.add([report("a", 5, { localities: [locality(5, 3)] })], 0);
  assert.equal(table.list()[0]?.clusters[0]?.localities[0]?.inProgress, 3);
  reporter.add([report("a", 5, { localities: [] })], 1);
  assert.equal(table.list()[0]?.clusters[0]?.localities[0]?.inProgress, 0);
});
