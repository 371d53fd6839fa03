/** Requests for clusters and hosts that were known before, through a data plane, a store and files in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { callHttp } from "@weft/testkit/http-call";
import { any } from "@weft/xds/resource";
import { delta, type OnDemandMesh, openMesh } from "../../on-demand/testing/on-demand-mesh.ts";
import { cluster, hcm, listener } from "../../runtime/testing/test-plane.ts";
import type { CacheSettings } from "./discovery-cache.ts";
import { refreshAheadMs } from "./limits.ts";
import { type MemoryFiles, memoryFiles } from "./testing/memory-files.ts";

const ttlMs = 60_000;
const onDemandType = "envoy.extensions.filters.http.on_demand.v3.OnDemand";
const odcds = { source: { ads: {} }, timeout: "5s" };
const filters = (json: object) => [
  { name: "envoy.filters.http.on_demand", typedConfig: any(onDemandType, json) },
  { name: "envoy.filters.http.router", typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}) },
];
const byHeader = {
  name: "r",
  validateClusters: false,
  virtualHosts: [
    { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { clusterHeader: "x-cluster" } }] },
  ],
};
const forClusters = listener("in", [hcm({ rds: undefined, httpFilters: filters({ odcds }), routeConfig: byHeader })]);
const forHosts = listener("in", [hcm({ httpFilters: filters({}) })]);
/** All clusters come unasked where hosts are asked for. */
const givesAll = { ...delta, dynamicResources: { ...delta.dynamicResources, cdsConfig: { ads: {} } } };
const bootstrapOf = (on: typeof forHosts): object => (on === forHosts ? givesAll : delta);
const eds = (name: string) => ({
  name,
  type: "EDS",
  connectTimeout: "1s",
  edsClusterConfig: { edsConfig: { ads: {} } },
});
const endpointsOf = (name: string, port: number): object =>
  (cluster(name, [port]).json as { readonly loadAssignment: object }).loadAssignment;

const cacheIn = (files: MemoryFiles, writerId = "one"): CacheSettings => ({
  ttlMs,
  disk: { files, bytesMax: 1e6, writerId },
});
const open = (files: MemoryFiles, on = forClusters) =>
  openMesh(on, { bootstrap: bootstrapOf(on), cache: cacheIn(files) });
/** The same after a restart, with nobody to ask. */
const openAlone = async (files: MemoryFiles, on = forClusters): Promise<OnDemandMesh> => {
  const mesh = await openMesh(on, { bootstrap: bootstrapOf(on), cache: cacheIn(files, "two") });
  mesh.fail();
  return mesh;
};
const ask = async (mesh: OnDemandMesh, name: string, host = "x"): Promise<string> => {
  const { status, body } = await callHttp(`127.0.0.1:${mesh.port}`, { host, headers: { "x-cluster": name } });
  return `${status} ${body}`;
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** Asked for, given with its endpoints, and on disk. */
const fetched = async (mesh: OnDemandMesh, name: string): Promise<void> => {
  const waiting = ask(mesh, name);
  await mesh.subscribed(name);
  mesh.stream.give("cluster", [eds(name)]);
  mesh.stream.give("endpoints", [endpointsOf(name, mesh.app)]);
  assert.equal(await waiting, "200 app");
  mesh.pass(1_000);
};
const counts = (mesh: OnDemandMesh, level: string) =>
  Object.fromEntries(
    ["hits", "misses", "refreshed", "corrupted", "evicted", "filled"].flatMap((what) => {
      const count = mesh.count(`discovery_cache.${level}.${what}`);
      return count > 0 ? [[what, count]] : [];
    }),
  );
const unsubscribed = (mesh: OnDemandMesh, name: string): boolean =>
  mesh.stream.sent.some(({ unsubscribe }) => unsubscribe.includes(name));

test("a cluster that nobody has comes from the control plane, and is missed at the levels above", async () => {
  const files = memoryFiles();
  await using mesh = await open(files);
  await fetched(mesh, "a");
  assert.deepEqual(counts(mesh, "l1"), { misses: 1, filled: 1 });
  assert.deepEqual(counts(mesh, "l2"), { misses: 1 });
  assert.deepEqual(counts(mesh, "l3"), { hits: 1 });
});

test("one that is not used leaves memory with its subscription, stays on disk, and is back from there at once", async () => {
  const files = memoryFiles();
  await using mesh = await open(files);
  await fetched(mesh, "a");
  mesh.pass(ttlMs - 1_000 - refreshAheadMs);
  // Its first request was after it came: it was refreshed once.
  mesh.pass(ttlMs);
  await turn();
  assert.equal(mesh.plane.clusters().length, 0);
  assert.ok(unsubscribed(mesh, "a"));
  assert.equal(mesh.store.entries("endpoints").size, 0);
  assert.deepEqual(counts(mesh, "l1"), { misses: 1, filled: 1, hits: 1, refreshed: 1, evicted: 1 });
});

test("what left memory just now answers before the control plane does, which is asked all the same", async () => {
  const files = memoryFiles();
  await using mesh = await open(files);
  await fetched(mesh, "a");
  mesh.onDemand.clusters.release("ads", "a");
  mesh.store.offer("ads", "cluster", [{ name: "a", version: "", json: undefined }]);
  await turn();
  assert.equal(mesh.plane.clusters().length, 0);
  assert.equal(await ask(mesh, "a"), "200 app");
  await mesh.subscribed("a", 2);
  assert.deepEqual([counts(mesh, "l2").hits, counts(mesh, "l3").hits], [1, 1]);
});

test("what is older is asked for first, and serves only where the control plane says nothing in time", async () => {
  const files = memoryFiles();
  await using mesh = await open(files);
  await fetched(mesh, "a");
  mesh.pass(3 * ttlMs);
  await turn();
  assert.equal(mesh.plane.clusters().length, 0);
  const waiting = ask(mesh, "a");
  await mesh.subscribed("a", 2);
  assert.equal(mesh.plane.clusters().length, 0, "the control plane is waited for");
  mesh.late(5_000);
  assert.equal(await waiting, "200 app");
  assert.equal(counts(mesh, "l3").misses, 1);
  assert.equal(counts(mesh, "l2").hits, 1);
});

test("what is used is refreshed and stays, and its subscription with it", async () => {
  const files = memoryFiles();
  await using mesh = await open(files);
  await fetched(mesh, "a");
  for (let i = 0; i < 5; i++) {
    assert.equal(await ask(mesh, "a"), "200 app");
    mesh.pass(ttlMs - refreshAheadMs);
  }
  await turn();
  assert.equal(unsubscribed(mesh, "a"), false);
  assert.deepEqual(counts(mesh, "l1"), { misses: 1, filled: 1, hits: 6, refreshed: 5 });
  assert.equal(counts(mesh, "l3").refreshed, 5);
});

test("after a restart without control plane a cluster comes from disk when it is asked for, with its endpoints", async () => {
  const files = memoryFiles();
  await using before = await open(files);
  await fetched(before, "a");
  await fetched(before, "b");
  await using mesh = await openAlone(files);
  assert.equal(mesh.plane.clusters().length, 0, "what nobody asks for takes no memory");
  assert.equal(await ask(mesh, "a"), "200 app");
  assert.deepEqual(
    mesh.plane.clusters().map(({ name }) => name),
    ["a"],
  );
  assert.equal(mesh.onDemand.clusters.awaits("a"), false);
  mesh.pass(60_000);
  mesh.connect();
  assert.deepEqual(
    [...(mesh.stream.sent.find(({ initialVersions }) => initialVersions.size > 0)?.initialVersions ?? [])],
    [["a", "v1"]],
    "it is claimed by its version when the control plane is back",
  );
});

test("requests that wait when the control plane goes get what was known before", async () => {
  const files = memoryFiles();
  await using before = await open(files);
  await fetched(before, "a");
  before.pass(3 * ttlMs);
  await turn();
  const waiting = ask(before, "a");
  await before.subscribed("a", 2);
  before.fail();
  assert.equal(await waiting, "200 app");
});

test("what the control plane took away is not on disk any more", async () => {
  const files = memoryFiles();
  await using before = await open(files);
  await fetched(before, "a");
  before.stream.give("cluster", [], ["a"]);
  before.pass(1_000);
  await using mesh = await openAlone(files);
  const waiting = ask(mesh, "a");
  await mesh.until(() => mesh.timers() > 0);
  mesh.late(5_000);
  assert.equal(await waiting, "503 ");
});

test("a cluster whose endpoints are damaged on disk is no answer: the control plane is asked, and heals it", async () => {
  const files = memoryFiles();
  await using before = await open(files);
  await fetched(before, "a");
  for (const [name, bytes] of files.content) {
    const at = bytes.indexOf('{"clusterName"');
    if (at >= 0) files.content.set(name, Buffer.from(bytes).fill("#", at + 2, at + 3));
  }
  await using mesh = await openMesh(forClusters, { cache: cacheIn(files, "two") });
  const waiting = ask(mesh, "a");
  await mesh.subscribed("a");
  assert.deepEqual(counts(mesh, "l2"), { misses: 1, corrupted: 1 });
  mesh.stream.give("cluster", [eds("a")]);
  mesh.stream.give("endpoints", [endpointsOf("a", mesh.app)]);
  assert.equal(await waiting, "200 app");
  mesh.pass(1_000);
  await using healed = await openAlone(files);
  assert.equal(await ask(healed, "a"), "200 app");
});

const says = (host: string, name: string) => ({
  ...{ name, domains: [host] },
  routes: [{ match: { prefix: "/" }, route: { cluster: "c" } }],
});
const table = { name: "routes", validateClusters: false, virtualHosts: [], vhds: { configSource: { ads: {} } } };
const hostFetched = async (mesh: OnDemandMesh, host: string): Promise<void> => {
  mesh.stream.give("route", [table]);
  await mesh.plane.settled();
  mesh.stream.give("cluster", [eds("c")]);
  mesh.stream.give("endpoints", [endpointsOf("c", mesh.app)]);
  const waiting = ask(mesh, "", host);
  await mesh.subscribed(`routes/${host}`, 1, "virtualHost");
  mesh.stream.giveHosts([{ name: `routes/of-${host}`, aliases: [`routes/${host}`], json: says(host, `of-${host}`) }]);
  assert.equal(await waiting, "200 app");
  mesh.pass(1_000);
};

test("virtual hosts come from disk as well, by the name they are asked for by, with the clusters they lead to", async () => {
  const files = memoryFiles();
  await using before = await open(files, forHosts);
  await hostFetched(before, "a.test");
  await using mesh = await openAlone(files, forHosts);
  await mesh.plane.settled();
  assert.equal(await ask(mesh, "", "a.test"), "200 app");
  const [routes] = [...mesh.store.entries("route").values()];
  assert.match(JSON.stringify(routes?.active?.json), /of-a\.test/);
});

test("a virtual host whose cluster is not used leaves its table, and is fetched again by the next request", async () => {
  const files = memoryFiles();
  await using mesh = await open(files, forHosts);
  await hostFetched(mesh, "a.test");
  mesh.pass(3 * ttlMs);
  await turn();
  assert.ok(unsubscribed(mesh, "routes/a.test"));
  assert.doesNotMatch(JSON.stringify(mesh.store.entries("route").get("routes")?.active?.json), /a\.test/);
  const waiting = ask(mesh, "", "a.test");
  await mesh.subscribed("routes/a.test", 2, "virtualHost");
  mesh.stream.giveHosts([{ name: "routes/of-a.test", aliases: ["routes/a.test"], json: says("a.test", "of-a.test") }]);
  assert.equal(await waiting, "200 app");
});

test("a full disk is told once, stops nothing, and is written to when there is room", async () => {
  const files = memoryFiles();
  await using mesh = await open(files);
  files.room = 0;
  await fetched(mesh, "a");
  assert.ok(mesh.count("discovery_cache.l2.errors") > 0);
  assert.equal(files.content.size, 0);
  files.room = 1e6;
  mesh.pass(10_000);
  await using alone = await openAlone(files);
  assert.equal(await ask(alone, "a"), "200 app");
});
