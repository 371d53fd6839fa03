import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import type { ResourceChange } from "../runtime/data-plane.ts";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";
import { createLeavingTable } from "./leaving.ts";

const well = { healthCheckFailed: false, draining: undefined } as const;
const failing = { healthCheckFailed: true, draining: undefined } as const;

/** A table with the test's time and dice, and what each kind of listener says. */
const open = () => {
  const world = { now: 1_000, dice: 0.5 };
  const table = createLeavingTable({ clock: { nowMs: () => world.now }, random: () => world.dice });
  const kinds = [
    table.of("inbound", false),
    table.of("inbound", true),
    table.of("outbound", false),
    table.of("unspecified", true),
  ];
  return { world, table, says: () => kinds.map(({ now }) => now) };
};

test("a failing health check is told at every listener but those that drain for changes only", () => {
  const { table, says } = open();
  assert.deepEqual(says(), [false, false, false, false]);
  table.put(failing);
  assert.deepEqual(says(), [true, false, true, false]);
  table.put(well);
  assert.deepEqual(says(), [false, false, false, false]);
});

test("a drain begins with few and ends with all, inbound ones only where asked", () => {
  const { world, table, says } = open();
  const draining = { scope: "inbound", overMs: 100 } as const;
  table.put({ healthCheckFailed: false, draining });
  assert.deepEqual(says(), [false, false, false, false]);
  world.now += 49;
  assert.deepEqual(says(), [false, false, false, false]);
  world.now += 2;
  assert.deepEqual(says(), [true, true, false, false]);
  world.dice = 0.99;
  assert.deepEqual(says(), [false, false, false, false]);
  table.put({ healthCheckFailed: true, draining });
  assert.deepEqual(says(), [true, false, true, false]);
  table.put({ healthCheckFailed: false, draining });
  world.now += 49;
  assert.deepEqual(says(), [true, true, false, false], "it did not begin again");
  table.put({ healthCheckFailed: false, draining: { scope: "all", overMs: 100 } });
  assert.deepEqual(says(), [true, true, false, false], "nor does what was drained when others follow");
  world.now += 100;
  assert.deepEqual(says(), [true, true, true, true]);
});

test("a drain that takes no time is told by every answer", () => {
  const { table, says } = open();
  table.put({ healthCheckFailed: false, draining: { scope: "all", overMs: 0 } });
  assert.deepEqual(says(), [true, true, true, true]);
});

const openApp = (body: string) =>
  openServer((socket) => {
    socket.on("data", () => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`));
    socket.on("end", () => socket.end());
  });
const mixed = (port: number, ...more: ResourceChange[]): readonly ResourceChange[] => [
  cluster("up", [port]),
  routes([toCluster("up")]),
  listener("in", [hcm()], { trafficDirection: "INBOUND" }),
  listener("out", [hcm()], { trafficDirection: "OUTBOUND" }),
  ...more,
];
const dial = async (port: number): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};
const ask = async (socket: Socket): Promise<string> => {
  socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  const [bytes] = await once(socket, "data");
  return String(bytes);
};
const refused = async (port: number): Promise<boolean> => {
  const socket = connect({ host: "127.0.0.1", port });
  const outcome = await Promise.race([
    once(socket, "connect").then(() => false),
    new Promise<boolean>((resolve) => socket.once("error", () => resolve(true))),
  ]);
  socket.destroy();
  return outcome;
};

test("an open HTTP/1 connection is told so by the answer it waits for, and one of a well server stays", async () => {
  const asked = Promise.withResolvers<Socket>();
  await using slow = await openServer((socket) => socket.once("data", () => asked.resolve(socket)));
  await using app = await openApp("hello");
  await using all = openPlane();
  await all.put(...mixed(slow.port));
  const waits = await dial(all.portOf("in"));
  const answer = ask(waits);
  const upstream = await asked.promise;
  all.plane.discourage(failing);
  const gone = once(waits, "end");
  upstream.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  assert.match(await answer, /connection: close[\s\S]*ok$/);
  await gone;
  waits.destroy();
  await all.put(cluster("up", [app.port]));
  all.plane.discourage(well);
  const stays = await dial(all.portOf("in"));
  for (let i = 0; i < 2; i++) assert.doesNotMatch(await ask(stays), /connection:/);
  stays.destroy();
});

test("a listener that drains for changes only keeps its connections while the health check fails", async () => {
  await using app = await openApp("hello");
  await using all = openPlane();
  await all.put(...mixed(app.port, listener("stays", [hcm()], { drainType: "MODIFY_ONLY" })));
  all.plane.discourage(failing);
  const stays = await dial(all.portOf("stays"));
  for (let i = 0; i < 2; i++) assert.doesNotMatch(await ask(stays), /connection:/);
  stays.destroy();
});

test("HTTP/2 clients get a GOAWAY with the request they make meanwhile, and its answer", {
  timeout: 20_000,
}, async () => {
  await using app = await openApp("hello");
  await using all = openPlane();
  await all.put(...mixed(app.port));
  const client = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  const request = async (): Promise<string> => {
    let body = "";
    for await (const chunk of client.request({ ":path": "/" })) body += String(chunk);
    return body;
  };
  let goaways = 0;
  client.on("goaway", () => goaways++);
  assert.equal(await request(), "hello");
  assert.equal(goaways, 0);
  all.plane.discourage(failing);
  const told = once(client, "goaway");
  const ended = once(client, "close");
  assert.equal(await request(), "hello");
  await told;
  await ended;
});

test("a drain of inbound listeners leaves the others alone, and holds for those that come later", {
  timeout: 20_000,
}, async () => {
  await using app = await openApp("hello");
  await using all = openPlane();
  await all.put(...mixed(app.port));
  const port = all.portOf("in");
  const out = await dial(all.portOf("out"));
  await all.plane.drain(5_000, "inbound");
  assert.equal(await refused(port), true);
  assert.doesNotMatch(await ask(out), /connection: close/);
  out.destroy();
  await all.put(
    listener("later", [hcm()], { trafficDirection: "INBOUND" }),
    listener("more", [hcm()], { trafficDirection: "OUTBOUND" }),
  );
  assert.equal(await refused(all.portOf("more")), false);
  assert.equal(
    all.plane.listeners().find(({ name }) => name === "later"),
    undefined,
  );
  const outPort = all.portOf("out");
  await all.plane.drain(5_000);
  assert.equal(await refused(outPort), true);
});

test("two drains of the same listeners both come to their end", { timeout: 20_000 }, async () => {
  const arrived = Promise.withResolvers<void>();
  await using mute = await openServer((socket) => socket.once("data", () => arrived.resolve()));
  await using all = openPlane();
  await all.put(...mixed(mute.port));
  const client = await dial(all.portOf("in"));
  client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await arrived.promise;
  const both = Promise.all([all.plane.drain(60_000, "inbound"), all.plane.drain(60_000)]);
  client.destroy();
  await both;
});
