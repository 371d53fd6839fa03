import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp1, request as requestHttp1 } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
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

const portOf = (address: unknown): number => (address as { readonly port: number }).port;

/** Answers with what it was sent; `/grpc` with trailers, `/reset` with RST_STREAM, `/refuse` with REFUSED_STREAM. */
const openHttp2App = async () => {
  const server = createServer();
  const sessions = new Set<{ destroy(): void; close(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const path = headers[":path"];
    if (path === "/reset") {
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    if (path === "/grpc") {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "5", "grpc-message": "gone" }));
      stream.end("message");
      return;
    }
    stream.respond({
      ":status": 200,
      "x-authority": String(headers[":authority"]),
      "x-method": String(headers[":method"]),
    });
    stream.pipe(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: portOf(server.address()),
    sessions,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const openHttp1App = async () => {
  const server = createHttp1((incoming, response) => {
    response.setHeader("x-host", String(incoming.headers.host));
    response.setHeader("x-version", incoming.httpVersion);
    incoming.pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: portOf(server.address()),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const openAll = async (port: number, fields: Partial<ClusterJson> = {}, action: object = {}) => {
  const all = openPlane();
  await all.put(cluster("app", [port], fields), routes([toCluster("app", action)]), listener("in", [hcm()]));
  return all;
};

const openClient = (port: number): ClientHttp2Session & Disposable => {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  return Object.assign(session, { [Symbol.dispose]: () => session.destroy() });
};

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

const collect = async (stream: ClientHttp2Stream): Promise<Answer> => {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  stream.once("response", (got) => {
    headers = got;
  });
  stream.once("trailers", (got) => {
    trailers = got;
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { headers, trailers, body: Buffer.concat(chunks) };
};

const ask = (session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: Buffer | string): Promise<Answer> => {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return collect(stream);
};

test("HTTP/2 to HTTP/2: many streams share one upstream connection", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  using client = openClient(all.portOf("in"));
  const bodies = Array.from({ length: 50 }, (_, i) => `body ${i}`);
  const answers = await Promise.all(
    bodies.map((body) => ask(client, { ":method": "POST", ":path": "/", ":authority": "shop" }, body)),
  );
  assert.deepEqual(
    answers.map(({ body }) => body.toString()),
    bodies,
  );
  assert.equal(answers[0]?.headers["x-authority"], "shop");
  assert.equal(answers[0]?.headers[":status"], 200);
  assert.equal(all.plane.clusters()[0]?.counters.upstreamCxTotal, 1);
  assert.equal(all.plane.clusters()[0]?.load.requests, 0);
});

test("large bodies pass through the windows of both sides", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  using client = openClient(all.portOf("in"));
  const body = Buffer.alloc(5_000_000, "0123456789");
  const answer = await ask(client, { ":method": "POST", ":path": "/" }, body);
  assert.ok(answer.body.equals(body));
});

test("HTTP/2 to HTTP/1: the authority becomes Host, bodies without a length are chunked", async () => {
  await using app = await openHttp1App();
  await using all = await openAll(app.port);
  using client = openClient(all.portOf("in"));
  const body = Buffer.alloc(2_000_000, "abc");
  const answer = await ask(client, { ":method": "POST", ":path": "/x", ":authority": "shop:80" }, body);
  assert.equal(answer.headers["x-host"], "shop:80");
  assert.equal(answer.headers["x-version"], "1.1");
  assert.equal(answer.headers["transfer-encoding"], undefined);
  assert.ok(answer.body.equals(body));
});

test("HTTP/1 to HTTP/2: the same exchange the other way round", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  const body = Buffer.alloc(1_000_000, "xyz");
  const outgoing = requestHttp1({
    host: "127.0.0.1",
    port: all.portOf("in"),
    method: "PUT",
    path: "/",
    headers: { host: "shop", connection: "keep-alive, x-hop", "x-hop": "1" },
  });
  outgoing.end(body);
  const [incoming] = await once(outgoing, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  assert.equal(incoming.statusCode, 200);
  assert.equal(incoming.headers["x-authority"], "shop");
  assert.equal(incoming.headers["x-method"], "PUT");
  assert.ok(Buffer.concat(chunks).equals(body));
});

test("trailers pass, and a local answer to gRPC is a gRPC status", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  using client = openClient(all.portOf("in"));
  const grpc = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };
  const answer = await ask(client, { ...grpc, ":path": "/grpc" }, "question");
  assert.equal(answer.body.toString(), "message");
  assert.equal(answer.trailers["grpc-status"], "5");
  assert.equal(answer.trailers["grpc-message"], "gone");
  await all.put(cluster("app", [], http2Upstream));
  const refused = await ask(client, { ...grpc, ":path": "/any" }, "question");
  assert.equal(refused.headers[":status"], 200);
  assert.equal(refused.headers["grpc-status"], "14");
  assert.equal(refused.headers["grpc-message"], "no healthy upstream");
});

test("a reset of the upstream is an answer of 503, and does not disturb other streams", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  using client = openClient(all.portOf("in"));
  const [broken, whole] = await Promise.all([
    ask(client, { ":path": "/reset" }),
    ask(client, { ":path": "/", ":method": "POST" }, "fine"),
  ]);
  assert.equal(broken.headers[":status"], 503);
  assert.match(broken.body.toString(), /reset reason: remote reset$/);
  assert.equal(whole.body.toString(), "fine");
});

test("a client that cancels a stream cancels it upstream", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  using client = openClient(all.portOf("in"));
  const stream = client.request({ ":method": "POST", ":path": "/" });
  stream.on("error", () => {});
  stream.write("some");
  await once(stream, "data");
  stream.close(constants.NGHTTP2_CANCEL);
  await once(stream, "close");
  const answer = await ask(client, { ":path": "/", ":method": "POST" }, "next");
  assert.equal(answer.body.toString(), "next");
  assert.equal(all.plane.clusters()[0]?.load.requests, 0);
});

test("an upstream that says GOAWAY loses no request", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  using client = openClient(all.portOf("in"));
  for (let i = 0; i < 5; i++) {
    const answer = await ask(client, { ":path": "/", ":method": "POST" }, `n${i}`);
    assert.equal(answer.body.toString(), `n${i}`);
    for (const session of app.sessions) session.close();
    app.sessions.clear();
  }
});

test("draining says GOAWAY, finishes what is in flight, and then is idle", async () => {
  await using app = await openHttp2App();
  await using all = await openAll(app.port, http2Upstream);
  using client = openClient(all.portOf("in"));
  const stream = client.request({ ":method": "POST", ":path": "/" });
  stream.write("one ");
  await once(stream, "response");
  const goaway = once(client, "goaway");
  const drained = all.plane.drain(5000);
  await goaway;
  stream.end("two");
  assert.equal((await collect(stream)).body.toString(), "one two");
  await drained;
  assert.equal(all.plane.listeners()[0]?.connections, 0);
});

test("an HTTP/1 connection that its last client left unread serves the next", { timeout: 10_000 }, async () => {
  await using app = await openServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
  });
  await using all = await openAll(app.port);
  const unread = connect(`http://127.0.0.1:${all.portOf("in")}`, { settings: { initialWindowSize: 0 } });
  unread.on("error", () => {});
  const stream = unread.request({ ":path": "/" });
  stream.on("error", () => {});
  await once(stream, "response");
  unread.destroy();
  using client = openClient(all.portOf("in"));
  assert.equal(String((await ask(client, { ":path": "/" })).body), "hello");
  assert.equal(all.plane.clusters()[0]?.counters.upstreamCxTotal, 1);
});
