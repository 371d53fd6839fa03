import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { listenTcp, type TcpListener, takeHandles } from "./accept.ts";
import type { Connection, ConnectionHandler } from "./connection.ts";
import { burstTurns } from "./limits.ts";
import { SocketLoop } from "./socket-loop.ts";

const loopback = { host: "127.0.0.1", port: 0 };

const handler = (part: Partial<ConnectionHandler>): ConnectionHandler => ({
  onRead() {},
  onPeerEnd() {},
  onDrain() {},
  onClose() {},
  ...part,
});

/** Connects so many at once: the kernel has them all before the loop turns. */
const crowd = (count: number, port: number): readonly Socket[] =>
  Array.from({ length: count }, () => connect(port, loopback.host).on("error", () => {}));

/** Turns of the loop until that is so; gives up after many. */
const turnsUntil = async (reached: () => boolean): Promise<number> => {
  let turns = 0;
  while (!reached() && turns < 5000) {
    turns++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return turns;
};

for (const useReadBuffer of [true, false]) {
  const how = useReadBuffer ? "one read buffer" : "'data' events";

  test(`a crowd is taken in far fewer turns than it has members, and each of it is served, with ${how}`, async () => {
    const loop = new SocketLoop({ useReadBuffer });
    const taken: Connection[] = [];
    const server = listenTcp({ loop, address: loopback }, (connection) => {
      taken.push(connection);
      connection.handler = handler({
        onRead: (bytes) => connection.write(bytes),
        onPeerEnd: () => connection.end(),
      });
    });
    const { port } = await server.bound;
    const clients = crowd(200, port);
    const turns = await turnsUntil(() => taken.length === clients.length);
    assert.equal(taken.length, clients.length);
    assert.ok(turns < 100, `${turns} turns for ${clients.length} connections`);
    const answers = clients.map(async (client, at) => {
      client.end(`client ${at}`);
      let text = "";
      client.on("data", (bytes) => {
        text += bytes;
      });
      await once(client, "close");
      return text;
    });
    assert.deepEqual(
      await Promise.all(answers),
      clients.map((_, at) => `client ${at}`),
    );
    const peers = taken.map(({ remoteHost }) => remoteHost);
    assert.ok(peers.every((host) => host === "" || host === loopback.host));
    server.close();
  });
}

test("a listener that is closed from the midst of a crowd takes no more of it", async () => {
  const loop = new SocketLoop();
  let server: TcpListener | undefined;
  let taken = 0;
  server = listenTcp({ loop, address: loopback }, (connection) => {
    taken++;
    connection.handler = handler({});
    connection.destroy();
    if (taken === burstTurns + 5) server?.close();
  });
  const { port } = await server.bound;
  const clients = crowd(100, port);
  await Promise.all(clients.map((client) => new Promise((resolve) => client.once("close", resolve))));
  assert.equal(taken, burstTurns + 5);
});

for (const useReadBuffer of [true, false]) {
  const how = useReadBuffer ? "taken past it" : "left to it where sockets must read by 'data' events";

  test(`what a server accepts is ${how}`, async () => {
    const sockets: Socket[] = [];
    const taken: Connection[] = [];
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => sockets.push(socket));
    server.listen(0, loopback.host);
    await once(server, "listening");
    const takes = takeHandles(server, new SocketLoop({ useReadBuffer }), (connection) => {
      taken.push(connection);
      connection.handler = handler({
        onRead: (bytes) => connection.write(bytes),
        onPeerEnd: () => connection.end(),
      });
      connection.resume();
    });
    assert.equal(takes, useReadBuffer);
    const { port } = server.address() as { readonly port: number };
    const client = connect(port, loopback.host);
    if (useReadBuffer) {
      client.end("hello");
      const [echo] = (await once(client, "data")) as [Buffer];
      assert.equal(String(echo), "hello");
      assert.equal(taken[0]?.remoteHost, loopback.host);
    } else {
      await turnsUntil(() => sockets.length > 0);
    }
    assert.deepEqual([taken.length, sockets.length], useReadBuffer ? [1, 0] : [0, 1]);
    client.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
}
