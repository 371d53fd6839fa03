/** WebSocket with clients and upstreams of both versions, and what may not become of an upgrade that is declined. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import {
  cluster,
  hcm,
  http2Upstream,
  listener,
  openPlane,
  openServer,
  routes,
  type TestPlane,
  toCluster,
} from "../runtime/testing/test-plane.ts";

const websocket = { upgradeConfigs: [{ upgradeType: "websocket" }] };

/** Answers every request with `answer`, echoes what follows, and remembers all it was sent. */
const openApp = async (answer: string) => {
  const got: string[] = [];
  const server = await openServer((socket: Socket) => {
    socket.once("data", (head) => {
      got.push(head.toString("latin1"));
      socket.on("data", (bytes) => {
        got.push(bytes.toString("latin1"));
        socket.write(bytes);
      });
      socket.write(answer);
    });
  });
  return Object.assign(server, { got });
};
const accepted = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";

const openProxy = async (port: number, fields: object = {}): Promise<TestPlane> => {
  const all = openPlane();
  await all.put(cluster("next", [port], fields), routes([toCluster("next")]), listener("in", [hcm(websocket)]));
  return all;
};

interface Tunnel extends Disposable {
  /** Of the answer; 101 and 200 are both a tunnel. */
  readonly status: Promise<number>;
  send(text: string): void;
  until(text: string): Promise<void>;
}

const openHttp1Tunnel = (port: number, early: string): Tunnel => {
  const socket = connect(port, "127.0.0.1");
  let got = "";
  let wake = (): void => {};
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    got += bytes.toString("latin1");
    wake();
  });
  const until = async (text: string): Promise<void> => {
    while (!got.includes(text)) await new Promise<void>((resolve) => (wake = resolve));
  };
  const asked =
    "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";
  socket.write(asked + early);
  return {
    status: until("\r\n\r\n").then(() => Number(got.slice(9, 12))),
    send: (text) => void socket.write(text),
    until,
    [Symbol.dispose]: () => void socket.destroy(),
  };
};

const openHttp2Tunnel = async (port: number, early: string): Promise<Tunnel> => {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/ws",
    ":scheme": "http",
    ":authority": "a",
  });
  stream.on("error", () => {});
  if (early !== "") stream.write(early);
  let got = "";
  let wake = (): void => {};
  stream.on("data", (bytes: Buffer) => {
    got += bytes.toString("latin1");
    wake();
  });
  return {
    status: once(stream, "response").then(([headers]) => Number(headers[":status"])),
    send: (text) => void stream.write(text),
    until: async (text) => {
      while (!got.includes(text)) await new Promise<void>((resolve) => (wake = resolve));
    },
    [Symbol.dispose]: () => session.destroy(),
  };
};

const openTunnel = (version: "HTTP/1" | "HTTP/2", port: number, early = ""): Tunnel | Promise<Tunnel> =>
  version === "HTTP/1" ? openHttp1Tunnel(port, early) : openHttp2Tunnel(port, early);

for (const client of ["HTTP/1", "HTTP/2"] as const) {
  for (const upstream of ["HTTP/1", "HTTP/2"] as const) {
    test(`a WebSocket from a client of ${client} to an upstream of ${upstream}`, { timeout: 10_000 }, async () => {
      await using app = await openApp(accepted);
      // The HTTP/2 upstream is another proxy before the application.
      await using inner = await openProxy(app.port);
      await using outer = await openProxy(inner.portOf("in"), http2Upstream);
      const entry = upstream === "HTTP/1" ? inner : outer;
      using tunnel = await openTunnel(client, entry.portOf("in"), "early,");
      assert.equal(await tunnel.status, client === "HTTP/1" ? 101 : 200);
      await tunnel.until("early,");
      for (const word of ["one", "two", "three"]) {
        tunnel.send(word);
        await tunnel.until(word);
      }
      assert.match(app.got[0] ?? "", /^GET \/ws HTTP\/1\.1\r\n/);
      assert.match(app.got[0] ?? "", /\r\nsec-websocket-key: /);
    });
  }

  for (const [what, answer, told] of [
    ["403", "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", 403],
    ["200", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", client === "HTTP/1" ? 200 : 502],
  ] as const) {
    test(`an upgrade from ${client} that is answered ${what} is no tunnel`, { timeout: 10_000 }, async () => {
      await using app = await openApp(answer);
      await using all = await openProxy(app.port);
      using tunnel = await openTunnel(client, all.portOf("in"), "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
      assert.equal(await tunnel.status, told);
      tunnel.send("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
      // By HTTP/1 it is the next request of the connection; by HTTP/2 it is nothing at all.
      if (client === "HTTP/1") return;
      using again = await openTunnel(client, all.portOf("in"));
      await again.status;
      assert.deepEqual(
        app.got.filter((text) => text.includes("smuggled")),
        [],
      );
    });
  }
}
