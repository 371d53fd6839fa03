import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import type { SetTimer } from "@weft/core/world";
import { eventually } from "@weft/testkit/eventually";
import { any } from "@weft/xds/resource";
import { LocalLoad } from "../../clusters/circuit-load.ts";
import { type CountsSource, localCounts } from "../../clusters/counts.ts";
import { hcm, listener, openPlane, routes, type TestPlane, tcpProxy } from "../../runtime/testing/test-plane.ts";
import { ConnectionSlots, connectionLimitType } from "./connection-limit.ts";

const limit = (maxConnections: string, fields: object = {}) => ({
  name: "envoy.filters.network.connection_limit",
  typedConfig: any(connectionLimitType, { statPrefix: "few", maxConnections, ...fields }),
});
const echo = { name: "echo", typedConfig: any("envoy.extensions.filters.network.echo.v3.Echo", {}) };

interface Client {
  readonly socket: Socket;
  /** It comes back: the connection was let in. */
  say(): Promise<boolean>;
}
const open = (port: number): Client => {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  return {
    socket,
    say: async () => {
      if (socket.closed) return false;
      socket.write("x");
      return Promise.race([once(socket, "data").then(() => true), once(socket, "close").then(() => false)]);
    },
  };
};
const statOf = ({ stats }: TestPlane, name: string): number => {
  const of = name === "active_connections" ? stats.gauge : stats.counter;
  return of.call(stats, `connection_limit.few.${name}`).value;
};
const active = (plane: TestPlane, count: number): Promise<unknown> =>
  eventually(`${count} are active`, () => statOf(plane, "active_connections") === count || undefined);

test("connections beyond the number are closed and counted, and a place given up is taken", async () => {
  await using plane = openPlane();
  await plane.put(listener("in", [limit("2"), echo]));
  const [one, two, three] = [0, 1, 2].map(() => open(plane.portOf("in")));
  assert.ok(one && two && three);
  assert.deepEqual([await one.say(), await two.say(), await three.say()], [true, true, false]);
  assert.equal(statOf(plane, "limited_connections"), 1);
  await active(plane, 2);
  one.socket.destroy();
  await active(plane, 1);
  const four = open(plane.portOf("in"));
  assert.equal(await four.say(), true);
  assert.equal(statOf(plane, "limited_connections"), 1);
  for (const { socket } of [two, four]) socket.destroy();
  await active(plane, 0);
});

test("a refused connection that is kept open for a while is not served, counts meanwhile, and is closed then", async () => {
  const timers: { readonly run: () => void; readonly delayMs: number }[] = [];
  let now = 0;
  const setTimer: SetTimer = (run, delayMs) => {
    const entry = { run, delayMs };
    timers.push(entry);
    return { [Symbol.dispose]: () => void timers.splice(timers.indexOf(entry), 1) };
  };
  await using plane = openPlane({ setTimer, clock: { nowMs: () => now, wallMs: () => now } });
  await plane.put(listener("in", [limit("1", { delay: "1s" }), echo]));
  const [kept, late] = [open(plane.portOf("in")), open(plane.portOf("in"))];
  assert.equal(await kept.say(), true);
  late.socket.write("x");
  await active(plane, 2);
  kept.socket.destroy();
  await active(plane, 1);
  const third = open(plane.portOf("in"));
  third.socket.write("x");
  await active(plane, 2);
  assert.equal(statOf(plane, "limited_connections"), 2, "the one that waits for its end still has the place");
  assert.equal(late.socket.closed, false);
  const closed = [late, third].map(({ socket }) => once(socket, "close"));
  while (statOf(plane, "active_connections") > 0) {
    now += 1100;
    for (const { run } of timers.splice(0)) run();
    await new Promise(setImmediate);
  }
  await Promise.all(closed);
  assert.equal(late.socket.bytesRead + third.socket.bytesRead, 0);
});

test("one that is refused and leaves by itself is counted no longer than it stays", async () => {
  await using plane = openPlane();
  await plane.put(listener("in", [limit("1", { delay: "3600s" }), echo]));
  const [kept, late] = [open(plane.portOf("in")), open(plane.portOf("in"))];
  assert.equal(await kept.say(), true);
  await active(plane, 2);
  late.socket.end();
  await once(late.socket, "close");
  await active(plane, 1);
  kept.socket.destroy();
});

test("the count outlives a change of the limit, and each listener has its own", async () => {
  await using plane = openPlane();
  await plane.put(listener("in", [limit("2"), echo]), listener("other", [limit("1"), echo]));
  const kept = open(plane.portOf("in"));
  assert.equal(await kept.say(), true);
  await plane.put(listener("in", [limit("1"), echo]));
  const refused = open(plane.portOf("in"));
  assert.equal(await refused.say(), false);
  const elsewhere = open(plane.portOf("other"));
  assert.equal(await elsewhere.say(), true);
  kept.socket.destroy();
  await active(plane, 1);
  const next = open(plane.portOf("in"));
  assert.equal(await next.say(), true);
  for (const { socket } of [next, elsewhere]) socket.destroy();
  await active(plane, 0);
});

test("an HTTP listener is limited before anything is read", async () => {
  await using plane = openPlane();
  await plane.put(routes([]), listener("in", [limit("1"), hcm()]));
  const idle = open(plane.portOf("in"));
  await active(plane, 1);
  const refused = open(plane.portOf("in"));
  await once(refused.socket, "close");
  assert.equal(refused.socket.bytesRead, 0);
  idle.socket.destroy();
  await active(plane, 0);
});

test("a limit that is switched off limits nothing", async () => {
  await using plane = openPlane();
  await plane.put(listener("in", [limit("1", { runtimeEnabled: { runtimeKey: "x", defaultValue: false } }), echo]));
  const clients = [open(plane.portOf("in")), open(plane.portOf("in"))];
  for (const { say, socket } of clients) {
    assert.equal(await say(), true);
    socket.destroy();
  }
});

test("what would not be honoured is refused with the field's path", async () => {
  await using plane = openPlane();
  for (const [filter, field] of [
    [limit("0"), "maxConnections"],
    [limit("-1"), "maxConnections"],
    [{ ...limit("1"), typedConfig: any(connectionLimitType, { statPrefix: "few" }) }, "maxConnections"],
    [limit("1", { statPrefix: "" }), "statPrefix"],
    [limit("1", { delay: "soon" }), "delay"],
    [limit("1", { more: 1 }), "more"],
  ] as const) {
    const [rejection] = plane.plane.apply([listener("in", [filter, tcpProxy({ cluster: "c" })])]);
    assert.match(
      JSON.stringify(rejection),
      new RegExp(`filterChains\\[0\\]\\.filters\\[0\\]\\.typedConfig\\.${field}`),
    );
  }
});

test("threads that count in one place share the limit, and let go of the place when they hold none of it", () => {
  const load = new LocalLoad();
  let held = 0;
  const source: CountsSource = (name) => {
    held++;
    return { ...localCounts(name), load, release: () => void held-- };
  };
  const [a, b] = [new ConnectionSlots(source), new ConnectionSlots(source)];
  assert.deepEqual([a.enter("x", 2), b.enter("x", 2), a.enter("x", 2)], [true, true, false]);
  assert.equal(b.hasRoom("x", 2), false);
  b.leave("x");
  a.leave("x");
  assert.equal(a.enter("x", 2), true);
  assert.equal(held, 1);
  a.leave("x");
  a.leave("x");
  a.leave("x");
  assert.deepEqual([held, load.connections], [0, 0]);
});
