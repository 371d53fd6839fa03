import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClusterLoad, createLoadReporter, type HostLoad, type LoadReporter } from "./load-reporter.ts";
import {
  decodeLoadReport,
  decodeLoadWish,
  encodeLoadReport,
  encodeLoadWish,
  type LoadReport,
  unhealthyHostsMax,
} from "./load-reports.ts";

const eu = { region: "eu", zone: "a", subZone: "" };
const us = { region: "us", zone: "b", subZone: "" };
const host = (address: string, counts: Partial<HostLoad> = {}): HostLoad => ({
  ...{ address, locality: eu, priority: 0, issued: 0, succeeded: 0, failed: 0, inProgress: 0 },
  ...counts,
});
const load = (cluster: string, hosts: readonly HostLoad[], dropped = 0): ClusterLoad => ({
  ...{ cluster, service: `${cluster}-svc`, hosts, dropped },
});

const setUp = (first: readonly ClusterLoad[]) => {
  let loads = first;
  const reporter = createLoadReporter({ node: { id: "n" }, random: () => 0, read: () => loads });
  assert.deepEqual(reporter.handle({ kind: "tick" }, 0), [{ kind: "open" }]);
  return { reporter, set: (next: readonly ClusterLoad[]) => (loads = next) };
};
const sent = (outputs: ReturnType<LoadReporter["handle"]>): LoadReport => {
  const [output] = outputs;
  assert.ok(output?.kind === "send");
  // Over the wire and back.
  return decodeLoadReport(encodeLoadReport(output.report));
};
const wish = (clusters: readonly string[] | "all", intervalMs = 10_000) => ({
  kind: "wish" as const,
  wish: decodeLoadWish(encodeLoadWish({ clusters, intervalMs })),
});
const opened = (reporter: LoadReporter, nowMs = 0): LoadReport => sent(reporter.handle({ kind: "opened" }, nowMs));
const tick = { kind: "tick" } as const;

test("it says who it is and that it can report all, and then nothing until it is told what is wanted", () => {
  const { reporter } = setUp([load("a", [host("1", { issued: 5 })])]);
  const { node, clusters } = opened(reporter);
  assert.deepEqual(clusters, []);
  assert.equal(node?.id, "n");
  assert.ok(node?.clientFeatures?.includes("envoy.lrs.supports_send_all_clusters"));
  assert.equal(reporter.deadlineMs(), undefined);
  assert.deepEqual(reporter.handle(tick, 100_000), []);
});

test("a report has what happened since the last one, per cluster, locality and priority", () => {
  const { reporter, set } = setUp([load("a", [host("1", { issued: 5, succeeded: 5 })], 2)]);
  opened(reporter);
  reporter.handle(wish("all"), 0);
  set([
    load(
      "a",
      [
        host("1", { issued: 9, succeeded: 8, failed: 1 }),
        host("2", { issued: 3, succeeded: 1, inProgress: 2 }),
        host("3", { issued: 1, succeeded: 1, locality: us }),
        host("4", { issued: 1, failed: 1, priority: 1 }),
      ],
      5,
    ),
  ]);
  assert.equal(reporter.deadlineMs(), 10_000);
  assert.deepEqual(reporter.handle(tick, 9_999), []);
  const [cluster, ...more] = sent(reporter.handle(tick, 10_000)).clusters;
  assert.equal(more.length, 0);
  assert.deepEqual(
    [cluster?.cluster, cluster?.service, cluster?.dropped, cluster?.intervalMs],
    ["a", "a-svc", 3, 10_000],
  );
  assert.deepEqual(cluster?.localities, [
    { ...eu, priority: 0, issued: 7, succeeded: 4, failed: 1, inProgress: 2 },
    { ...us, priority: 0, issued: 1, succeeded: 1, failed: 0, inProgress: 0 },
    { ...eu, priority: 1, issued: 1, succeeded: 0, failed: 1, inProgress: 0 },
  ]);
  // Nothing happened since, but what is in progress still is.
  const [again] = sent(reporter.handle(tick, 20_000)).clusters;
  assert.deepEqual(again?.localities, [{ ...eu, priority: 0, issued: 0, succeeded: 0, failed: 0, inProgress: 2 }]);
  assert.equal(again?.dropped, 0);
});

test("only the clusters asked for are reported, and a newer wish replaces the last", () => {
  const { reporter } = setUp([load("a", []), load("b", [])]);
  opened(reporter);
  reporter.handle(wish(["b", "unknown"]), 0);
  const names = (nowMs: number): readonly string[] =>
    sent(reporter.handle(tick, nowMs)).clusters.map(({ cluster }) => cluster);
  assert.deepEqual(names(10_000), ["b"]);
  reporter.handle(wish(["a"], 2_000), 11_000);
  assert.equal(reporter.deadlineMs(), 13_000);
  assert.deepEqual(names(13_000), ["a"]);
});

test("hosts that come, go, or are replaced under one address never give negative counts", () => {
  const { reporter, set } = setUp([load("a", [host("1", { issued: 100 }), host("2", { issued: 50 })])]);
  opened(reporter);
  reporter.handle(wish("all"), 0);
  set([load("a", [host("1", { issued: 4 }), host("3", { issued: 6 })])]);
  assert.equal(sent(reporter.handle(tick, 10_000)).clusters[0]?.localities[0]?.issued, 10);
});

test("a cluster that comes between two reports is counted from its beginning", () => {
  const { reporter, set } = setUp([]);
  opened(reporter);
  reporter.handle(wish("all"), 0);
  set([load("new", [host("1", { issued: 3 })])]);
  const [cluster] = sent(reporter.handle(tick, 10_000)).clusters;
  assert.deepEqual([cluster?.localities[0]?.issued, cluster?.intervalMs], [3, 10_000]);
});

test("an interval that is too short, too long or not there is kept within bounds", () => {
  for (const [asked, given] of [
    [1, 1_000],
    [0, 1_000],
    [10 ** 12, 3_600_000],
  ] as const) {
    const { reporter } = setUp([]);
    opened(reporter);
    reporter.handle(wish("all", asked), 0);
    assert.equal(reporter.deadlineMs(), given);
  }
});

test("a lost stream is opened again after growing waits, short again once a server answered", () => {
  const { reporter } = setUp([load("a", [host("1", { issued: 5 })])]);
  const waits = [1, 2, 3].map(() => {
    reporter.handle({ kind: "closed" }, 0);
    const at = reporter.deadlineMs() ?? 0;
    assert.deepEqual(reporter.handle(tick, at), [{ kind: "open" }]);
    return at;
  });
  assert.ok((waits[0] ?? 0) < (waits[1] ?? 0) && (waits[1] ?? 0) < (waits[2] ?? 0));
  opened(reporter);
  reporter.handle(wish("all"), 0);
  reporter.handle({ kind: "closed" }, 0);
  assert.equal(reporter.deadlineMs(), waits[0]);
});

test("what was before the server asked is not reported, on a new stream neither", () => {
  const { reporter, set } = setUp([load("a", [host("1", { issued: 5 })])]);
  opened(reporter);
  reporter.handle(wish("all"), 0);
  reporter.handle({ kind: "closed" }, 1_000);
  set([load("a", [host("1", { issued: 50 })])]);
  reporter.handle(tick, 60_000);
  opened(reporter, 60_000);
  reporter.handle(wish("all"), 60_000);
  set([load("a", [host("1", { issued: 51 })])]);
  assert.equal(sent(reporter.handle(tick, 70_000)).clusters[0]?.localities[0]?.issued, 1);
});

test("a wish that comes while no stream is open is not followed", () => {
  const { reporter } = setUp([load("a", [])]);
  reporter.handle({ kind: "closed" }, 0);
  reporter.handle(wish("all"), 0);
  assert.notEqual(reporter.deadlineMs(), 10_000);
});

test("hosts that are not used are told of with every report while they are not, and so many at most", () => {
  const { reporter, set } = setUp([load("a", [host("1")])]);
  opened(reporter);
  reporter.handle(wish("all"), 0);
  const flags = "/failed_active_hc";
  set([load("a", [host("10.0.0.1:80", { flags }), host("[::1]:80", { flags }), host("/run/x.sock", { flags })])]);
  for (const atMs of [10_000, 20_000]) {
    const [cluster] = sent(reporter.handle(tick, atMs)).clusters;
    assert.deepEqual(cluster?.unhealthy, [
      { address: "10.0.0.1:80", flags },
      { address: "[::1]:80", flags },
      { address: "/run/x.sock", flags },
    ]);
    assert.deepEqual(cluster?.localities, []);
  }
  set([load("a", [host("10.0.0.1:80")])]);
  const [healthy] = sent(reporter.handle(tick, 30_000)).clusters;
  assert.equal(healthy?.unhealthy, undefined);
  set([
    load(
      "a",
      Array.from({ length: 500 }, (_, i) => host(`10.0.0.1:${i + 1}`, { flags })),
    ),
  ]);
  const [many] = sent(reporter.handle(tick, 40_000)).clusters;
  assert.equal(many?.unhealthy?.length, unhealthyHostsMax);
});
