/** What a learned virtual host costs and changes: itself, and nothing of the table that it comes to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { callHttp } from "@weft/testkit/http-call";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { createResourceStore } from "../discovery/resource-store.ts";
import { hcm, listener, openPlane } from "../runtime/testing/test-plane.ts";
import { Demands } from "./demands.ts";
import { LearnedHosts } from "./learned-hosts.ts";

const source = { kind: "ads" } as const;
const counter = { value: 0, add: () => undefined };
const counters = {
  asked: counter,
  found: counter,
  missing: counter,
  timeout: counter,
  waitingOverflow: counter,
  namesOverflow: counter,
};

/** A plane that takes such a table; `compiled` has the name of each virtual host whenever its routes are read. */
const open = async (given: number) => {
  const noTimer = (): Disposable => ({ [Symbol.dispose]: () => undefined });
  const hosts = new Demands(noTimer, counters);
  const all = openPlane({ onDemand: { clusters: hosts, hosts, source: () => source } });
  const clock = { nowMs: () => 0, wallMs: () => 0 };
  const store = createResourceStore({ dataPlane: all.plane, clock, log: silentLogger });
  const learned = new LearnedHosts(store, hosts);
  const compiled: string[] = [];
  const host = (name: string, domains: readonly string[], body = name): VirtualHostJson => {
    const routes = [{ match: { prefix: "/" }, directResponse: { status: 200, body: { inlineString: body } } }];
    return Object.defineProperty({ name, domains: [...domains] }, "routes", {
      enumerable: true,
      get: () => {
        compiled.push(name);
        return routes;
      },
    });
  };
  const table = (rest: Partial<RouteConfigurationJson> = {}): RouteConfigurationJson => ({
    name: "routes",
    virtualHosts: Array.from({ length: given }, (_, index) => host(`given${index}`, [`given${index}.test`])),
    vhds: { configSource: { ads: {} } },
    ...rest,
  });
  const giveTable = (json: RouteConfigurationJson | undefined) =>
    learned.offerTables("ads", [{ name: "routes", version: "1", json }]);
  const putListener = (name: string, tables: readonly string[]): void => {
    const filterChains = tables.map((routeConfigName, index) => ({
      filterChainMatch: index === 0 ? {} : { destinationPort: index },
      filters: [hcm({ rds: { routeConfigName, configSource: { ads: {} } } })],
    }));
    const json = { ...(listener(name, []).json as object), filterChains };
    assert.deepEqual(store.offer("static", "listener", [{ name, version: "", json }]), []);
  };
  putListener("in", ["routes"]);
  giveTable(table());
  await all.plane.settled();
  compiled.length = 0;
  return {
    ...{ store, learned, compiled, host, table, giveTable, putListener },
    learn: (name: string, json: VirtualHostJson | undefined) => learned.offerHosts("ads", [{ name, json }]),
    ask: async (authority: string): Promise<string> => {
      const { status, body } = await callHttp(`127.0.0.1:${all.portOf("in")}`, { host: authority });
      return `${status} ${body}`;
    },
    shown: (): readonly (string | undefined)[] => {
      const json = store.entries("route").get("routes")?.active?.json as RouteConfigurationJson;
      return (json.virtualHosts ?? []).map(({ name }) => name);
    },
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
};

test("a learned host is compiled, and none of the table's or of those learned before", async () => {
  await using mesh = await open(500);
  for (const name of ["a", "b", "c"]) assert.deepEqual(mesh.learn(`routes/${name}`, mesh.host(name, [name])), []);
  assert.deepEqual(mesh.compiled, ["a", "b", "c"]);
  mesh.learn("routes/b", undefined);
  assert.deepEqual(mesh.compiled, ["a", "b", "c"], "nor when one goes");
  mesh.learn("routes/a", mesh.host("a", ["a"], "other"));
  assert.deepEqual(mesh.compiled, ["a", "b", "c", "a"]);
  assert.deepEqual(
    [await mesh.ask("a"), await mesh.ask("b"), await mesh.ask("c"), await mesh.ask("given499.test")],
    ["200 other", "404 ", "200 c", "200 given499"],
  );
  assert.deepEqual(mesh.shown().slice(-2), ["a", "c"]);
});

test("a host that is refused costs itself, and what it would have replaced serves on", async () => {
  await using mesh = await open(3);
  mesh.learn("routes/a", mesh.host("a", ["a", "*.a"]));
  const bad = [
    { ...mesh.host("a", ["b", "given1.test"]) },
    mesh.host("a", ["c", "C"]),
    mesh.host("given1", ["d"]),
    mesh.host("a", []),
    { ...mesh.host("a", ["e"]), routes: [{ match: {} }] },
  ];
  for (const json of bad) assert.equal(mesh.learn("routes/a", json).length, 1, JSON.stringify(json.domains));
  assert.equal(mesh.compiled.includes("given0"), false);
  assert.deepEqual([await mesh.ask("a"), await mesh.ask("x.a"), await mesh.ask("b")], ["200 a", "200 a", "404 "]);
  assert.deepEqual(mesh.shown(), ["given0", "given1", "given2", "a"]);
});

test("a host that changes its domains and its name leaves the former ones to others", async () => {
  await using mesh = await open(1);
  mesh.learn("routes/a", mesh.host("a", ["a", "*.a", "a.*"]));
  assert.deepEqual(mesh.learn("routes/a", mesh.host("now", ["b"])), []);
  assert.deepEqual(mesh.learn("routes/x", mesh.host("a", ["a", "*.a", "a.*"], "x")), []);
  assert.deepEqual([await mesh.ask("b"), await mesh.ask("a"), await mesh.ask("y.a")], ["200 now", "200 x", "200 x"]);
  assert.deepEqual(mesh.shown(), ["given0", "now", "a"]);
});

test("a catch-all may be learned and go again", async () => {
  await using mesh = await open(1);
  mesh.learn("routes/any", mesh.host("any", ["*"]));
  assert.equal(await mesh.ask("whatever"), "200 any");
  assert.equal(mesh.learn("routes/more", mesh.host("more", ["*"])).length, 1);
  mesh.learn("routes/any", undefined);
  assert.deepEqual([await mesh.ask("whatever"), await mesh.ask("given0.test")], ["404 ", "200 given0"]);
});

test("a table that comes anew has what was learned, and learns on", async () => {
  await using mesh = await open(2);
  mesh.learn("routes/a", mesh.host("a", ["a"]));
  assert.deepEqual(mesh.giveTable(mesh.table({ virtualHosts: [mesh.host("new", ["new"])] })), []);
  mesh.compiled.length = 0;
  mesh.learn("routes/b", mesh.host("b", ["b"]));
  assert.deepEqual(mesh.compiled, ["b"]);
  const answers = await Promise.all(["new", "a", "b", "given0.test"].map(mesh.ask));
  assert.deepEqual(answers, ["200 new", "200 a", "200 b", "404 "]);
});

test("a host for a table whose listener waits for another one waits with it", async () => {
  await using mesh = await open(0);
  mesh.putListener("late", ["later", "never"]);
  mesh.learned.offerTables("ads", [{ name: "later", version: "1", json: { ...mesh.table(), name: "later" } }]);
  assert.deepEqual(mesh.learn("later/a", mesh.host("a", ["a"])), []);
  const { warming } = mesh.store.entries("route").get("later") ?? {};
  assert.equal((warming?.json as RouteConfigurationJson | undefined)?.virtualHosts?.length, 1);
});

test("a cluster that is not there refuses the host where the table says so", async () => {
  await using mesh = await open(1);
  mesh.giveTable(mesh.table({ validateClusters: true }));
  const json = { name: "a", domains: ["a"], routes: [{ match: { prefix: "/" }, route: { cluster: "nobody" } }] };
  assert.match(mesh.learn("routes/a", json)[0]?.reason ?? "", /unknown cluster "nobody"/);
});

test("a host of another source, or of a table that learns none, is refused", async () => {
  await using mesh = await open(1);
  assert.match(mesh.learn("other/a", mesh.host("a", ["a"]))[0]?.reason ?? "", /no route table "other"/);
  const refused = mesh.store.offerHost(
    "file",
    { kind: "virtualHost", name: "routes/a", table: "routes", replaces: undefined, json: mesh.host("a", ["a"]) },
    mesh.table(),
  );
  assert.match(refused?.reason ?? "", /no route table/);
});
