import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { compileTools } from "../compile/testing/fixtures.ts";
import { compileCluster } from "./compile-cluster.ts";
import { originalHostsMax, unusedHostMs } from "./original-dst.ts";

const json: ClusterJson = { name: "p", type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED" };
const open = () => compileCluster(json, undefined, compileTools());

test("a host with idle connections only is dropped after five minutes without a request, and given back", () => {
  const cluster = open();
  const host = cluster.originalHost("10.0.0.9:80") ?? assert.fail();
  host.stats.cxActive = 1;
  for (let at = 5000; at < unusedHostMs; at += 5000) assert.deepEqual(cluster.tick(at), []);
  assert.equal(cluster.originalHost("10.0.0.9:80"), host, "a request starts the time anew");
  assert.deepEqual(cluster.tick(unusedHostMs + 5000), []);
  assert.deepEqual(cluster.tick(unusedHostMs + 10_000), []);
  assert.deepEqual(cluster.tick(2 * unusedHostMs + 5000), [host]);
  assert.equal(host.removed, true);
});

test("a host in use stays however long its connection lives", () => {
  const cluster = open();
  const host = cluster.originalHost("10.0.0.9:80") ?? assert.fail();
  host.counts.enter();
  host.stats.cxActive = 1;
  for (let at = 5000; at < 3 * unusedHostMs; at += 5000) assert.deepEqual(cluster.tick(at), []);
});

test("when there are too many hosts the oldest without a request makes room, and none is made when all are in use", () => {
  const cluster = open();
  const first = cluster.originalHost("10.0.0.1:1") ?? assert.fail();
  first.counts.enter();
  for (let port = 2; port <= originalHostsMax; port++) cluster.originalHost(`10.0.0.1:${port}`);
  const idle = cluster.hosts()[1] ?? assert.fail();
  let disposed = 0;
  idle.pool = { [Symbol.dispose]: () => void disposed++ };
  const extra = cluster.originalHost("10.0.0.2:1");
  assert.ok(extra);
  assert.deepEqual([idle.removed, disposed, cluster.hosts().length], [true, 1, originalHostsMax]);
  assert.ok(cluster.hosts().includes(extra));
  assert.equal(cluster.originalHost("nowhere:1"), undefined);
  assert.equal(cluster.hosts().length, originalHostsMax, "what is no address costs nobody a place");
  for (const host of cluster.hosts()) host.counts.enter();
  assert.equal(cluster.originalHost("10.0.0.3:1"), undefined);
  assert.equal(cluster.originalHost("10.0.0.1:1"), first);
});

test("an ejected host that is dropped, for being unused or to make room, gives its ejection back", () => {
  const outlierDetection = { consecutive5xx: 1, maxEjectionPercent: 100, baseEjectionTime: "600s" };
  const cluster = compileCluster({ ...json, outlierDetection }, undefined, compileTools());
  const eject = (address: string): void => {
    const host = cluster.originalHost(address) ?? assert.fail();
    cluster.report(host, { kind: "response", status: 500 }, 0);
    assert.deepEqual([host.ejected, cluster.load.ejections], [true, 1]);
  };
  eject("10.0.0.9:80");
  for (const at of [5000, 10_000]) cluster.tick(at);
  assert.deepEqual([cluster.hosts().length, cluster.load.ejections], [0, 0]);
  eject("10.0.0.9:80");
  for (let port = 1; port <= originalHostsMax; port++) cluster.originalHost(`10.0.0.1:${port}`);
  assert.deepEqual([cluster.hosts().length, cluster.load.ejections], [originalHostsMax, 0]);
});
