import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { any } from "@weft/xds/resource";
import {
  cluster,
  hcm,
  http2Upstream,
  listener,
  openPlane,
  openServer,
  routes,
  toCluster,
} from "../runtime/testing/test-plane.ts";

/** Accepts an upgrade to anything and echoes raw bytes after it; refuses `/no`. */
const openEcho = () =>
  openServer((socket) => {
    socket.once("data", (bytes) => {
      const text = bytes.toString();
      if (text.startsWith("GET /no")) {
        socket.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        return;
      }
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-seen: yes\r\n\r\n",
      );
      socket.on("data", (more) => socket.write(more));
      socket.on("end", () => socket.end());
    });
  });

const openAll = async (port: number, hcmFields: object = { upgradeConfigs: [{ upgradeType: "websocket" }] }) => {
  const all = openPlane();
  await all.put(cluster("app", [port]), routes([toCluster("app")]), listener("in", [hcm(hcmFields)]));
  return all;
};

const open = (port: number): { readonly socket: Socket; readonly until: (text: string) => Promise<string> } => {
  const socket = connect({ host: "127.0.0.1", port });
  let got = "";
  let wake: () => void = () => {};
  socket.on("data", (bytes) => {
    got += bytes.toString();
    wake();
  });
  socket.on("error", () => {});
  socket.on("close", () => wake());
  const until = async (text: string): Promise<string> => {
    while (!got.includes(text) && !socket.destroyed) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return got;
  };
  return { socket, until };
};

const upgrade = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n`;

test("a WebSocket passes both ways, also what the client sends before the answer", async () => {
  await using app = await openEcho();
  await using all = await openAll(app.port);
  const { socket, until } = open(all.portOf("in"));
  socket.write(`${upgrade("/")}early`);
  const head = await until("early");
  assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.match(head, /x-seen: yes/);
  assert.match(head, /upgrade: websocket/);
  socket.write("later");
  await until("later");
  socket.end();
  await once(socket, "close");
});

test("an upgrade the server declines is an answer like any other", async () => {
  await using app = await openEcho();
  await using all = await openAll(app.port);
  const { socket, until } = open(all.portOf("in"));
  socket.write(upgrade("/no"));
  assert.match(await until("\r\n\r\nno"), /^HTTP\/1\.1 403 Forbidden\r\n/);
  socket.destroy();
});

test("a WebSocket that is not configured is refused", async () => {
  await using app = await openEcho();
  await using all = await openAll(app.port, {});
  const { socket, until } = open(all.portOf("in"));
  socket.write(upgrade("/"));
  assert.match(await until("\r\n\r\n"), /^HTTP\/1\.1 403 /);
  socket.destroy();
});

test("CONNECT ends here where the route says so, and is refused elsewhere", async () => {
  await using target = await openServer((socket) => {
    socket.write("server first\r\n");
    socket.on("data", (bytes) => socket.write(bytes));
    socket.on("end", () => socket.end());
  });
  await using all = openPlane();
  const connectRoute = (upgradeConfigs: object[]) =>
    routes([
      {
        name: "v",
        domains: ["*"],
        routes: [{ match: { connectMatcher: {} }, route: { cluster: "target", upgradeConfigs } }],
      },
    ]);
  await all.put(
    cluster("target", [target.port]),
    connectRoute([{ upgradeType: "CONNECT", connectConfig: {} }]),
    listener("in", [hcm({ upgradeConfigs: [{ upgradeType: "CONNECT" }] })]),
  );
  const first = open(all.portOf("in"));
  first.socket.write("CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n");
  assert.match(await first.until("server first"), /^HTTP\/1\.1 200 OK\r\n/);
  first.socket.write("ping");
  await first.until("ping");
  first.socket.end();
  await once(first.socket, "close");

  await all.put(connectRoute([]));
  const second = open(all.portOf("in"));
  second.socket.write("CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n");
  assert.match(await second.until("\r\n\r\n"), /^HTTP\/1\.1 403 /);
  second.socket.destroy();
});

test("a WebSocket over HTTP/2 from the client is an HTTP/1 upgrade upstream", async () => {
  await using app = await openEcho();
  await using all = await openAll(app.port);
  const session = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  session.on("error", () => {});
  await once(session, "remoteSettings");
  const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/", ":scheme": "http" });
  const [headers] = await once(stream, "response");
  assert.equal(headers[":status"], 200);
  stream.write("over http2");
  const [bytes] = await once(stream, "data");
  assert.equal(String(bytes), "over http2");
  stream.close();
  session.destroy();
});

test("a WebSocket over HTTP/1 goes on over HTTP/2 between sidecars", async () => {
  await using app = await openEcho();
  await using inner = await openAll(app.port);
  await using outer = openPlane();
  await outer.put(
    cluster("inner", [inner.portOf("in")], http2Upstream),
    routes([toCluster("inner")]),
    listener("out", [hcm({ upgradeConfigs: [{ upgradeType: "websocket" }] })]),
  );
  const { socket, until } = open(outer.portOf("out"));
  socket.write(upgrade("/"));
  assert.match(await until("\r\n\r\n"), /^HTTP\/1\.1 101 /);
  socket.write("through both");
  await until("through both");
  socket.destroy();
});

test("an upgrade that is not taken is refused before the route answers; where no route is, that is said first", async () => {
  await using all = openPlane();
  const direct = { name: "v", domains: ["a"], routes: [{ match: { prefix: "/" }, directResponse: { status: 200 } }] };
  await all.put(routes([direct]), listener("in", [hcm()]));
  for (const [host, asked, status] of [
    ["a", "connection: upgrade\r\nupgrade: websocket\r\n", 403],
    ["b", "connection: upgrade\r\nupgrade: websocket\r\n", 404],
    ["a", "", 200],
    ["b", "", 404],
  ] as const) {
    const { socket, until } = open(all.portOf("in"));
    socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n${asked}\r\n`);
    assert.match(await until("\r\n\r\n"), new RegExp(`^HTTP/1\\.1 ${status} `));
    socket.destroy();
  }
});

test("OPTIONS * is answered 404 in both versions, whatever the routes", async () => {
  await using all = await openAll(1);
  const { socket, until } = open(all.portOf("in"));
  socket.write("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
  assert.match(await until("\r\n\r\n"), /^HTTP\/1\.1 404 /);
  socket.destroy();
  const session = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  session.on("error", () => {});
  const [headers] = await once(session.request({ ":method": "OPTIONS", ":path": "*" }), "response");
  assert.equal(headers[":status"], 404);
  session.destroy();
  assert.equal(all.plane.clusters()[0]?.counters.upstreamRqTotal, 0);
});

test("a policy on GET holds for a WebSocket over HTTP/2 too", async () => {
  await using app = await openEcho();
  const rbac = any("envoy.extensions.filters.http.rbac.v3.RBAC", {
    rules: {
      action: "DENY",
      policies: {
        p: {
          permissions: [{ header: { name: ":method", stringMatch: { exact: "GET" } } }],
          principals: [{ any: true }],
        },
      },
    },
  });
  const router = any("envoy.extensions.filters.http.router.v3.Router", {});
  await using all = await openAll(app.port, {
    upgradeConfigs: [{ upgradeType: "websocket" }],
    httpFilters: [
      { name: "envoy.filters.http.rbac", typedConfig: rbac },
      { name: "envoy.filters.http.router", typedConfig: router },
    ],
  });
  const session = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  session.on("error", () => {});
  await once(session, "remoteSettings");
  const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/", ":scheme": "http" });
  const [headers] = await once(stream, "response");
  assert.equal(headers[":status"], 403);
  stream.close();
  session.destroy();
});
