import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { cluster, listener, openPlane, openServer, tcpProxy } from "../runtime/testing/test-plane.ts";
import { openMesh, sotw } from "./testing/on-demand-mesh.ts";

const onDemand = { odcdsConfig: { ads: {} } };
const inListener = (json: object = onDemand) => listener("in", [tcpProxy({ cluster: "a", onDemand: json })]);
const clusterJson = (name: string, port: number): object => cluster(name, [port]).json ?? {};

const open = async (port: number, said = "hello"): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  await once(socket, "connect");
  if (said !== "") socket.write(said);
  return socket;
};
const echo = () => openServer((socket) => socket.on("data", (bytes) => socket.write(`<${bytes}>`)));
const closed = (socket: Socket): Promise<void> => {
  socket.resume();
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
};

test("connections wait for their cluster, and what they said meanwhile reaches it", async () => {
  await using server = await echo();
  await using mesh = await openMesh(inListener());
  const sockets = await Promise.all(["one", "two"].map((said) => open(mesh.port, said)));
  await mesh.subscribed("a");
  const answers = sockets.map((socket) => once(socket, "data"));
  mesh.stream.give("cluster", [clusterJson("a", server.port)]);
  assert.deepEqual((await Promise.all(answers)).map(String), ["<one>", "<two>"]);
  for (const socket of sockets) socket.destroy();
  assert.deepEqual(mesh.stream.subscriptions("cluster"), ["a"]);
});

test("no such cluster: the connection ends, and the next one asks anew", async () => {
  await using server = await echo();
  await using mesh = await openMesh(inListener());
  const socket = await open(mesh.port);
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [], ["a"]);
  await closed(socket);
  const next = await open(mesh.port);
  await mesh.subscribed("a", 2);
  mesh.stream.give("cluster", [clusterJson("a", server.port)]);
  assert.equal(String(await once(next, "data")), "<hello>");
  next.destroy();
});

test("nobody answers: the connection ends when the time is up, after a minute where none is set", async () => {
  await using mesh = await openMesh(inListener());
  const socket = await open(mesh.port);
  await mesh.subscribed("a");
  mesh.late(59_999);
  assert.equal(mesh.onDemand.clusters.awaits("a"), true);
  mesh.late(1);
  await closed(socket);
  await using other = await openMesh(inListener({ ...onDemand, timeout: "1s" }));
  const second = await open(other.port);
  await other.subscribed("a");
  other.late(1_000);
  await closed(second);
});

test("a client that leaves while it waits leaves nothing behind", async () => {
  await using mesh = await openMesh(inListener());
  const socket = await open(mesh.port);
  await mesh.subscribed("a");
  assert.equal(mesh.timers(), 1);
  socket.resetAndDestroy();
  await mesh.until(() => !mesh.onDemand.clusters.awaits("a"));
  assert.equal(mesh.timers(), 0);
  mesh.stream.give("cluster", [clusterJson("a", 1)]);
  assert.equal(mesh.count("cluster_manager.odcds.on_demand_found"), 0);
});

test("what was learned goes with the last listener that asks for it", async () => {
  await using server = await echo();
  await using mesh = await openMesh(inListener());
  const socket = await open(mesh.port);
  await mesh.subscribed("a");
  mesh.stream.give("cluster", [clusterJson("a", server.port)]);
  await once(socket, "data");
  socket.destroy();
  await mesh.put({ kind: "listener", name: "in", json: undefined });
  await mesh.until(() => mesh.plane.clusters().length === 0);
});

test("what cannot be fetched is refused by name, and nothing to fetch from is nothing to wait for", async () => {
  await using mesh = await openMesh(inListener({}));
  await closed(await open(mesh.port));
  const refused = (json: object): string | undefined => mesh.plane.check(inListener(json))?.reason;
  assert.match(refused({ odcdsConfig: {} }) ?? "", /onDemand\.odcdsConfig: must be ads/);
  assert.match(refused({ ...onDemand, timeout: "soon" }) ?? "", /onDemand\.timeout: "soon" is not a duration/);
  assert.match(refused({ ...onDemand, resourcesLocator: "xdstp://a" }) ?? "", /resourcesLocator: is not supported/);
  await using other = await openMesh(inListener({}), { bootstrap: sotw });
  assert.match(other.plane.check(inListener())?.reason ?? "", /needs an ads_config of api_type DELTA_GRPC/);
  await using all = openPlane();
  assert.match(all.plane.check(inListener())?.reason ?? "", /onDemand: .*nothing is fetched on demand here/);
});
