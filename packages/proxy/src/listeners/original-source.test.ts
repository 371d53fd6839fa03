import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { openTransparent } from "@weft/net/tcp/transparent-source";
import { any } from "@weft/xds/resource";
import {
  cluster,
  hcm,
  listener,
  openPlane,
  openServer,
  routes,
  tcpProxy,
  toCluster,
} from "../runtime/testing/test-plane.ts";

/** Connecting as somebody else takes a right that not every machine gives its tests. */
const skip = typeof openTransparent({ host: "192.0.2.1", mark: 0 }) !== "number";

const filterType = (name: string): string => `envoy.extensions.filters.listener.${name}`;
const originalSource = (fields: object = {}) => ({
  name: "envoy.filters.listener.original_src",
  typedConfig: any(filterType("original_src.v3.OriginalSrc"), fields),
});
const proxyProtocol = {
  name: "envoy.filters.listener.proxy_protocol",
  typedConfig: any(filterType("proxy_protocol.v3.ProxyProtocol"), {}),
};

/** Says where each connection comes from, and how many there were. */
const openApp = async () => {
  const seen: string[] = [];
  const server = await openServer((socket) => {
    seen.push(socket.remoteAddress ?? "");
    socket.on("data", (bytes: Buffer) => {
      const text = bytes.toString("latin1");
      const from = socket.remoteAddress ?? "";
      if (text.includes("HTTP/1.1")) socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${from.length}\r\n\r\n${from}`);
      else socket.end(from);
    });
  });
  return { ...server, seen };
};

const ask = async (socket: Socket, text: string): Promise<string> => {
  socket.write(text);
  const [bytes] = (await once(socket, "data")) as [Buffer];
  return bytes.toString("latin1");
};
const dial = (port: number, from: string): Socket => {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from });
  socket.on("error", () => {});
  return socket;
};
const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

test("requests reach the application from their client's address, and no other client's use that connection", {
  skip,
}, async () => {
  await using app = await openApp();
  await using plane = openPlane();
  await plane.put(
    cluster("app", [app.port]),
    routes([toCluster("app")]),
    listener("in", [hcm()], { listenerFilters: [originalSource({ mark: 5 })] }),
  );
  const clients = ["127.1.0.1", "127.1.0.2"].map((from) => dial(plane.portOf("in"), from));
  for (let i = 0; i < 3; i++) {
    for (const [at, client] of clients.entries())
      assert.match(await ask(client, get), new RegExp(`\n127.1.0.${at + 1}$`));
  }
  assert.deepEqual(app.seen, ["127.1.0.1", "127.1.0.2"]);
  const gone = [...app.sockets].map((socket) => once(socket, "end"));
  for (const client of clients) client.destroy();
  await Promise.all(gone);
});

test("bare connections come from their client's address too", { skip }, async () => {
  await using app = await openApp();
  await using plane = openPlane();
  await plane.put(
    cluster("app", [app.port]),
    listener("in", [tcpProxy({ cluster: "app" })], { listenerFilters: [originalSource()] }),
  );
  assert.equal(await ask(dial(plane.portOf("in"), "127.1.0.3"), "x"), "127.1.0.3");
});

test("behind a PROXY protocol filter the client is who the header names, before it whoever connects", {
  skip,
}, async () => {
  await using app = await openApp();
  await using plane = openPlane();
  await plane.put(
    cluster("app", [app.port]),
    listener("told", [tcpProxy({ cluster: "app" })], { listenerFilters: [proxyProtocol, originalSource()] }),
    listener("direct", [tcpProxy({ cluster: "app" })], { listenerFilters: [originalSource(), proxyProtocol] }),
  );
  const header = "PROXY TCP4 127.7.7.7 127.0.0.1 1 2\r\nx";
  assert.equal(await ask(dial(plane.portOf("told"), "127.1.0.4"), header), "127.7.7.7");
  assert.equal(await ask(dial(plane.portOf("direct"), "127.1.0.4"), header), "127.1.0.4");
});

test("a client whose address cannot be had gets an error, not a connection from elsewhere", { skip }, async () => {
  await using app = await openApp();
  await using plane = openPlane();
  await plane.put(
    cluster("app", [app.port]),
    routes([toCluster("app")]),
    listener("in", [hcm()], { listenerFilters: [proxyProtocol, originalSource()] }),
  );
  const client = dial(plane.portOf("in"), "127.0.0.1");
  assert.match(await ask(client, `PROXY TCP6 2001:db8::1 ::1 1 2\r\n${get}`), /^HTTP\/1\.1 503 /);
  assert.deepEqual(app.seen, []);
  client.destroy();
});

test("what would not be honoured of the filter is refused", async () => {
  await using plane = openPlane();
  for (const [fields, where] of [
    [{ bindPort: true }, "bindPort"],
    [{ mark: -1 }, "mark"],
    [{ mark: 2 ** 32 }, "mark"],
  ] as const) {
    const [rejection] = plane.plane.apply([
      listener("in", [tcpProxy({ cluster: "c" })], { listenerFilters: [originalSource(fields)] }),
    ]);
    assert.match(JSON.stringify(rejection), new RegExp(`listenerFilters\\[0\\]\\.typedConfig\\.${where}`));
  }
  const disabled = { ...originalSource(), filterDisabled: { anyMatch: true } };
  const [rejection] = plane.plane.apply([
    listener("in", [tcpProxy({ cluster: "c" })], { listenerFilters: [disabled] }),
  ]);
  assert.match(JSON.stringify(rejection), /filterDisabled/);
});
