import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createServer as createHttp2, type ServerHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { cluster, http2Upstream, listener, openPlane, tcpProxy } from "../runtime/testing/test-plane.ts";

const open = async (port: number): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};
const portOf = (server: { address(): unknown }): number => (server.address() as { port: number }).port;

/** A proxy that opens tunnels to itself: what goes in comes back, with what it was asked for ahead. */
const openProxy = async (status = 200) => {
  const asked: { target: string; headers: IncomingHttpHeaders }[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("connect", (request, socket: Socket) => {
    asked.push({ target: request.url ?? "", headers: request.headers });
    socket.on("error", () => {});
    socket.write(`HTTP/1.1 ${status} x\r\n${status < 300 ? "" : "content-length: 0\r\n"}\r\n`);
    if (request.url?.startsWith("bye")) socket.end();
    if (status < 300) socket.on("data", (bytes: Buffer) => socket.write(`<${bytes}>`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    asked,
    port: portOf(server),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const tunneling = {
  hostname: "%REQUESTED_SERVER_NAME%host.test:443",
  headersToAdd: [{ header: { key: "x-from", value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" } }],
};

test("bytes go through a tunnel that another proxy opens by CONNECT", async () => {
  await using proxy = await openProxy();
  await using all = openPlane();
  await all.put(
    cluster("proxy", [proxy.port]),
    listener("in", [tcpProxy({ cluster: "proxy", tunnelingConfig: tunneling })]),
  );
  const client = await open(all.portOf("in"));
  client.write("hello");
  assert.equal(String((await once(client, "data"))[0]), "<hello>");
  client.write("again");
  assert.equal(String((await once(client, "data"))[0]), "<again>");
  assert.equal(proxy.asked[0]?.target, "host.test:443");
  assert.equal(proxy.asked[0]?.headers["x-from"], "127.0.0.1");
  client.destroy();
});

test("a tunnel that is refused ends the client's connection, after as many tries as allowed", async () => {
  await using proxy = await openProxy(403);
  await using all = openPlane();
  await all.put(
    cluster("proxy", [proxy.port]),
    listener("in", [tcpProxy({ cluster: "proxy", tunnelingConfig: tunneling, maxConnectAttempts: 2 })]),
  );
  const client = await open(all.portOf("in"));
  client.resume();
  await once(client, "end");
  client.destroy();
  assert.equal(proxy.asked.length, 2);
});

test("a client that sends on into a tunnel that has ended is reset", async () => {
  await using proxy = await openProxy();
  await using all = openPlane();
  await all.put(
    cluster("proxy", [proxy.port]),
    listener("in", [tcpProxy({ cluster: "proxy", tunnelingConfig: { hostname: "bye.test:1" } })]),
  );
  const client = await open(all.portOf("in"));
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => client.once("error", resolve));
  client.resume();
  await once(client, "end");
  const send = (): void => {
    if (!client.destroyed) client.write("more", () => setImmediate(send));
  };
  send();
  assert.match((await failed).code ?? "", /^(ECONNRESET|EPIPE)$/);
});

/** Over HTTP/2, by CONNECT or POST. */
const openHttp2Proxy = async () => {
  const asked: Record<string, unknown>[] = [];
  const server = createHttp2();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    asked.push({ ...headers });
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    stream.on("data", (bytes: Buffer) => stream.write(`<${bytes}>`));
    stream.on("end", () => stream.end("bye"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    asked,
    port: portOf(server),
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

for (const usePost of [false, true]) {
  test(`a tunnel is a stream of HTTP/2, opened by ${usePost ? "POST" : "CONNECT"}`, async () => {
    await using proxy = await openHttp2Proxy();
    await using all = openPlane();
    const tunnelingConfig = { hostname: "host.test:443", usePost, ...(usePost ? { postPath: "/in" } : {}) };
    await all.put(
      cluster("proxy", [proxy.port], http2Upstream),
      listener("in", [tcpProxy({ cluster: "proxy", tunnelingConfig })]),
    );
    const client = await open(all.portOf("in"));
    client.write("hello");
    assert.equal(String((await once(client, "data"))[0]), "<hello>");
    const [asked] = proxy.asked;
    assert.equal(asked?.[":method"], usePost ? "POST" : "CONNECT");
    assert.equal(asked?.[":authority"], "host.test:443");
    assert.equal(asked?.[":path"], usePost ? "/in" : undefined);
    client.end();
    assert.equal(String((await once(client, "data"))[0]), "bye");
    await once(client, "close");
  });
}

test("a path for what is no POST is refused", async () => {
  await using all = openPlane();
  const rejections = all.plane.apply([
    listener("in", [tcpProxy({ cluster: "a", tunnelingConfig: { hostname: "a:1", postPath: "/x" } })]),
  ]);
  assert.match(rejections[0]?.reason ?? "", /tunnelingConfig\.postPath/);
});
