/** Requests for hosts that are not in their route table, which gets them from a stream that the test answers. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { callHttp } from "@weft/testkit/http-call";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import { cluster, hcm, listener, openPlane, routes } from "../runtime/testing/test-plane.ts";
import { delta, type OnDemandMesh, openMesh, sotw } from "./testing/on-demand-mesh.ts";

const vhds = { configSource: { ads: {}, initialFetchTimeout: "3s" } };
const onDemandFilter = (json: object = {}) => ({
  name: "envoy.filters.http.on_demand",
  typedConfig: any("envoy.extensions.filters.http.on_demand.v3.OnDemand", json),
});
const router = {
  name: "envoy.filters.http.router",
  typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}),
};
const inListener = (json: object = {}, rest: object = {}) =>
  listener("in", [hcm({ httpFilters: [onDemandFilter(json), router], ...rest })]);

const says = (name: string, domain: string, body: string, path = "/"): VirtualHostJson => ({
  name,
  domains: [domain],
  routes: [{ match: { prefix: path }, directResponse: { status: 200, body: { inlineString: body } } }],
});
const table = (rest: object = {}): object => ({
  name: "routes",
  virtualHosts: [says("fixed", "fixed.test", "fixed")],
  vhds,
  ...rest,
});
const plainTable: object = { name: "routes", virtualHosts: [says("fixed", "fixed.test", "fixed")] };
const hostOf = (host: string, body = host, path = "/") => ({
  name: `routes/of-${host}`,
  aliases: [`routes/${host}`],
  json: says(`routes/of-${host}`, host, body, path),
});

/** One whose listener has its table. */
const open = async (json?: object): Promise<OnDemandMesh> => {
  const mesh = await openMesh(inListener(json));
  mesh.stream.give("route", [table()]);
  await mesh.plane.settled();
  return mesh;
};
const ask = async (mesh: OnDemandMesh, host: string, path = "/"): Promise<string> => {
  const { status, body } = await callHttp(`127.0.0.1:${mesh.port}`, { host, path });
  return `${status} ${body}`;
};
const asked = (mesh: OnDemandMesh, host: string, times = 1) => mesh.subscribed(`routes/${host}`, times, "virtualHost");

test("a host is asked for once, by table and name, and all that waited go on when it is here", async () => {
  await using mesh = await open();
  const all = ["a.test", "A.test", "a.test"].map((host) => ask(mesh, host));
  await mesh.until(() => mesh.count("http.vhds.on_demand_asked") === 3);
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test")]);
  assert.deepEqual(await Promise.all(all), ["200 a.test", "200 a.test", "200 a.test"]);
  assert.deepEqual(mesh.stream.subscriptions("virtualHost"), ["routes/a.test"]);
  assert.equal(await ask(mesh, "a.test"), "200 a.test");
  assert.equal(await ask(mesh, "fixed.test"), "200 fixed");
});

test("what was learned stands in the table that is shown, with the version that it was given", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test")]);
  await waiting;
  const held = mesh.store.entries("route").get("routes")?.active;
  const { virtualHosts } = (held?.json ?? {}) as { readonly virtualHosts?: readonly VirtualHostJson[] };
  const names = virtualHosts?.map(({ name }) => name);
  assert.deepEqual([names, held?.version], [["fixed", "routes/of-a.test"], "v1"]);
});

test("a host without a body, and a removed name, are an answer at once: 404, and asked for anew by the next", async () => {
  await using mesh = await open();
  const first = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([{ name: "routes/a.test", aliases: ["routes/a.test"] }]);
  assert.equal(await first, "404 ");
  const second = ask(mesh, "a.test");
  await asked(mesh, "a.test", 2);
  mesh.stream.giveHosts([], ["routes/a.test"]);
  assert.equal(await second, "404 ");
  const third = ask(mesh, "a.test");
  await asked(mesh, "a.test", 3);
  mesh.stream.giveHosts([hostOf("a.test")]);
  assert.equal(await third, "200 a.test");
  assert.match(mesh.logLines.join(), /404 NR route_not_found/);
});

test("nobody answers: 404 when the time is up, and the host is there when it comes after all", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.late(2_999);
  assert.equal(mesh.onDemand.hosts.awaits("routes/a.test"), true);
  mesh.late(1);
  assert.equal(await waiting, "404 ");
  mesh.stream.giveHosts([hostOf("a.test")]);
  assert.equal(await ask(mesh, "a.test"), "200 a.test");
});

test("a host that is here and has no such route is not asked for again", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test", "/other");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test", "a", "/only")]);
  assert.equal(await waiting, "404 ");
  assert.equal(await ask(mesh, "a.test", "/other"), "404 ");
  assert.equal(await ask(mesh, "a.test", "/only"), "200 a");
  assert.equal(mesh.count("http.vhds.on_demand_asked"), 1);
});

test("a host that is taken away is gone, and is asked for by the next request", async () => {
  await using mesh = await open();
  const first = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test")]);
  assert.equal(await first, "200 a.test");
  mesh.stream.giveHosts([], ["routes/of-a.test"]);
  const second = ask(mesh, "a.test");
  await asked(mesh, "a.test", 2);
  mesh.stream.giveHosts([], ["routes/a.test"]);
  assert.equal(await second, "404 ");
});

test("a host that cannot be taken is refused by itself, and what was there serves on", async () => {
  await using mesh = await open();
  const good = ask(mesh, "a.test");
  const bad = ask(mesh, "b.test");
  await asked(mesh, "a.test");
  await asked(mesh, "b.test");
  const clash = { ...hostOf("b.test"), json: says("routes/of-b.test", "fixed.test", "clash") };
  mesh.stream.giveHosts([hostOf("a.test"), clash]);
  assert.equal(await good, "200 a.test");
  const reason = mesh.stream.sent.findLast(({ errorDetail }) => errorDetail)?.errorDetail?.message ?? "";
  assert.match(reason, /^routes\/of-b\.test: domains\[0\]: domain "fixed\.test" is given twice$/);
  mesh.late(3_000);
  assert.equal(await bad, "404 ");
  assert.equal(await ask(mesh, "fixed.test"), "200 fixed");
});

test("hosts that nobody asked for are passed over", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("other.test"), hostOf("a.test")]);
  assert.equal(await waiting, "200 a.test");
  const { json } = mesh.store.entries("route").get("routes")?.active ?? {};
  assert.equal((json as { virtualHosts: readonly object[] }).virtualHosts.length, 2);
});

test("a changed table keeps the hosts that came; a refused one changes nothing", async () => {
  await using mesh = await open();
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test")]);
  await waiting;
  mesh.stream.give("route", [table({ virtualHosts: [says("fixed", "fixed.test", "again")] })]);
  assert.deepEqual([await ask(mesh, "fixed.test"), await ask(mesh, "a.test")], ["200 again", "200 a.test"]);
  mesh.stream.give("route", [table({ internalOnlyHeaders: ["x"], virtualHosts: [] })]);
  assert.match(mesh.stream.sent.at(-1)?.errorDetail?.message ?? "", /internalOnlyHeaders/);
  assert.deepEqual([await ask(mesh, "fixed.test"), await ask(mesh, "a.test")], ["200 again", "200 a.test"]);
  const next = ask(mesh, "b.test");
  await asked(mesh, "b.test");
  mesh.stream.giveHosts([hostOf("b.test")]);
  assert.deepEqual([await next, await ask(mesh, "fixed.test")], ["200 b.test", "200 again"]);
});

test("a table that asks no more gives up what it has learned, and who waits hears that there is nothing", async () => {
  await using mesh = await open();
  const first = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test")]);
  await first;
  const waiting = ask(mesh, "b.test");
  await asked(mesh, "b.test");
  mesh.stream.give("route", [plainTable]);
  assert.equal(await waiting, "404 ");
  assert.equal(await ask(mesh, "a.test"), "404 ");
  assert.deepEqual(mesh.onDemand.hosts.sources(), []);
  const gone = mesh.stream.sent.flatMap(({ unsubscribe }) => unsubscribe);
  assert.deepEqual([...gone].sort(), ["routes/a.test", "routes/b.test"]);
});

test("what was learned goes with the last listener that uses the table", async () => {
  await using mesh = await open();
  const first = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test")]);
  await first;
  await mesh.put({ kind: "listener", name: "in", json: undefined });
  await mesh.until(() => mesh.onDemand.hosts.sources().length === 0);
});

test("a stream that ends: hosts serve on, who waits goes on waiting, and the next one is told all names", async () => {
  await using mesh = await open();
  const first = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  mesh.stream.giveHosts([hostOf("a.test")]);
  await first;
  const waiting = ask(mesh, "b.test");
  await asked(mesh, "b.test");
  mesh.fail();
  assert.equal(await ask(mesh, "a.test"), "200 a.test");
  mesh.pass(1_000);
  mesh.connect();
  const again = mesh.stream.sent.find(({ typeUrl }) => typeUrl.endsWith(".VirtualHost"));
  assert.deepEqual(again?.subscribe, ["routes/a.test", "routes/b.test"]);
  assert.deepEqual([...(again?.initialVersions ?? [])], [["routes/of-a.test", "v1"]]);
  mesh.stream.giveHosts([hostOf("b.test")]);
  assert.equal(await waiting, "200 b.test");
});

test("clients that leave while they wait leave nothing behind", async () => {
  await using mesh = await open();
  const sockets = Array.from({ length: 20 }, () => connect({ port: mesh.port, host: "127.0.0.1" }));
  for (const socket of sockets) socket.write("GET /left HTTP/1.1\r\nhost: a.test\r\n\r\n");
  await mesh.until(() => mesh.count("http.vhds.on_demand_asked") === 20);
  for (const socket of sockets) socket.destroy();
  await mesh.until(() => mesh.logLines.length === 20);
  assert.equal(mesh.onDemand.hosts.awaits("routes/a.test"), false);
  assert.equal(mesh.timers(), 0);
});

test("the host that came may go to a cluster that is not here either", async () => {
  await using mesh = await open({ odcds: { source: { ads: {} } } });
  const waiting = ask(mesh, "a.test");
  await asked(mesh, "a.test");
  const json = {
    name: "routes/of-a",
    domains: ["a.test"],
    routes: [{ match: { prefix: "/" }, route: { cluster: "c" } }],
  };
  mesh.stream.giveHosts([{ name: "routes/of-a", aliases: ["routes/a.test"], json }]);
  await mesh.subscribed("c");
  mesh.stream.give("cluster", [cluster("c", [mesh.app]).json ?? {}]);
  assert.equal(await waiting, "200 app");
});

test("without the filter nothing is asked for, and without vhds neither", async () => {
  await using bare = await openMesh(inListener({}, { httpFilters: [router] }));
  bare.stream.give("route", [table()]);
  await bare.plane.settled();
  assert.equal(await ask(bare, "a.test"), "404 ");
  await using mesh = await openMesh(inListener());
  mesh.stream.give("route", [plainTable]);
  await mesh.plane.settled();
  assert.equal(await ask(mesh, "a.test"), "404 ");
  assert.equal(bare.count("http.vhds.on_demand_asked") + mesh.count("http.vhds.on_demand_asked"), 0);
});

test("tables that cannot get their hosts are refused by name", async () => {
  const refused = async (json: object, bootstrap: object = delta): Promise<string> => {
    await using mesh = await openMesh(inListener({}, { rds: undefined, routeConfig: routes([]).json }), { bootstrap });
    return mesh.plane.check({ kind: "route", name: "routes", json })?.reason ?? "taken";
  };
  assert.equal(await refused(table()), "taken");
  assert.match(await refused(table(), sotw), /^vhds\.configSource: needs an ads_config of api_type DELTA_GRPC/);
  assert.match(await refused(table({ vhds: {} })), /^vhds\.configSource: must be ads/);
  const file = { configSource: { pathConfigSource: { path: "/x" } } };
  assert.match(await refused(table({ vhds: file })), /^vhds\.configSource: must be ads/);
  await using all = openPlane();
  assert.match(
    all.plane.check({ kind: "route", name: "routes", json: table() })?.reason ?? "",
    /nothing is fetched on demand here/,
  );
  const inline = inListener({}, { rds: undefined, routeConfig: table() });
  assert.match(all.plane.check(inline)?.reason ?? "", /routeConfig\.vhds: is taken in tables that come by RDS only/);
});
