/**
 * Clients that attack by HTTP/2, against a real sidecar: each loses its own connection or stream and nobody else's, the
 * process stays as large as it was, and what happened is counted.
 */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { FRAME } from "@weft/protocols/http2/protocol";
import { dataFrame, type Fields, frame, get, headersFrame, literals, post } from "@weft/protocols/http2/testing/frames";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { sendRaw } from "@weft/testkit/raw-http";
import { type SteadyLoad, startLoad } from "@weft/testkit/steady-load";
import { attacksOn, sized, watched } from "./hostile.ts";
import { openRaw, type RawHttp2 } from "./http2-raw.ts";
import { freePort, type RunningSidecar, routeTo, startHttpSidecar } from "./http2-sidecar.ts";

/** Each is opened, attacks and is gone. */
const connectionsMany = sized(4_000, 20_000);
const brokenHandshakes = sized(500, 20_000);
const stack = new AsyncDisposableStack();
const ports = { plain: 0, tls: 0, wide: 0 };
let app: EchoServer;
let sidecar: RunningSidecar;
let load: SteadyLoad | undefined;

before(async () => {
  const steady = stack.use(await startEchoServer("steady"));
  app = stack.use(await startEchoServer("attacked"));
  for (const name of ["plain", "tls", "wide"] as const) ports[name] = await freePort();
  // Those who attack have an application and limits of their own: what they use up there is theirs.
  const routes = [routeTo("app", "/steady"), routeTo("attacked")];
  sidecar = stack.use(
    await startHttpSidecar(
      [
        { name: "plain", port: ports.plain, routes },
        { name: "tls", port: ports.tls, routes, tls: "server" },
        { name: "wide", port: ports.wide, routes, hcm: { http2ProtocolOptions: { maxConcurrentStreams: 10_000 } } },
      ],
      [
        { name: "app", port: steady.port },
        { name: "attacked", port: app.port },
      ],
      watched,
    ),
  );
  load = stack.use(startLoad(`127.0.0.1:${ports.plain}`, { path: "/steady" }, ({ status }) => status === 200, 1));
  await load.more(200);
  // Buffers and compiled code of both kinds of connection are there before anything is measured.
  for (const tls of [false, true]) await flood(() => ping, { tls, count: 3000 });
  await overflowWindows(1000);
  await cutConnections(1000);
  await endAtOnce(1000);
});

after(async () => {
  // A sidecar that did not start leaves no load to stop.
  await load?.stop();
  const uncaught = load && (await sidecar.stat("server.uncaught_errors"));
  const said = load && sidecar.program.lines.filter((line) => line.includes("WF5032"));
  await stack.disposeAsync();
  assert.deepEqual(load?.failures, [], "somebody else was disturbed");
  assert.equal(uncaught, 0);
  assert.ok(said !== undefined && said.length > 0, "who flooded is said");
});

const ping = frame(FRAME.ping, 0, 0, "0000000000000000");
const reset = (id: number): Buffer => frame(FRAME.rstStream, 0, id, "00000008");
const windowUpdate = (id: number, by: string): Buffer => frame(FRAME.windowUpdate, 0, id, by);
const hang = get.map(([name, value]): readonly [string, string] => [name, name === ":path" ? "/hang" : value]);
const openPost = headersFrame(1, post, false);
const batch = 500;

interface FloodOptions {
  readonly count?: number;
  readonly tls?: boolean;
  readonly prepare?: Buffer;
  readonly port?: number;
}

/** Sends units until the connection is closed; returns how it was said goodbye, and how many were on their way by then. */
const flood = async (
  unit: (i: number) => Buffer,
  { count = 1_000_000, tls = false, prepare, port = tls ? ports.tls : ports.plain }: FloodOptions = {},
): Promise<{ goaway: string | undefined; sent: number; raw: RawHttp2 }> => {
  using raw = await openRaw(port, { tls });
  if (prepare !== undefined) await raw.send(prepare);
  let sent = 0;
  while (sent < count && !raw.isClosed() && raw.goaway() === undefined) {
    const units = Array.from({ length: Math.min(batch, count - sent) }, (_, i) => unit(sent + i));
    await raw.send(Buffer.concat(units));
    // A write that fails ends the socket before what the other side said is read: let reads come first.
    await new Promise(setImmediate);
    sent += units.length;
  }
  if (sent < count) await raw.until(() => raw.goaway() !== undefined);
  return { goaway: raw.goaway(), sent, raw };
};

const attack = attacksOn(() => ({
  program: sidecar.program,
  load: load ?? assert.fail("there is no load"),
  quiet: async () => {
    // Only the load's own connection may be left, and this one's counts.
    await eventually("all connections gone", async () => (await sidecar.stat("http.plain.downstream_cx_active")) <= 2);
    const requests = "cluster.attacked.upstream_rq_active";
    await eventually("all requests gone", async () => (await sidecar.stat(requests)) === 0);
  },
}));

/** For what has to end the connection and to be counted. */
const counted = async (counter: string, run: () => Promise<{ goaway: string | undefined; sent: number }>) => {
  const before = await sidecar.stat(counter);
  const { goaway, sent } = await run();
  assert.equal(goaway, "ENHANCE_YOUR_CALM");
  assert.ok((await sidecar.stat(counter)) > before, counter);
  return sent;
};
const resets = "http.plain.downstream_rq_too_many_premature_resets";

attack("requests reset as fast as they are made", async (t) => {
  const seen = app.count();
  let most = 0;
  using timers = new DisposableStack();
  const watch = setInterval(async () => {
    most = Math.max(most, await sidecar.stat("cluster.attacked.upstream_rq_active").catch(() => 0));
  }, 20);
  timers.defer(() => clearInterval(watch));
  const each = (i: number): Buffer => Buffer.concat([headersFrame(i * 2 + 1, hang), reset(i * 2 + 1)]);
  const together = await counted(resets, () => flood(each, { count: 100_000 }));
  const before = app.count();
  // The same with the reset in a read of its own. What was sent while nobody read yet is not what was let through.
  const apart = await counted(resets, async () => {
    using raw = await openRaw(ports.plain);
    let sent = 0;
    for (; raw.goaway() === undefined && !raw.isClosed() && sent < 2000; sent++) {
      await raw.send(headersFrame(sent * 2 + 1, hang));
      await new Promise(setImmediate);
      await raw.send(reset(sent * 2 + 1));
    }
    await raw.until(() => raw.goaway() !== undefined);
    return { goaway: raw.goaway(), sent };
  });
  const reached = app.count() - before;
  t.diagnostic(
    `${together} sent together, ${apart} apart, ${most} open upstream, ${before - seen} and ${reached} reached it`,
  );
  assert.ok(reached <= 1000 && most <= 100, `${reached} reached the application, ${most} at once`);
});

for (const [what, spoil] of [
  ["WINDOW_UPDATE of 0", (id) => windowUpdate(id, "00000000")],
  ["WINDOW_UPDATE beyond the limit", (id) => windowUpdate(id, "7fffffff")],
  ["DATA behind the end", (id) => dataFrame(id, "x")],
  ["a PRIORITY of the wrong size", (id) => frame(FRAME.priority, 0, id, "00")],
] as const satisfies readonly (readonly [string, (id: number) => Buffer])[]) {
  attack(`resets that we are made to send by ${what}`, async (t) => {
    const each = (i: number): Buffer => Buffer.concat([headersFrame(i * 2 + 1, hang), spoil(i * 2 + 1)]);
    t.diagnostic(`${await counted(resets, () => flood(each, { count: 100_000 }))} sent`);
  });
}

attack("header blocks without end, and left in the middle", async () => {
  const begin = frame(FRAME.headers, 0, 1, "82");
  await counted("http2.too_many_header_frames", () =>
    flood(() => frame(FRAME.continuation, 0, 1, "00"), { prepare: begin }),
  );
  await counted("http2.too_many_header_frames", () =>
    flood(() => frame(FRAME.continuation, 0, 1, Buffer.alloc(16_384)), { prepare: begin }),
  );
  for (let i = 0; i < 500; i++) {
    const raw = await openRaw(ports.plain);
    await raw.send(begin);
    raw.reset();
  }
});

attack("header fields that grow when they are decoded", async () => {
  const overflow = await sidecar.stat("http2.header_overflow");
  const long = literals([["x-long", "y".repeat(4000)]]);
  const indexed = Buffer.from(long);
  indexed[0] = 0x40;
  const block = Buffer.concat([literals(get), indexed, Buffer.alloc(12_000, 0xbe)]);
  const crumbs: Fields = Array.from({ length: 500 }, (_, i) => ["cookie", `a${i}=${"b".repeat(10)}`] as const);
  for (const bytes of [block, Buffer.concat([literals(get), literals(crumbs)])]) {
    using raw = await openRaw(ports.plain);
    await raw.send(frame(FRAME.headers, 5, 1, bytes));
    await raw.until(() => raw.count(FRAME.headers) > 0);
    assert.equal(raw.count(FRAME.headers), 1, "answered 431");
  }
  assert.equal(await sidecar.stat("http2.header_overflow"), overflow + 2);
});

for (const [what, counter, unit, prepare] of [
  ["SETTINGS", "http2.inbound_settings_flood", frame(FRAME.settings, 0, 0), undefined],
  ["PING", "http2.inbound_ping_flood", ping, undefined],
  ["empty DATA", "http2.inbound_empty_frames_flood", dataFrame(1, ""), openPost],
  ["PRIORITY", "http2.inbound_priority_frames_flood", frame(FRAME.priority, 0, 1, "0000000005"), openPost],
  ["WINDOW_UPDATE", "http2.inbound_window_update_frames_flood", windowUpdate(0, "00000001"), undefined],
] as const) {
  attack(`a flood of ${what}`, async (t) => {
    const sent = await counted(counter, () => flood(() => unit, prepare === undefined ? {} : { prepare }));
    t.diagnostic(`ended before ${sent} were sent`);
  });
}

const overflowWindows = async (connections: number): Promise<void> => {
  for (let i = 0; i < connections; i += 50) {
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        using raw = await openRaw(ports.plain);
        await raw.send(windowUpdate(0, "7fffffff"));
        await raw.until(() => raw.goaway() !== undefined);
        assert.equal(raw.goaway(), "FLOW_CONTROL_ERROR");
      }),
    );
  }
};
attack("windows beyond the limit on many connections", async (t) => {
  await overflowWindows(connectionsMany);
  t.diagnostic(`${connectionsMany} connections`);
});

const cutConnections = async (connections: number): Promise<void> => {
  for (let i = 0; i < connections; i += 50) {
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const raw = await openRaw(ports.plain);
        await raw.send(Buffer.concat([headersFrame(1, hang), headersFrame(3, post, false)]));
        raw.reset();
      }),
    );
  }
};
attack("many connections cut with requests open", async (t) => {
  await cutConnections(connectionsMany);
  t.diagnostic(`${connectionsMany} connections`);
});

attack("broken header blocks over TLS, then an end without a word", async (t) => {
  const connections = brokenHandshakes;
  for (let i = 0; i < connections; i += 20) {
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const raw = await openRaw(ports.tls, { tls: true });
        await raw.send(frame(FRAME.headers, 4, 1, Buffer.alloc(16_384, 0xff)));
        raw.reset();
      }),
    );
  }
  t.diagnostic(`${connections} connections`);
});

/** Opens that many streams on one connection and cuts it; how long all took to end, and the slowest answer meanwhile. */
const endAtOnce = async (streams: number): Promise<{ tookMs: number; slowestMs: number }> => {
  let slowestMs = 0;
  const before = await sidecar.stat("http.wide.downstream_rq_total");
  const raw = await openRaw(ports.wide);
  for (let i = 0; i < streams; i += batch) {
    await raw.send(Buffer.concat(Array.from({ length: batch }, (_, k) => headersFrame((i + k) * 2 + 1, post, false))));
  }
  const opened = before + streams;
  await eventually("all open", async () => (await sidecar.stat("http.wide.downstream_rq_total")) >= opened);
  const started = performance.now();
  raw.reset();
  await eventually("all ended", async () => {
    const asked = performance.now();
    const left = await sidecar.stat("http.wide.downstream_rq_active");
    slowestMs = Math.max(slowestMs, performance.now() - asked);
    return left === 0;
  });
  return { tookMs: performance.now() - started, slowestMs };
};
attack("ten thousand streams that end at once", async (t) => {
  const { tookMs, slowestMs } = await endAtOnce(10_000);
  t.diagnostic(`over in ${Math.round(tookMs)} ms, slowest admin answer ${Math.round(slowestMs)} ms`);
});

attack("requests that come with their reset, in a thousand orders", async () => {
  const total = await sidecar.stat("http.tls.downstream_rq_total");
  const orders = 1000;
  const raw = await openRaw(ports.tls, { tls: true });
  let connection = raw;
  let id = 1;
  for (let order = 0; order < orders; order++) {
    // A connection may not reset for ever.
    if (order > 0 && order % 300 === 0) {
      connection.socket.destroy();
      connection = await openRaw(ports.tls, { tls: true });
      id = 1;
    }
    const middle = [dataFrame(id, "x"), dataFrame(id, "y"), ping, windowUpdate(id, "00000001"), reset(id)];
    const shuffled = middle.map((bytes, i) => ({ bytes, at: ((order + 1) * (i + 3) * 7919) % 101 }));
    shuffled.sort((a, b) => a.at - b.at);
    await connection.send(Buffer.concat([headersFrame(id, post, false), ...shuffled.map(({ bytes }) => bytes)]));
    id += 2;
  }
  await connection.until(() => connection.count(FRAME.ping) > 0);
  connection.socket.destroy();
  raw.socket.destroy();
  assert.equal((await sidecar.stat("http.tls.downstream_rq_total")) - total, 0, "no filter saw any");
});

const refusedHeads: readonly (readonly [what: string, fields: Fields])[] = [
  ...["\r", "\n", "\0", " ", ":"].flatMap((odd): (readonly [string, Fields])[] => [
    [`${JSON.stringify(odd)} in a name`, [...get, [`x${odd}y`, "v"]]],
    ...(odd === " " || odd === ":"
      ? []
      : [[`${JSON.stringify(odd)} in a value`, [...get, ["x", `v${odd}w`]]] as const]),
    ...get.map(([name], at): readonly [string, Fields] => [
      `${JSON.stringify(odd)} in ${name}`,
      get.map(([each, value], i) => [
        each,
        i !== at ? value : name === ":path" ? `/a${odd === ":" ? "\0" : odd}b` : `a${odd}b`,
      ]),
    ]),
  ]),
  ["an upper-case name", [...get, ["X-Y", "v"]]],
  ["an empty name", [...get, ["", "v"]]],
  ["transfer-encoding", [...get, ["transfer-encoding", "chunked"]]],
  ["connection", [...get, ["connection", "close"]]],
  ["content-length twice", [...post, ["content-length", "1"], ["content-length", "2"]]],
  ["content-length without a body", [...post, ["content-length", "3"]]],
  ["host against :authority", [...get, ["host", "b.example"]]],
  ...["", "svc/Method", "*", "http://a.example/", "a"].map((path): readonly [string, Fields] => [
    `:path ${JSON.stringify(path)}`,
    get.map(([name, value]) => [name, name === ":path" ? path : value]),
  ]),
  ...["a@b", "user:pw@a", "a:99999", ":80", "a:b", "[::1", "a/b", "a b", "a,b"].map(
    (host): readonly [string, Fields] => [
      `:authority ${JSON.stringify(host)}`,
      get.map(([name, value]) => [name, name === ":authority" ? host : value]),
    ],
  ),
];

attack("requests that would be read otherwise further on are refused before anything", async (t) => {
  const seen = app.count();
  for (const [what, fields] of refusedHeads) {
    using raw = await openRaw(ports.tls, { tls: true });
    await raw.send(headersFrame(1, fields));
    await raw.until(() => raw.count(FRAME.rstStream) + raw.count(FRAME.headers) > 0 || raw.goaway() !== undefined);
    assert.equal(raw.count(FRAME.headers), 0, what);
  }
  for (const body of ["12", "1234"]) {
    using raw = await openRaw(ports.tls, { tls: true });
    await raw.send(
      Buffer.concat([headersFrame(1, [...post, ["content-length", "3"]], false), dataFrame(1, body, true)]),
    );
    await raw.until(() => raw.count(FRAME.rstStream) > 0);
    assert.equal(raw.count(FRAME.rstStream), 1);
  }
  t.diagnostic(`${refusedHeads.length + 2} requests, ${app.count() - seen} at the application`);
  assert.equal(app.count(), seen);
  assert.ok((await sidecar.stat("http2.rx_messaging_error")) >= refusedHeads.length);
});

attack("h2c by upgrade, and CONNECT where none is configured, make no tunnel", async () => {
  const address = `127.0.0.1:${ports.tls === 0 ? 0 : ports.plain}`;
  const asked = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
  const upgrade = await sendRaw(address, `GET / HTTP/1.1\r\nhost: a\r\n${asked}\r\n`, { graceMs: 300 });
  assert.notEqual(upgrade.status, 101);
  const connect = await sendRaw(address, "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\nGET / HTTP/1.1\r\n\r\n", {
    graceMs: 300,
  });
  assert.ok(connect.status >= 400, String(connect.status));
  using raw = await openRaw(ports.plain);
  const fields: Fields = [
    [":method", "CONNECT"],
    [":authority", "a:80"],
  ];
  await raw.send(headersFrame(1, fields, false));
  await raw.until(() => raw.count(FRAME.headers) > 0);
  assert.equal(raw.count(FRAME.headers), 1);
});
