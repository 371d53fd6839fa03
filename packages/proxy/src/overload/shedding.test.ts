/** What clients meet when there is too little of something. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { setRealTimer } from "@weft/net/clock";
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
import { memoryResource, type OverloadAction, type OverloadSettings } from "./overload-settings.ts";

const settings = (actions: readonly OverloadAction[], connectionsMax = 1000): OverloadSettings => ({
  refreshMs: 5,
  resources: [{ kind: "memory", name: memoryResource, limitBytes: 1 }],
  triggers: new Map(actions.map((action) => [action, [{ resource: memoryResource, from: 0.9, to: 0.9 }]])),
  connectionsMax,
});

/** A proxy to an application that answers everything, over its limit from its first measurement on. */
const openAll = async (
  actions: readonly OverloadAction[],
  more: { connectionsMax?: number; bypass?: boolean } = {},
) => {
  const app = await openServer((socket) =>
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
  );
  const overload = { settings: settings(actions, more.connectionsMax), memoryLimitBytes: undefined };
  const all = openPlane({ overload });
  const accessLog = [
    {
      name: "envoy.access_loggers.stdout",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        logFormat: { textFormatSource: { inlineString: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%" } },
      },
    },
  ];
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app")]),
    listener("in", [hcm({ accessLog })]),
    listener("probes", [hcm()], { bypassOverloadManager: true }),
  );
  const pressed = (): boolean => all.stats.gauge(`overload.${memoryResource}.pressure`).value > 90;
  while (!pressed()) await new Promise((resolve) => setTimeout(resolve, 2));
  return {
    ...all,
    upstreamRequests: () => all.plane.clusters()[0]?.counters.upstreamRqTotal,
    [Symbol.asyncDispose]: async () => {
      await all.plane.close();
      await app[Symbol.asyncDispose]();
    },
  };
};

const ask = (port: number, fields = ""): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(`GET / HTTP/1.1\r\nhost: a\r\n${fields}\r\n`));
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (/\r\n\r\n.*(ok|overloaded)$/s.test(text)) socket.end();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });

test("a request is answered 503 with the time to come back, is logged so, and reaches no upstream", async () => {
  await using all = await openAll(["envoy.overload_actions.stop_accepting_requests"]);
  const answer = await ask(all.portOf("in"));
  assert.match(answer, /^HTTP\/1\.1 503 /);
  assert.match(answer, /\r\nretry-after: 1\r\n/);
  assert.match(answer, /envoy overloaded$/);
  assert.deepEqual(all.logLines, ["503 OM overload"]);
  assert.equal(all.upstreamRequests(), 0);
  assert.equal(all.stats.counter("http.test.downstream_rq_overload_close").value, 1);
});

test("a gRPC call is UNAVAILABLE", async () => {
  await using all = await openAll(["envoy.overload_actions.stop_accepting_requests"]);
  const client = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  const call = client.request({ ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc" });
  const [headers] = (await once(call, "response")) as [Record<string, string>];
  assert.equal(headers["grpc-status"], "14");
  client.destroy();
});

test("a listener for probes answers whatever the pressure", async () => {
  await using all = await openAll([
    "envoy.overload_actions.stop_accepting_requests",
    "envoy.overload_actions.reject_incoming_connections",
  ]);
  assert.match(await ask(all.portOf("probes"), "connection: close\r\n"), /^HTTP\/1\.1 200 /);
});

test("connections end after their request: Connection: close in HTTP/1, GOAWAY in HTTP/2", async () => {
  await using all = await openAll(["envoy.overload_actions.disable_http_keepalive"]);
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/s);
  const client = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  const goaway = once(client, "goaway");
  const stream = client.request({ ":path": "/" });
  stream.resume();
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  assert.equal(headers[":status"], 200);
  await goaway;
  client.destroy();
  assert.equal(all.stats.counter("http.test.downstream_cx_overload_disable_keepalive").value, 2);
});

test("new connections are closed at once, those that stand go on", async () => {
  await using all = await openAll(["envoy.overload_actions.stop_accepting_connections"]);
  assert.equal(await ask(all.portOf("in")).catch(() => ""), "");
  assert.ok(all.stats.counter("overload.downstream_cx_overflow").value >= 1);
});

test("the bound on connections counts all listeners together, and a place that is given up is free again", async () => {
  await using all = await openAll([], { connectionsMax: 1 });
  const first = connect(all.portOf("in"), "127.0.0.1");
  await once(first, "connect");
  while (all.stats.gauge("overload.downstream_cx_active").value < 1) await new Promise(setImmediate);
  assert.equal(await ask(all.portOf("in")).catch(() => ""), "");
  first.destroy();
  while (all.stats.gauge("overload.downstream_cx_active").value > 0) await new Promise(setImmediate);
  assert.match(await ask(all.portOf("in"), "connection: close\r\n"), /^HTTP\/1\.1 200 /);
});

/** A client's socket and what has come of it. */
const open = async (port: number, bytes: string) => {
  const socket = connect(port, "127.0.0.1");
  const state = { text: "", over: false };
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    state.text += chunk;
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    state.over = true;
  });
  await once(socket, "connect");
  socket.write(bytes);
  return Object.assign(state, { socket });
};
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
};

/** A plane that is over its limit, and measures that only when told to. */
const openPressed = () => {
  const pressed = { ...settings(["envoy.overload_actions.reduce_timeouts"]), refreshMs: 77_777 };
  let measure = (): void => assert.fail("nothing is measured");
  const all = openPlane({
    overload: { settings: pressed, memoryLimitBytes: undefined },
    setTimer: (callback, ms) => {
      if (ms !== pressed.refreshMs) return setRealTimer(callback, ms);
      measure = callback;
      return { [Symbol.dispose]() {} };
    },
  });
  return Object.assign(all, { measure: () => measure() });
};

test("idle connections of clients and to hosts are closed; one with a request, and a probe's, stay", async () => {
  await using app = await openServer((socket) => {
    socket.on("end", () => socket.end());
    socket.on("data", (bytes) => {
      if (!bytes.includes("/slow")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  await using all = openPressed();
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app", { timeout: "0s" })]),
    listener("in", [hcm()]),
    listener("sniffs", [hcm()], {
      listenerFilters: [
        {
          name: "envoy.filters.listener.tls_inspector",
          typedConfig: any("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", {}),
        },
      ],
    }),
    listener("probes", [hcm()], { bypassOverloadManager: true }),
  );
  const count = () => all.plane.listeners().reduce((sum, { connections }) => sum + connections, 0);
  const busy = await open(all.portOf("in"), "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
  await until(() => app.sockets.size === 1);
  const probe = await open(all.portOf("probes"), "");
  const asked = await open(all.portOf("in"), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  const silent = [await open(all.portOf("in"), ""), await open(all.portOf("sniffs"), "")];
  const session = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  await once(session, "remoteSettings");
  await until(() => asked.text.endsWith("ok") && app.sockets.size === 2 && count() === 6);
  const goaway = once(session, "goaway");
  all.measure();
  await until(() => asked.over && silent.every(({ over }) => over) && app.sockets.size === 1);
  await goaway;
  assert.deepEqual([busy.over, probe.over], [false, false]);
  assert.equal(all.stats.counter("overload.downstream_cx_idle_closed").value, 4);
  assert.equal(all.stats.counter("overload.upstream_cx_idle_closed").value, 1);
  for (const { socket } of [busy, probe]) socket.destroy();
  session.destroy();
});

test("idle HTTP/2 connections to hosts are closed too", async () => {
  const server = createHttp2Server((_request, response) => response.end("ok"));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { readonly port: number };
  await using all = openPressed();
  await all.put(cluster("app", [port], http2Upstream), routes([toCluster("app")]), listener("in", [hcm()]));
  assert.match(await ask(all.portOf("in"), "connection: close\r\n"), /^HTTP\/1\.1 200 /);
  assert.equal(sessions.size, 1);
  all.measure();
  await until(() => sessions.size === 0);
  assert.equal(all.stats.counter("overload.upstream_cx_idle_closed").value, 1);
  await new Promise((resolve) => server.close(resolve));
});
