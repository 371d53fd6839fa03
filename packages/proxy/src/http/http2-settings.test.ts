/** What a listener's settings mean to clients that speak HTTP/2. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { connect as connectPlain } from "node:net";
import { test } from "node:test";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const log = {
  accessLog: [
    {
      name: "envoy.access_loggers.stdout",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        logFormat: { textFormatSource: { inlineString: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%" } },
      },
    },
  ],
};

/** A proxy before a server that keeps the heads it is sent. */
const openAll = async (fields: object) => {
  const heads: string[] = [];
  const app = await openServer((socket) =>
    socket.on("data", (bytes) => {
      heads.push(bytes.toString("latin1"));
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }),
  );
  const all = openPlane();
  await all.put(cluster("app", [app.port]), routes([toCluster("app")]), listener("in", [hcm({ ...log, ...fields })]));
  const session = connect(`http://127.0.0.1:${all.portOf("in")}`);
  session.on("error", () => {});
  return {
    ...all,
    heads,
    session,
    [Symbol.asyncDispose]: async () => {
      session.destroy();
      await all.plane.close();
      await app[Symbol.asyncDispose]();
    },
  };
};

const ask = async (session: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<number | undefined> => {
  const stream = session.request({ ":path": "/", ...headers });
  stream.resume();
  const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
  return answer[":status"];
};

const odd = { x_mine: "1", x_forwarded_for: "192.0.2.1", transfer_encoding: "chunked", "x-b": "2" };
const underscores = (headersWithUnderscoresAction: string) => ({
  commonHttpProtocolOptions: { headersWithUnderscoresAction },
});

test("names with an underscore pass, but for those that a server may take for fields the proxy answers for", async () => {
  await using all = await openAll(underscores("ALLOW"));
  assert.equal(await ask(all.session, odd), 200);
  assert.match(all.heads[0] ?? "", /\r\nx_mine: 1\r\n/);
  assert.doesNotMatch(all.heads[0] ?? "", /x_forwarded_for|transfer_encoding/);
});

test("all names with an underscore are dropped where the listener says so", async () => {
  await using all = await openAll(underscores("DROP_HEADER"));
  assert.equal(await ask(all.session, odd), 200);
  assert.match(all.heads[0] ?? "", /\r\nx-b: 2\r\n/);
  assert.doesNotMatch(all.heads[0] ?? "", /\r\n[^:]*_[^:]*:/);
});

test("a request with one is answered 400 where they are refused; the connection serves on", async () => {
  await using all = await openAll(underscores("REJECT_REQUEST"));
  assert.equal(await ask(all.session, odd), 400);
  assert.equal(await ask(all.session, { "x-b": "2" }), 200);
  assert.deepEqual(all.logLines, ["400 DPE http2.unexpected_underscore", "200 - via_upstream"]);
  assert.equal(all.heads.length, 1);
});

const keepalive = (interval: string, timeout: string) => ({
  http2ProtocolOptions: { connectionKeepalive: { interval, timeout } },
});
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const emptySettings = Buffer.from("000000040000000000", "hex");

test("a client that answers no PING is let go, and counted", async () => {
  await using all = await openAll(keepalive("0.02s", "0.02s"));
  const mute = connectPlain({ host: "127.0.0.1", port: all.portOf("in") });
  const chunks: Buffer[] = [];
  mute.on("data", (chunk: Buffer) => chunks.push(chunk));
  mute.on("error", () => {});
  mute.write(Buffer.concat([preface, emptySettings]));
  await once(mute, "close");
  assert.ok(Buffer.concat(chunks).includes(Buffer.from("0000080600", "hex")), "no PING came");
  assert.ok(all.stats.counter("http2.keepalive_timeout").value >= 1);
});

test("a client that answers them stays, and is asked again and again", async () => {
  await using all = await openAll(keepalive("0.02s", "10s"));
  let pings = 0;
  all.session.on("ping", () => pings++);
  while (pings < 3) await new Promise(setImmediate);
  assert.equal(all.session.closed, false);
  assert.equal(await ask(all.session, {}), 200);
  assert.equal(all.stats.counter("http2.keepalive_timeout").value, 0);
});

test("a client that says nothing behind its preface is closed after the idle timeout", async () => {
  await using all = await openAll({ commonHttpProtocolOptions: { idleTimeout: "0.05s" } });
  const silent = connectPlain({ host: "127.0.0.1", port: all.portOf("in") });
  silent.on("error", () => {});
  silent.resume();
  silent.write(Buffer.concat([preface, emptySettings]));
  await once(silent, "close");
  assert.equal(all.heads.length, 0);
});
