/** Connections of a pool as a server sees them: how many, when they go, and what a request meets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
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
import { HostPools } from "./host-pools.ts";
import type { PoolWaiter } from "./pool-waiter.ts";

const openAll = async (port: number, fields: Partial<ClusterJson> = {}) => {
  const all = openPlane();
  await all.put(cluster("app", [port], fields), routes([toCluster("app")]), listener("in", [hcm()]));
  const upstream = all.plane.clusters()[0] ?? assert.fail();
  return { ...all, upstream, port: all.portOf("in") };
};

/** One request over a connection of its own; resolves with all that came back. */
const ask = (port: number, head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(head));
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", reject);
    socket.on("end", () => resolve(text));
  });

const turns = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

const answer = (fields = ""): string => `HTTP/1.1 200 OK\r\n${fields}content-length: 2\r\n\r\nok`;

test("a connection is retired before the server's own limit, and the next request gets a fresh one", async () => {
  await using app = await openServer((socket) =>
    socket.on("data", () => socket.write(answer("keep-alive: timeout=1\r\n"))),
  );
  await using all = await openAll(app.port);
  assert.match(await ask(all.port), /200 OK/);
  const [socket] = app.sockets;
  await once(socket ?? assert.fail(), "end");
  assert.equal(all.upstream.counters.upstreamCxPeerIdleRetired, 1, "it was ours to close, not the server's");
  assert.match(await ask(all.port), /200 OK/);
  assert.equal(all.upstream.counters.upstreamCxTotal, 2);
  assert.equal(all.upstream.counters.upstreamCxIdleTimeout, 0);
});

test("an idle connection of the server's that ends is gone before the next request", async () => {
  await using app = await openServer((socket) =>
    socket.on("data", () => {
      socket.write(answer());
      socket.end();
    }),
  );
  await using all = await openAll(app.port);
  for (let i = 0; i < 5; i++) {
    assert.match(await ask(all.port), /200 OK/);
    await turns(() => all.upstream.counters.upstreamCxActive === 0);
  }
  assert.equal(all.upstream.counters.upstreamCxTotal, 5);
});

test("a connection takes no more requests than it may", async () => {
  await using app = await openServer((socket) => socket.on("data", () => socket.write(answer())));
  await using all = await openAll(app.port, { maxRequestsPerConnection: 2 });
  for (let i = 0; i < 4; i++) assert.match(await ask(all.port), /200 OK/);
  assert.equal(all.upstream.counters.upstreamCxTotal, 2);
  assert.equal(all.upstream.counters.upstreamCxMaxRequests, 2);
});

test("requests beyond the pending limit overflow at once, those within it wait for a connection", async () => {
  const held: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => held.push(socket)));
  await using all = await openAll(app.port, {
    circuitBreakers: { thresholds: [{ maxConnections: 1, maxPendingRequests: 1 }] },
  });
  const first = ask(all.port);
  await turns(() => held.length === 1);
  const second = ask(all.port);
  await turns(() => all.upstream.load.pendingRequests === 1);
  const third = await ask(all.port);
  assert.match(third, /^HTTP\/1\.1 503 .*x-envoy-overloaded: true/s);
  held[0]?.write(answer());
  assert.match(await first, /200 OK/);
  await turns(() => held.length === 2);
  held[1]?.write(answer());
  assert.match(await second, /200 OK/);
  assert.equal(all.upstream.counters.upstreamCxTotal, 1);
  const { load } = all.upstream;
  assert.deepEqual([load.connections, load.pendingRequests, load.requests], [1, 0, 0]);
});

test("with a ratio of 2 a connection is ready before the second request needs it", async () => {
  const held: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => held.push(socket)));
  await using all = await openAll(app.port, { preconnectPolicy: { perUpstreamPreconnectRatio: 2 } });
  const first = ask(all.port);
  await turns(() => held.length === 1 && app.sockets.size === 2);
  const second = ask(all.port);
  await turns(() => held.length === 2);
  for (const socket of held) socket.write(answer());
  assert.match(await first, /200 OK/);
  assert.match(await second, /200 OK/);
});

test("without a policy no connection is made ahead", async () => {
  const held: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => held.push(socket)));
  await using all = await openAll(app.port);
  const first = ask(all.port);
  await turns(() => held.length === 1);
  held[0]?.write(answer());
  assert.match(await first, /200 OK/);
  assert.equal(all.upstream.counters.upstreamCxTotal, 1);
});

test("connections ahead of need stay within the cluster's limit", async () => {
  const held: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => held.push(socket)));
  await using all = await openAll(app.port, {
    preconnectPolicy: { perUpstreamPreconnectRatio: 3 },
    circuitBreakers: { thresholds: [{ maxConnections: 1 }] },
  });
  const first = ask(all.port);
  await turns(() => held.length === 1);
  held[0]?.write(answer());
  assert.match(await first, /200 OK/);
  assert.equal(all.upstream.counters.upstreamCxTotal, 1);
  assert.equal(all.upstream.counters.upstreamCxOverflow, 0, "a connection nobody waits for overflows nothing");
});

test("a predictive ratio opens a connection to a host that no request has met yet", async () => {
  await using one = await openServer(() => {});
  await using other = await openServer(() => {});
  const all = openPlane();
  await using _all = all;
  await all.put(
    cluster("app", [one.port, other.port], { preconnectPolicy: { predictivePreconnectRatio: 3 } }),
    routes([toCluster("app")]),
    listener("in", [hcm()]),
  );
  const socket = connect(all.portOf("in"), "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
  await turns(() => one.sockets.size === 1 && other.sockets.size === 1);
  socket.destroy();
});

test("a ratio outside 1 to 3 is refused", () => {
  const { plane } = openPlane();
  for (const ratio of [0.5, 3.1, "NaN"]) {
    const change = cluster("app", [1], { preconnectPolicy: { perUpstreamPreconnectRatio: ratio as number } });
    assert.match(plane.check(change)?.reason ?? "", /^preconnectPolicy\.perUpstreamPreconnectRatio: /);
  }
});

/** Who asks a pool for a stream and does nothing with it. */
const waiter = (fields: Partial<PoolWaiter> = {}): PoolWaiter => {
  const nothing = (): void => {};
  return {
    onStream: nothing,
    onNoStream: nothing,
    onInterim: nothing,
    onHead: nothing,
    onData: nothing,
    onTrailers: nothing,
    onEnd: nothing,
    onWritable: nothing,
    onBroken: nothing,
    ...fields,
  };
};

/** HTTP/2 without TLS; what it does with a stream is the test's. */
const openHttp2 = async (
  settings: { maxConcurrentStreams?: number },
  onStream: (stream: ServerHttp2Stream, session: ServerHttp2Session) => void,
) => {
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2({ settings });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
    session.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      onStream(stream, session);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    sessions,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

test("one HTTP/2 connection carries as many requests as the server takes, further ones go over another", async () => {
  const streams: ServerHttp2Stream[] = [];
  await using app = await openHttp2({ maxConcurrentStreams: 3 }, (stream) => void streams.push(stream));
  await using all = await openAll(app.port, http2Upstream);
  // The first request finds out how many the server takes.
  const first = ask(all.port);
  await turns(() => streams.length === 1);
  const rest = Array.from({ length: 4 }, () => ask(all.port));
  await turns(() => streams.length === 5);
  assert.equal(app.sessions.size, 2);
  for (const stream of streams) {
    stream.respond({ ":status": 200 });
    stream.end("ok");
  }
  for (const one of [first, ...rest]) assert.match(await one, /200 OK/);
  assert.equal(all.upstream.counters.upstreamCxHttp2Total, 2);
});

test("a connection that says GOAWAY finishes what it carries and takes nothing new", async () => {
  const met: { stream: ServerHttp2Stream; session: ServerHttp2Session }[] = [];
  await using app = await openHttp2({}, (stream, session) => void met.push({ stream, session }));
  await using all = await openAll(app.port, http2Upstream);
  const first = ask(all.port);
  await turns(() => met.length === 1);
  met[0]?.session.goaway(0, met[0].stream.id ?? 1);
  const answerAll = (): void => {
    for (const { stream } of met.splice(0)) {
      stream.respond({ ":status": 200 });
      stream.end("ok");
    }
  };
  // The GOAWAY reaches the proxy before the second request does: it is answered by another connection.
  await new Promise<void>((resolve) => met[0]?.session.ping(() => resolve()));
  const second = ask(all.port);
  await turns(() => met.length === 2);
  assert.notEqual(met[0]?.session, met[1]?.session);
  answerAll();
  assert.match(await first, /200 OK/);
  assert.match(await second, /200 OK/);
});

test("connections of a host that leaves the cluster close, the idle at once, the busy after their request", async () => {
  const held: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => held.push(socket)));
  await using other = await openServer((socket) => socket.on("data", () => socket.write(answer())));
  await using all = await openAll(app.port);
  const [busy, idle] = [ask(all.port), ask(all.port)];
  await turns(() => held.length === 2);
  held[1]?.write(answer());
  await Promise.race([busy, idle]);
  const quiet = once(held[1] ?? assert.fail(), "end");
  await all.put(cluster("app", [other.port]));
  await quiet;
  assert.match(await ask(all.port), /200 OK/);
  const ended = once(held[0] ?? assert.fail(), "end");
  held[0]?.write(answer());
  assert.match(await busy, /200 OK/);
  assert.match(await idle, /200 OK/);
  await ended;
});

test("a stream that its holder forgot is found, taken back and counted", async () => {
  const held: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => held.push(socket)));
  await using all = await openAll(app.port);
  // A request makes the pool; its connection then goes to a holder that forgets it.
  const first = ask(all.port);
  await turns(() => held.length === 1);
  held[0]?.write(answer());
  await first;
  const host = all.upstream.hosts()[0] ?? assert.fail();
  const pools = host.pool;
  assert.ok(pools instanceof HostPools);
  const pool = pools.poolFor(all.upstream, host, "http1", undefined);
  const forgetful = waiter({ holds: () => false });
  pool.acquire(forgetful);
  assert.deepEqual(pool.sweep(), { lost: 1, quiet: 0 });
  await turns(() => all.upstream.load.connections === 0);
  assert.deepEqual(pool.sweep(), { lost: 0, quiet: 0 });
});

test("requests over HTTP/2 that need no connection ahead take none of the cluster's", async () => {
  await using app = await openHttp2({}, (stream) => {
    stream.respond({ ":status": 200 });
    stream.end("ok");
  });
  await using all = await openAll(app.port, {
    ...http2Upstream,
    preconnectPolicy: { perUpstreamPreconnectRatio: 2 },
  });
  for (let i = 0; i < 5; i++) assert.match(await ask(all.port), /200 OK/);
  assert.deepEqual([all.upstream.load.connections, all.upstream.counters.upstreamCxActive], [1, 1]);
});

test("a tunnel that is asked for again before the last one is closed can still be withdrawn", async () => {
  await using app = await openServer(() => {});
  await using all = await openAll(app.port);
  const first = ask(all.port);
  const host = all.upstream.hosts()[0] ?? assert.fail();
  await turns(() => host.pool !== undefined && app.sockets.size === 1);
  const pools = host.pool;
  assert.ok(pools instanceof HostPools);
  const pool = pools.tunnelTo(all.upstream, host);
  const asking = waiter();
  pool.acquire(asking);
  pool.withdraw(asking);
  pool.acquire(asking);
  await turns(() => all.upstream.load.connections === 2);
  pool.withdraw(asking);
  await turns(() => all.upstream.load.connections === 1);
  assert.equal(pool.connections, 0);
  for (const socket of app.sockets) socket.end(answer());
  await first;
});

test("a host gets no more connections than it may have, though the cluster could", async () => {
  const waiting: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => waiting.push(socket)));
  const circuitBreakers = { perHostThresholds: [{ maxConnections: 1 }], thresholds: [{ trackRemaining: true }] };
  await using all = await openAll(app.port, { circuitBreakers });
  const both = [ask(all.port), ask(all.port)];
  await turns(() => waiting.length === 1 && all.upstream.load.pendingRequests === 1);
  assert.deepEqual([app.sockets.size, all.upstream.counters.upstreamCxOverflow > 0], [1, true]);
  waiting[0]?.write(answer());
  await turns(() => waiting.length === 2);
  waiting[1]?.write(answer());
  for (const text of await Promise.all(both)) assert.match(text, /200 OK/);
  assert.equal(all.upstream.counters.upstreamCxTotal, 1);
});

test("requests of priority HIGH have limits and connections of their own", async () => {
  const waiting: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => waiting.push(socket)));
  await using all = openPlane();
  const thresholds = [{ maxRequests: 1 }, { priority: "HIGH" as const, maxRequests: 1 }];
  const high = { match: { prefix: "/high" }, route: { cluster: "app", priority: "HIGH" as const } };
  const { routes: rest, ...host } = toCluster("app");
  await all.put(
    cluster("app", [app.port], { circuitBreakers: { thresholds } }),
    routes([{ ...host, routes: [high, ...(rest ?? [])] }]),
    listener("in", [hcm()]),
  );
  const port = all.portOf("in");
  const head = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`;
  const low = ask(port);
  await turns(() => waiting.length === 1);
  assert.match(await ask(port), / 503 /);
  const served = ask(port, head("/high"));
  await turns(() => waiting.length === 2);
  assert.match(await ask(port, head("/high")), / 503 /);
  assert.notEqual(waiting[0], waiting[1]);
  for (const socket of waiting) socket.write(answer());
  assert.match(await low, /200 OK/);
  assert.match(await served, /200 OK/);
  const upstream = all.plane.clusters()[0] ?? assert.fail();
  assert.deepEqual([upstream.load.requests, upstream.high?.().load.requests], [0, 0]);
});
