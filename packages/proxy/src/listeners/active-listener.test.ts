import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { hcm, listener, openPlane, routes } from "../runtime/testing/test-plane.ts";

const dial = async (port: number): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};
/** Resolves when the other side is gone, also to a client that never ends its own. */
const ended = async (socket: Socket): Promise<string> => {
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    text += chunk;
  });
  await once(socket, "end");
  return text;
};
const openCounted = async (idleTimeout?: string) => {
  const told: (number | "closed")[] = [];
  const all = openPlane({
    connectionGauge: () => ({ set: (connections) => told.push(connections), close: () => told.push("closed") }),
  });
  const commonHttpProtocolOptions = idleTimeout === undefined ? {} : { idleTimeout };
  await all.put(routes([]), listener("in", [hcm({ commonHttpProtocolOptions })]));
  return { ...all, told, connections: () => all.plane.listeners()[0]?.connections };
};
const gone = { kind: "listener", name: "in", json: undefined } as const;
const turns = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

test("a listener that goes without connections takes its number of them away", async () => {
  await using all = await openCounted();
  await all.put(gone);
  assert.deepEqual(all.told, ["closed"]);
});

test("a listener that goes with connections takes its number away with the last of them", async () => {
  await using all = await openCounted();
  const client = await dial(all.portOf("in"));
  await turns(() => all.told.length === 1);
  await all.put(gone);
  assert.deepEqual(all.told, [1]);
  client.resetAndDestroy();
  await turns(() => all.told.length > 1);
  assert.deepEqual(all.told, [1, 0, "closed"]);
});

test("an HTTP client that says nothing and never ends its side is let go after the idle timeout", async () => {
  await using all = await openCounted("0.05s");
  const client = await dial(all.portOf("in"));
  assert.equal(await ended(client), "");
  await turns(() => all.connections() === 0);
  client.destroy();
});

test("a first request that comes while its listener drains is answered, and told that it was the last", async () => {
  await using all = await openCounted();
  const client = await dial(all.portOf("in"));
  await turns(() => all.told.length === 1);
  await all.put(gone);
  client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  assert.match(await ended(client), /^HTTP\/1\.1 404 .*connection: close/s);
  client.destroy();
});
