/** Requests whose table has a host for everything else, and gets the others one by one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { callHttp } from "@weft/testkit/http-call";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import { cluster, hcm, listener } from "../runtime/testing/test-plane.ts";
import { absentNamesMax } from "./limits.ts";
import { delta, type OnDemandMesh, openMesh } from "./testing/on-demand-mesh.ts";

const router = {
  name: "envoy.filters.http.router",
  typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}),
};
const inListener = listener("in", [hcm({ httpFilters: [{ name: "weft.on_demand" }, router] })]);

const says = (name: string, domain: string, body = name): VirtualHostJson => ({
  name,
  domains: [domain],
  routes: [{ match: { prefix: "/" }, directResponse: { status: 200, body: { inlineString: body } } }],
});
const leads = (name: string, domain: string, to: string): VirtualHostJson => ({
  name,
  domains: [domain],
  routes: [{ match: { prefix: "/" }, route: { cluster: to } }],
});
const table = (rest: object = {}): object => ({
  name: "routes",
  virtualHosts: [says("rest", "*")],
  vhds: { configSource: { ads: {}, initialFetchTimeout: "3s" } },
  ...rest,
});
const open = async (json = table()): Promise<OnDemandMesh> => {
  const { dynamicResources } = delta;
  const cdsConfig = { ads: {}, resourceApiVersion: "V3" };
  const mesh = await openMesh(inListener, {
    bootstrap: { ...delta, dynamicResources: { ...dynamicResources, cdsConfig } },
  });
  mesh.stream.give("route", [json]);
  await mesh.plane.settled();
  return mesh;
};
const ask = async (mesh: OnDemandMesh, host: string): Promise<string> => {
  const { status, body } = await callHttp(`127.0.0.1:${mesh.port}`, { host });
  return `${status} ${body}`;
};
const asked = (mesh: OnDemandMesh, host: string, times = 1) => mesh.subscribed(`routes/${host}`, times, "virtualHost");
const give = (mesh: OnDemandMesh, host: string, json: VirtualHostJson): void =>
  mesh.stream.giveHosts([{ name: `routes/${json.name}`, aliases: [`routes/${host}`], json }]);

test("the host for everything else takes no request before it is known that no other does", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  give(mesh, "a.test", says("a", "a.test"));
  assert.deepEqual([await waiting, await ask(mesh, "a.test"), await ask(mesh, "A.TEST")], ["200 a", "200 a", "200 a"]);
  assert.equal(mesh.count("http.vhds.on_demand_asked"), 1);
});

test("a host that there is none of goes where everything else goes, is asked for once, and is there when it comes", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "none.test");
  await asked(mesh, "none.test");
  mesh.stream.giveHosts([], ["routes/none.test"]);
  assert.deepEqual([await waiting, await ask(mesh, "none.test")], ["200 rest", "200 rest"]);
  assert.equal(mesh.count("http.vhds.on_demand_asked"), 1);
  give(mesh, "none.test", says("late", "none.test"));
  assert.equal(await ask(mesh, "none.test"), "200 late");
  mesh.stream.giveHosts([], ["routes/late", "routes/none.test"]);
  assert.equal(await ask(mesh, "none.test"), "200 rest");
});

test("what was learned for a wildcard is not taken for another name that it covers, until that was asked for", async () => {
  await using mesh = await open();
  const first = ask(mesh, "a.wild.test");
  await asked(mesh, "a.wild.test");
  give(mesh, "a.wild.test", says("wild", "*.wild.test"));
  assert.deepEqual([await first, await ask(mesh, "a.wild.test")], ["200 wild", "200 wild"]);
  const second = ask(mesh, "b.wild.test");
  await asked(mesh, "b.wild.test");
  give(mesh, "b.wild.test", says("exact", "b.wild.test"));
  assert.equal(await second, "200 exact");
  const third = ask(mesh, "c.wild.test");
  await asked(mesh, "c.wild.test");
  mesh.stream.giveHosts([
    { name: "routes/wild", aliases: ["routes/a.wild.test", "routes/c.wild.test"], json: says("wild", "*.wild.test") },
  ]);
  assert.equal(await third, "200 wild");
});

test("nobody answers: 503 with the reason when the time is up, and the next one waits anew", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.late(3_000);
  assert.match(await waiting, /^503 WF2230 .*Next: /);
  assert.match(mesh.logLines.join(), /503 NC on_demand_no_answer/);
  const again = ask(mesh, "a.test");
  await mesh.until(() => mesh.timers() === 1);
  give(mesh, "a.test", says("a", "a.test"));
  assert.equal(await again, "200 a");
});

test("a request waits until the cluster of its host can be used", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  const eds = { name: "app", type: "EDS", edsClusterConfig: { edsConfig: { ads: {} }, serviceName: "app" } };
  mesh.stream.give("cluster", [eds]);
  await mesh.subscribed("app", 1, "endpoints");
  give(mesh, "a.test", leads("a", "a.test", "app"));
  assert.equal(mesh.onDemand.hosts.awaits("routes/a.test"), true);
  const { json } = cluster("app", [mesh.app]) as { readonly json: { readonly loadAssignment: object } };
  mesh.stream.give("endpoints", [{ ...json.loadAssignment, clusterName: "app" }]);
  assert.equal(await waiting, "200 app");
});

test("names that there is nothing of are kept to a bound, the oldest given up first", async () => {
  await using mesh = await open();
  const names = Array.from({ length: absentNamesMax + 20 }, (_, at) => `n${at}.test`);
  for (let at = 0; at < names.length; at += 20) {
    const some = names.slice(at, at + 20);
    const waiting = some.map((name) => ask(mesh, name));
    for (const name of some) await asked(mesh, name);
    mesh.stream.giveHosts(
      [],
      some.map((name) => `routes/${name}`),
    );
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["200 rest"]));
  }
  const kept = mesh.onDemand.hosts.namesOf("ads");
  assert.deepEqual(
    [kept.size, kept.has("routes/n0.test"), kept.has(`routes/${names.at(-1)}`)],
    [absentNamesMax, false, true],
  );
});

test("a name longer than any service's, and none at all, are not asked for", async () => {
  await using mesh = await open();
  assert.equal(await ask(mesh, `${"a".repeat(400)}.test`), "200 rest");
  assert.deepEqual(mesh.stream.subscriptions("virtualHost"), []);
});

test("a domain that goes from one host to another in one response is taken in either order", async () => {
  await using mesh = await open();
  const waiting = ["a.test", "b.test"].map((host) => ask(mesh, host));
  for (const host of ["a.test", "b.test"]) await asked(mesh, host);
  const both = (one: VirtualHostJson, other: VirtualHostJson): void =>
    mesh.stream.giveHosts([
      { name: "routes/one", aliases: ["routes/a.test"], json: one },
      { name: "routes/two", aliases: ["routes/b.test"], json: other },
    ]);
  both(says("one", "a.test"), { ...says("two", "b.test"), domains: ["b.test", "c.test"] });
  assert.deepEqual(await Promise.all(waiting), ["200 one", "200 two"]);
  both({ ...says("one", "a.test"), domains: ["a.test", "c.test"] }, says("two", "b.test"));
  assert.equal(
    mesh.stream.sent.findLast(({ errorDetail }) => errorDetail),
    undefined,
  );
  assert.equal(await ask(mesh, "c.test"), "200 one");
});

test("a table that has all its hosts is not asked about, and requests that wait go on by it", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.give("route", [{ name: "routes", virtualHosts: [says("rest", "*"), says("a", "a.test")] }]);
  assert.deepEqual([await waiting, await ask(mesh, "b.test")], ["200 a", "200 rest"]);
  assert.deepEqual(mesh.stream.subscriptions("virtualHost"), ["routes/a.test"]);
});
