import assert from "node:assert/strict";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import { createMetrics } from "../metrics/metrics.ts";
import type { EndpointRecord, ReportedHealth, Service, ServiceEndpoints } from "../model/service.ts";
import { feedReportedHealth } from "./health-feed.ts";
import { createLoadTable, type ReportedCluster, type ReporterView } from "./load-table.ts";
import { reportedHealth, reportedHealthLimits, seenByProxies } from "./reported-health.ts";

const key = "default/app.example";
const cluster = "outbound|80||app.example";
const endpoint = (n: number, over: Partial<EndpointRecord> = {}): EndpointRecord => ({
  ...{ key: `k${n}`, source: "Registry", service: key, servicePort: 80, address: `10.0.0.${n}`, port: 8080 },
  ...{ workloadPort: 8080, namespace: "default", workload: "app", serviceAccount: "", labels: {}, locality: "" },
  ...{ weight: 1, health: "healthy", network: "", cluster: "", meshTls: false },
  ...over,
});
const modelOf = (...endpoints: readonly EndpointRecord[]) => {
  const graph = createGraph();
  const source = graph.source<ServiceEndpoints>("endpoints");
  source.put({ key, endpoints });
  graph.commit();
  const services = new Map([["app.example", { key } as Service]]);
  return { endpoints: source, visibleServices: () => services };
};
const four = modelOf(...[1, 2, 3, 4].map((n) => endpoint(n)));

const failed = "/failed_active_hc";
const view = (
  proxy: string,
  unhealthy: Readonly<Record<string, string>> = {},
  over: Partial<ReportedCluster> = {},
): ReporterView => ({
  ...{ proxy, namespace: "default", reports: 1, reportedAtMs: 0 },
  clusters: [
    {
      ...{ cluster, service: "", dropped: 0, intervalMs: 10_000, localities: [], checksHosts: true, reportedAtMs: 0 },
      unhealthy: Object.entries(unhealthy).map(([address, flags]) => ({ address, flags })),
      ...over,
    },
  ],
});
const fails = (proxy: string, ...hosts: readonly number[]): ReporterView =>
  view(proxy, Object.fromEntries(hosts.map((n) => [`10.0.0.${n}:8080`, failed])));
const verdict = (views: readonly ReporterView[], model = four, nowMs = 0): readonly string[] =>
  reportedHealth(views, model, nowMs).flatMap(({ failed: ids }) => ids);
const one = "80 10.0.0.1:8080";

test("a lone proxy's word holds, and of several more than half decide", () => {
  assert.deepEqual(verdict([fails("a", 1)]), [one]);
  assert.deepEqual(verdict([fails("a", 1), fails("b")]), []);
  assert.deepEqual(verdict([fails("a", 1), fails("b", 1)]), [one]);
  assert.deepEqual(verdict([fails("a", 1), fails("b", 1), fails("c")]), [one]);
  assert.deepEqual(verdict([fails("a", 1), fails("b", 1), fails("c"), fails("d")]), []);
});

test("one proxy has one voice over however many streams", () => {
  assert.deepEqual(verdict([fails("a", 1), fails("a", 1), fails("a", 1), fails("b"), fails("c")]), []);
});

test("proxies that show one identity on one machine have one voice, and those that show none have none", () => {
  const voiced = (voice: string, one: ReporterView): ReporterView => ({ ...one, voice });
  const liar = ["x", "y", "z"].map((name) => voiced("spiffe://mesh/sa/a 10.0.0.9", fails(name, 1)));
  assert.deepEqual(verdict([...liar, voiced("spiffe://mesh/sa/b 10.0.0.9", fails("b"))]), []);
  assert.deepEqual(verdict(liar), [one]);
  assert.deepEqual(verdict(liar.map((each) => voiced("", each))), []);
});

test("of one port a proxy may speak as subsets up to a bound", () => {
  const [told] = fails("a", 1).clusters as [ReportedCluster];
  const subset = (n: number, from: ReportedCluster): ReportedCluster => ({
    ...from,
    cluster: `outbound|80|v${n}|app.example`,
  });
  const many = Array.from({ length: reportedHealthLimits.clustersOfPortMax }, (_, n) =>
    subset(n, { ...told, unhealthy: [] }),
  );
  const last = subset(many.length, told);
  assert.deepEqual(verdict([{ ...view("a"), clusters: [...many, last] }]), []);
  assert.deepEqual(verdict([{ ...view("a"), clusters: [...many.slice(1), last] }]), [one]);
});

test("only active checks count, and only those that came to an end", () => {
  for (const flags of ["/failed_outlier_check", "/failed_eds_health", "/failed_active_hc/pending_active_hc"]) {
    assert.deepEqual(verdict([view("a", { "10.0.0.1:8080": flags })]), [], flags);
  }
  const { checksHosts: _, ...unchecked } = fails("a", 1).clusters[0] as ReportedCluster;
  assert.deepEqual(verdict([{ ...view("a"), clusters: [unchecked] }]), []);
});

test("what the control plane itself sent does not keep an endpoint failed", () => {
  assert.deepEqual(verdict([view("a", { "10.0.0.1:8080": "/failed_active_hc/failed_eds_health" })]), [one]);
  assert.deepEqual(verdict([view("a", { "10.0.0.1:8080": "/failed_eds_health" })]), []);
});

test("reports go stale", () => {
  const { reportLifeMs } = reportedHealthLimits;
  assert.deepEqual(verdict([fails("a", 1)], four, reportLifeMs), [one]);
  assert.deepEqual(verdict([fails("a", 1)], four, reportLifeMs + 1), []);
});

test("where more than half would be unusable none is called failed, those the registry has out counted too", () => {
  assert.deepEqual(verdict([fails("a", 1, 2)]).length, 2);
  assert.deepEqual(verdict([fails("a", 1, 2, 3)]), []);
  const partly = modelOf(endpoint(1), endpoint(2, { health: "unhealthy" }), endpoint(3), endpoint(4));
  assert.deepEqual(verdict([fails("a", 1)], partly), [one]);
  assert.deepEqual(verdict([fails("a", 1, 3)], partly), []);
  assert.deepEqual(verdict([fails("a", 1)], modelOf(endpoint(1))), []);
});

test("a port's endpoints are judged apart from another's, and hosts nobody knows are nobody's", () => {
  const two = modelOf(endpoint(1), endpoint(2), endpoint(1, { servicePort: 90 }), endpoint(2, { servicePort: 90 }));
  assert.deepEqual(verdict([fails("a", 1)], two), [one]);
  assert.deepEqual(verdict([fails("a", 9)]), []);
  for (const name of ["outbound|80||other.example", "inbound|80||", "PassthroughCluster", "outbound|99||app.example"]) {
    assert.deepEqual(verdict([view("a", { "10.0.0.1:8080": failed }, { cluster: name })]), [], name);
  }
});

test("addresses of IPv6 and sockets are found again", () => {
  const model = modelOf(
    endpoint(1, { address: "fd00::1" }),
    endpoint(2, { address: "unix:///run/app.sock", port: 0 }),
    endpoint(3),
    endpoint(4),
  );
  const said = view("a", { "[fd00::1]:8080": failed, "/run/app.sock": failed });
  assert.deepEqual(verdict([said], model), ["80 /run/app.sock", "80 [fd00::1]:8080"]);
});

test("what is shown says how many proxies do not use an endpoint, and why", () => {
  const { checksHosts: _, ...unchecked } = view("c", { "10.0.0.1:8080": "/failed_outlier_check" })
    .clusters[0] as ReportedCluster;
  const views = [fails("a", 1), fails("b"), { ...view("c"), clusters: [unchecked] }];
  const seen = seenByProxies(views, four, key, 0);
  assert.deepEqual(seen.get(one), {
    ...{ reporting: 3, checking: 2, failing: 1, unhealthy: 2 },
    reasons: { failed_active_hc: 1, failed_outlier_check: 1 },
  });
  assert.equal(seen.get("80 10.0.0.2:8080")?.unhealthy, 0);
  assert.equal(seenByProxies(views, four, "default/other", 0).size, 0);
});

const feed = () => {
  const graph = createGraph();
  const reported = graph.source<ReportedHealth>("reported");
  const table = createLoadTable(createMetrics());
  const timers = new Set<{ readonly run: () => void; readonly delayMs: number }>();
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
  const setTimer = (run: () => void, delayMs: number): Disposable => {
    const timer = { run, delayMs };
    timers.add(timer);
    return { [Symbol.dispose]: () => void timers.delete(timer) };
  };
  const feeding = feedReportedHealth({
    ...{ table, model: four, reported, clock, setTimer },
    commitSoon: () => void graph.commit(),
  });
  return {
    ...{ reported, table, timers, feeding },
    pass: (ms: number): void => {
      nowMs += ms;
      const due = [...timers];
      timers.clear();
      for (const { run } of due) run();
    },
  };
};
const report = fails("a", 1).clusters;

test("the model hears of what failed once a crowd of reports has come, and that it is over when nobody says so any more", () => {
  const { reported, table, timers, pass, feeding } = feed();
  const reporter = table.open({ proxy: "a", namespace: "default" });
  for (let i = 0; i < 5; i++) reporter.add(report, 0);
  assert.equal(timers.size, 1);
  pass(500);
  assert.deepEqual(reported.get(key)?.failed, [one]);
  pass(reportedHealthLimits.reportLifeMs + 1);
  assert.equal(reported.size, 0);
  assert.equal(timers.size, 0);
  reporter.add(report, 40_000);
  pass(500);
  assert.equal(reported.size, 1);
  reporter[Symbol.dispose]();
  pass(500);
  assert.equal(reported.size, 0);
  feeding[Symbol.dispose]();
});

test("reports of clusters that nobody checks wake nobody", () => {
  const { table, timers } = feed();
  const [{ checksHosts: _, ...unchecked }] = report as [ReportedCluster];
  const reporter = table.open({ proxy: "a", namespace: "default" });
  reporter.add([unchecked], 0);
  reporter[Symbol.dispose]();
  assert.equal(timers.size, 0);
});
