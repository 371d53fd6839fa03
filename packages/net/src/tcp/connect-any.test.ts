/** Connections to hosts with several addresses, over real sockets. */
import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { connectAny } from "./connect-any.ts";
import { SocketLoop } from "./socket-loop.ts";

const listen = async (address: string, answer: string) => {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("end", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => socket.write(`${answer} ${bytes}`));
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    ...{ sockets, port: (server.address() as { port: number }).port },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
const unused = async (): Promise<number> => {
  await using server = await listen("127.0.0.1", "");
  return server.port;
};
const at = (host: string, port: number) => ({
  target: { kind: "ip" as const, host, port },
  sourceAddress: undefined,
});
const open = (choices: readonly ReturnType<typeof at>[], useReadBuffer = true) => {
  const loop = new SocketLoop({ useReadBuffer });
  const timers = new Set<() => void>();
  const events: string[] = [];
  const ended = Promise.withResolvers<void>();
  const connected = Promise.withResolvers<void>();
  const read = Promise.withResolvers<string>();
  const after = (_: number, run: () => void): Disposable => {
    timers.add(run);
    return { [Symbol.dispose]: () => void timers.delete(run) };
  };
  const connection = connectAny(loop, choices, { after }, () => {
    events.push("connected");
    connected.resolve();
  });
  connection.handler = {
    onRead: (bytes) => read.resolve(String(bytes)),
    onPeerEnd: () => undefined,
    onDrain: () => undefined,
    onClose: (error) => {
      events.push(`closed ${error?.code ?? ""}`.trim());
      ended.resolve();
    },
  };
  return { connection, events, ended: ended.promise, connected: connected.promise, read: read.promise, timers };
};

for (const useReadBuffer of [true, false])
  test(`an address that refuses gives way to the next at once, and what was written goes there (${useReadBuffer})`, async () => {
    await using server = await listen("127.0.0.1", "yes");
    const all = open([at("127.0.0.1", await unused()), at("127.0.0.1", server.port)], useReadBuffer);
    all.connection.write(Buffer.from("hello"));
    assert.equal(await all.read, "yes hello");
    assert.deepEqual([all.events, all.timers.size, all.connection.remotePort], [["connected"], 0, server.port]);
    all.connection.destroy();
    await all.ended;
    assert.deepEqual(all.events, ["connected", "closed"]);
  });

test("two addresses under way at once: one connection is left, and the other is closed", async () => {
  await using first = await listen("127.0.0.1", "first");
  await using second = await listen("127.0.0.1", "second");
  const all = open([at("127.0.0.1", first.port), at("127.0.0.1", second.port), at("127.0.0.1", second.port)]);
  for (const run of [...all.timers]) run();
  assert.equal(all.timers.size, 1, "the third waits for its time");
  all.connection.write(Buffer.from("x"));
  const answer = await all.read;
  assert.ok(answer === "first x" || answer === "second x", answer);
  const live = () => [...first.sockets, ...second.sockets].filter(({ destroyed }) => !destroyed).length;
  while (live() !== 1) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([all.events, all.timers.size], [["connected"], 0]);
  all.connection.destroy();
  await all.ended;
});

test("all refuse: it closes once, with the last one's reason", async () => {
  const all = open([at("127.0.0.1", await unused()), at("127.0.0.1", await unused())]);
  await all.ended;
  assert.deepEqual([all.events, all.timers.size], [["closed ECONNREFUSED"], 0]);
});

test("closed while it connects, it tries no other, and nobody is told that it stands", async () => {
  await using server = await listen("127.0.0.1", "yes");
  for (const close of ["destroy", "reset"] as const) {
    const all = open([at("127.0.0.1", server.port), at("127.0.0.1", server.port)]);
    all.connection[close]();
    await all.ended;
    assert.deepEqual([all.events[0]?.split(" ")[0], all.events.length, all.timers.size], ["closed", 1, 0]);
  }
});

test("paused while it connects, it reads when it is resumed", async () => {
  await using server = await listen("127.0.0.1", "yes");
  const all = open([at("127.0.0.1", server.port)]);
  all.connection.pause();
  all.connection.write(Buffer.from("x"));
  await all.connected;
  let early = false;
  void all.read.then(() => {
    early = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(early, false);
  all.connection.resume();
  assert.equal(await all.read, "yes x");
  all.connection.destroy();
  await all.ended;
});
