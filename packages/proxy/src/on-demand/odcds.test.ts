/** Requests for clusters that are not here, through a data plane, a store and a stream that the test answers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { callHttp } from "@weft/testkit/http-call";
import { any } from "@weft/xds/resource";
import { cluster, hcm, listener, openPlane, routes } from "../runtime/testing/test-plane.ts";
import { delta, openMesh, sotw } from "./testing/on-demand-mesh.ts";

const onDemandName = "envoy.filters.http.on_demand";
const onDemandType = "envoy.extensions.filters.http.on_demand.v3";
const odcds = { source: { ads: {} }, timeout: "5s" };
const clusterJson = (name: string, ports: readonly number[]): object => cluster(name, ports).json ?? {};
const router = {
  name: "envoy.filters.http.router",
  typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}),
};
const filters = (json: object) => [{ name: onDemandName, typedConfig: any(`${onDemandType}.OnDemand`, json) }, router];
const byHeader = (rest: object = {}) => ({
  name: "r",
  validateClusters: false,
  virtualHosts: [
    {
      name: "all",
      domains: ["*"],
      routes: [{ match: { prefix: "/" }, route: { clusterHeader: "x-cluster" }, ...rest }],
    },
  ],
});
const inListener = (json: object = { odcds }, route: object = {}) =>
  listener("in", [hcm({ rds: undefined, httpFilters: filters(json), routeConfig: byHeader(route) })]);

const ask = (port: number, name: string) =>
  callHttp(`127.0.0.1:${port}`, { headers: { "x-cluster": name } }).then(({ status, body }) => `${status} ${body}`);

test("a cluster is asked for once, and all that waited go on when it is here", async () => {
  await using mesh = await openMesh(inListener());
  const all = ["a", "a", "a"].map((name) => ask(mesh.port, name));
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.deepEqual(await Promise.all(all), ["200 app", "200 app", "200 app"]);
  assert.deepEqual(mesh.stream.subscriptions("cluster"), ["a"]);
  assert.equal(await ask(mesh.port, "a"), "200 app");
});

test("a cluster waits for its endpoints, and requests wait with it", async () => {
  await using mesh = await openMesh(inListener());
  const waiting = ask(mesh.port, "a");
  await mesh.subscribed("a");
  const { loadAssignment } = clusterJson("a", [mesh.app]) as unknown as { loadAssignment: object };
  mesh.stream.give("cluster", [{ name: "a", type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } }]);
  assert.equal(mesh.plane.clusters().length, 0);
  mesh.stream.give("endpoints", [loadAssignment]);
  assert.equal(await waiting, "200 app");
});

test("a removed name is an answer at once, for those that wait and by name again for the next", async () => {
  await using mesh = await openMesh(inListener());
  const waiting = ask(mesh.port, "a");
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [], ["a"]);
  assert.equal(await waiting, "503 ");
  const next = ask(mesh.port, "a");
  await mesh.subscribed("a", 2);
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.equal(await next, "200 app");
  mesh.stream.give("cluster", [], ["a"]);
  const last = ask(mesh.port, "a");
  await mesh.subscribed("a", 3);
  mesh.stream.give("cluster", [], ["a"]);
  assert.equal(await last, "503 ");
  assert.equal(mesh.count("cluster_manager.odcds.on_demand_missing"), 2);
});

test("nobody answers: 503 when the time is up, and the cluster is there when it comes after all", async () => {
  await using mesh = await openMesh(inListener());
  const waiting = ask(mesh.port, "a");
  await mesh.subscribed("a");
  mesh.late(5_000);
  assert.equal(await waiting, "503 ");
  assert.match(mesh.logLines.join(), /NC cluster_not_found/);
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.equal(await ask(mesh.port, "a"), "200 app");
  assert.equal(mesh.count("cluster_manager.odcds.on_demand_timeout"), 1);
});

test("a cluster that is refused does not come, and its giver is told why", async () => {
  await using mesh = await openMesh(inListener());
  const waiting = ask(mesh.port, "a");
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [{ name: "a", type: "STATIC", connectTimeout: "0s" }]);
  assert.match(mesh.stream.sent.at(-1)?.errorDetail?.message ?? "", /a: connectTimeout/);
  mesh.late(5_000);
  assert.equal(await waiting, "503 ");
});

test("a stream that ends: what was learned serves on, who waits goes on waiting, and the next one is told all names", async () => {
  await using mesh = await openMesh(inListener());
  const first = ask(mesh.port, "a");
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.equal(await first, "200 app");
  const waiting = ask(mesh.port, "b");
  await mesh.subscribed("b");
  mesh.fail();
  assert.equal(await ask(mesh.port, "a"), "200 app");
  mesh.pass(1_000);
  mesh.connect();
  const [again] = mesh.stream.sent;
  assert.deepEqual([again?.subscribe, [...(again?.initialVersions.keys() ?? [])]], [["a", "b"], ["a"]]);
  mesh.stream.give("cluster", [clusterJson("b", [mesh.app])]);
  assert.equal(await waiting, "200 app");
});

test("clients that leave while they wait leave nothing behind", async () => {
  await using mesh = await openMesh(inListener());
  const sockets = Array.from({ length: 20 }, () => connect({ port: mesh.port, host: "127.0.0.1" }));
  for (const socket of sockets) socket.write("GET /left HTTP/1.1\r\nhost: a\r\nx-cluster: a\r\n\r\n");
  await mesh.until(() => mesh.count("cluster_manager.odcds.on_demand_asked") === 20);
  for (const socket of sockets) socket.destroy();
  await mesh.until(() => mesh.logLines.length === 20);
  assert.equal(mesh.onDemand.clusters.awaits("a"), false);
  assert.equal(mesh.timers(), 0);
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.equal(await ask(mesh.port, "a"), "200 app");
  assert.equal(mesh.count("cluster_manager.odcds.on_demand_found"), 0);
});

test("a client that sends its body while its request waits has all of it delivered", async () => {
  await using mesh = await openMesh(inListener());
  const socket = connect({ port: mesh.port, host: "127.0.0.1" });
  const body = "x".repeat(300_000);
  socket.write(`POST /echo HTTP/1.1\r\nhost: a\r\nx-cluster: a\r\ncontent-length: ${body.length}\r\n\r\n`);
  socket.write(body);
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  const [bytes] = (await once(socket, "data")) as [Buffer];
  assert.match(bytes.toString(), /^HTTP\/1\.1 200 OK[\s\S]*app300000$/);
  socket.destroy();
});

test("a route by weight goes where it was drawn, though the other cluster is known", async () => {
  let draw = 0.9;
  const weighted = {
    name: "r",
    validateClusters: false,
    virtualHosts: [
      {
        name: "all",
        domains: ["*"],
        routes: [
          {
            match: { prefix: "/" },
            route: {
              weightedClusters: {
                clusters: [
                  { name: "known", weight: 50 },
                  { name: "a", weight: 50 },
                ],
              },
            },
          },
        ],
      },
    ],
  };
  const json = hcm({ rds: undefined, httpFilters: filters({ odcds }), routeConfig: weighted });
  await using mesh = await openMesh(listener("in", [json]), { random: () => draw });
  await mesh.put(cluster("known", []));
  const waiting = ask(mesh.port, "");
  await mesh.subscribed("a");
  draw = 0.1;
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.equal(await waiting, "200 app");
});

test("a route that turns it off, and an empty name, ask for nothing", async () => {
  const off = { typedPerFilterConfig: { [onDemandName]: any(`${onDemandType}.PerRouteConfig`, {}) } };
  await using mesh = await openMesh(inListener({ odcds }, off));
  assert.equal(await ask(mesh.port, "a"), "503 ");
  await using other = await openMesh(inListener());
  assert.equal(await ask(other.port, ""), "503 ");
  assert.equal(mesh.count("cluster_manager.odcds.on_demand_asked"), 0);
  assert.equal(other.count("cluster_manager.odcds.on_demand_asked"), 0);
});

test("a route alone may ask, and for how long it waits is the route's to say", async () => {
  const own = { odcds: { ...odcds, timeout: "1s" } };
  const route = { typedPerFilterConfig: { [onDemandName]: any(`${onDemandType}.PerRouteConfig`, own) } };
  await using mesh = await openMesh(inListener({}, route));
  const waiting = ask(mesh.port, "a");
  await mesh.subscribed("a");
  mesh.late(999);
  assert.equal(mesh.onDemand.clusters.awaits("a"), true);
  mesh.late(1);
  assert.equal(await waiting, "503 ");
});

test("what was learned goes with the last listener that asks for it", async () => {
  await using mesh = await openMesh(inListener());
  const waiting = ask(mesh.port, "a");
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.equal(await waiting, "200 app");
  await mesh.put(inListener({}));
  await mesh.until(() => mesh.plane.clusters().length === 0);
  assert.deepEqual(mesh.stream.sent.at(-1)?.unsubscribe, ["a"]);
  assert.equal(await ask(mesh.port, "a"), "503 ");
});

test("where all clusters come anyway, names are asked for beside them, and everything again on the next stream", async () => {
  const bootstrap = { ...delta, dynamicResources: { ...delta.dynamicResources, cdsConfig: { ads: {} } } };
  await using mesh = await openMesh(inListener(), { bootstrap });
  assert.deepEqual(mesh.stream.sent[0]?.subscribe, []);
  const waiting = ask(mesh.port, "a");
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app]), clusterJson("other", [])]);
  assert.equal(await waiting, "200 app");
  mesh.fail();
  mesh.pass(1_000);
  mesh.connect();
  assert.deepEqual(mesh.stream.sent[0]?.subscribe, ["*", "a"]);
});

test("names may come from a server of their own", async () => {
  const source = {
    apiConfigSource: {
      apiType: "DELTA_GRPC",
      transportApiVersion: "V3",
      grpcServices: [{ envoyGrpc: { clusterName: "xds" } }],
    },
  };
  const bootstrap = { node: { id: "n" }, staticResources: { clusters: [clusterJson("xds", [1])] } };
  await using mesh = await openMesh(inListener({ odcds: { source } }), { bootstrap });
  const waiting = ask(mesh.port, "a");
  await mesh.until(() => mesh.streams.length === 1);
  mesh.connect();
  assert.equal(mesh.stream.path, "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters");
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [clusterJson("a", [mesh.app])]);
  assert.equal(await waiting, "200 app");
});

test("sources that nothing can be fetched from are refused by name", async () => {
  const refused = async (json: object, bootstrap: object = delta): Promise<string> => {
    await using mesh = await openMesh(inListener({}), { bootstrap });
    return mesh.plane.check(inListener(json))?.reason ?? "taken";
  };
  const at = "filterChains[0].filters[0].typedConfig.httpFilters[0].typedConfig.odcds";
  const api = (rest: object) => ({
    source: {
      apiConfigSource: { transportApiVersion: "V3", grpcServices: [{ envoyGrpc: { clusterName: "xds" } }], ...rest },
    },
  });
  assert.equal(await refused({ odcds }), "taken");
  assert.equal(await refused({ odcds }, sotw), `${at}.source: needs an ads_config of api_type DELTA_GRPC`);
  assert.equal(await refused({ odcds }, { node: { id: "n" } }), `${at}.source: needs dynamic_resources.ads_config`);
  assert.match(await refused({ odcds: {} }), /odcds\.source: must be ads, or an api_config_source/);
  assert.match(
    await refused({ odcds: { source: { pathConfigSource: { path: "/x" } } } }),
    /odcds\.source: must be ads/,
  );
  assert.match(await refused({ odcds: api({ apiType: "GRPC" }) }), /odcds\.source: must be ads/);
  assert.match(await refused({ odcds: api({ apiType: "DELTA_GRPC" }) }), /there is no static cluster "xds"/);
  assert.match(
    await refused({ odcds: { ...odcds, resourcesLocator: "xdstp://a/b" } }),
    /resourcesLocator: is not supported/,
  );
  assert.match(await refused({ odcds: { ...odcds, timeout: "soon" } }), /odcds\.timeout: "soon" is not a duration/);
});

test("where threads serve that cannot be told, it is refused", async () => {
  await using all = openPlane();
  assert.match(all.plane.check(inListener())?.reason ?? "", /odcds: .*nothing is fetched on demand here/);
  const table = routes([
    {
      name: "v",
      domains: ["*"],
      typedPerFilterConfig: { [onDemandName]: any(`${onDemandType}.PerRouteConfig`, { odcds }) },
    },
  ]);
  assert.match(all.plane.check(table)?.reason ?? "", /odcds: .*nothing is fetched on demand here/);
});
