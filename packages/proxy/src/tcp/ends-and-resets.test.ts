/** What one side of a connection does to it reaches the other side as the same: its end, its reset, its slowness. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { openMesh } from "../runtime/testing/test-mesh.ts";
import { cluster, listener, openPlane, tcpProxy } from "../runtime/testing/test-plane.ts";

interface Way extends AsyncDisposable {
  readonly open: () => Promise<Socket>;
}

const openApp = async (host: string, onSocket: (socket: Socket) => void) => {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  server.listen(0, host);
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
const dial = async (host: string, port: number): Promise<Socket> => {
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};
const readAll = async (socket: Socket): Promise<number> => {
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(socket, "end");
  return bytes;
};

const plain =
  (host: string) =>
  async (onSocket: (socket: Socket) => void): Promise<Way> => {
    const stack = new AsyncDisposableStack();
    const app = stack.use(await openApp(host, onSocket));
    const all = stack.use(openPlane());
    const address = { socketAddress: { address: host, portValue: app.port } };
    await all.put(
      cluster("app", [], {
        loadAssignment: { clusterName: "app", endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
      }),
      listener("in", [tcpProxy({ cluster: "app" })], { address: { socketAddress: { address: host, portValue: 0 } } }),
    );
    return { open: () => dial(host, all.portOf("in")), [Symbol.asyncDispose]: () => stack.disposeAsync() };
  };
/** Through two sidecars, TLS between them. */
const encrypted = async (onSocket: (socket: Socket) => void): Promise<Way> => {
  const stack = new AsyncDisposableStack();
  const app = stack.use(await openApp("127.0.0.1", onSocket));
  const mesh = stack.use(
    await openMesh({
      appPort: app.port,
      outFilters: [tcpProxy({ cluster: "outbound" })],
      inFilters: [tcpProxy({ cluster: "inbound" })],
    }),
  );
  return { open: () => dial("127.0.0.1", mesh.port), [Symbol.asyncDispose]: () => stack.disposeAsync() };
};

const ways = [
  ["IPv4", plain("127.0.0.1")],
  ["IPv6", plain("::1")],
  ["mutual TLS", encrypted],
] as const;

for (const [name, openWay] of ways) {
  test(`a reset of the client is a reset at the server over ${name}`, async () => {
    const failed = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
    await using way = await openWay((socket) => {
      socket.on("error", failed.resolve);
      socket.on("end", () => failed.resolve(undefined));
      socket.write("hello");
      socket.resume();
    });
    const client = await way.open();
    await once(client, "data");
    client.resetAndDestroy();
    assert.equal((await failed.promise)?.code, "ECONNRESET");
  });

  test(`a reset of the server is a reset at the client over ${name}`, async () => {
    await using way = await openWay((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const client = await way.open();
    const failed = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
    client.on("error", failed.resolve);
    client.on("end", () => failed.resolve(undefined));
    client.resume();
    client.write("x");
    assert.equal((await failed.promise)?.code, "ECONNRESET");
  });

  test(`the end of the client leaves the server's side open until it ends too, over ${name}`, async () => {
    let received = 0;
    await using way = await openWay((socket) => {
      socket.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      socket.on("end", () => socket.end(Buffer.alloc(3_000_000, "b")));
    });
    const client = await way.open();
    client.end(Buffer.alloc(2_000_000, "a"));
    assert.equal(await readAll(client), 3_000_000);
    assert.equal(received, 2_000_000);
  });

  test(`the end of the server leaves the client's side open until it ends too, over ${name}`, async () => {
    const received = Promise.withResolvers<number>();
    await using way = await openWay((socket) => {
      socket.end("bye");
      readAll(socket).then(received.resolve, received.reject);
    });
    const client = await way.open();
    assert.equal(await readAll(client), 3);
    client.end(Buffer.alloc(2_000_000, "a"));
    assert.equal(await received.promise, 2_000_000);
  });

  test(`a client that sends on to a server that is gone is reset, over ${name}`, async () => {
    await using way = await openWay((socket) => socket.once("data", () => socket.end("bye", () => socket.destroy())));
    const client = await way.open();
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => client.once("error", resolve));
    client.write("x");
    assert.equal(await readAll(client), 3);
    const chunk = Buffer.alloc(65_536);
    const send = (): void => {
      if (!client.destroyed) client.write(chunk, () => setImmediate(send));
    };
    send();
    assert.match((await failed).code ?? "", /^(ECONNRESET|EPIPE)$/);
  });

  test(`an end behind bytes that nobody reads yet does not overtake them, over ${name}`, async () => {
    const total = 16 * 1024 * 1024;
    await using way = await openWay((socket) => socket.end(Buffer.alloc(total, "c")));
    const client = await way.open();
    client.pause();
    await once(client, "readable");
    assert.equal(await readAll(client.resume()), total);
    client.end();
  });

  test(`a reset reaches the other side though bytes wait for it, over ${name}`, async () => {
    await using way = await openWay((socket) => {
      socket.write(Buffer.alloc(16 * 1024 * 1024, "d"));
      socket.once("data", () => socket.resetAndDestroy());
    });
    const client = await way.open();
    const failed = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
    client.on("error", failed.resolve);
    client.on("end", () => failed.resolve(undefined));
    client.pause();
    await once(client, "readable");
    client.write("x");
    client.resume();
    assert.equal((await failed.promise)?.code, "ECONNRESET");
  });
}
