import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { realClock } from "@weft/net/clock";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { DataPlaneTools } from "../runtime/create-data-plane.ts";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

/** Answers each request with the next status of the list; a negative one cuts the connection, 0 says nothing. */
const openScripted = async (script: readonly number[]) => {
  const bodies: string[] = [];
  const patience: number[] = [];
  let at = 0;
  const server = await openServer((socket) => {
    let held = "";
    socket.on("data", (bytes) => {
      held += bytes.toString();
      const head = held.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/.exec(held)?.[1] ?? 0);
      if (held.length < head + 4 + length) return;
      bodies.push(`${/x-envoy-attempt-count: (\d+)/.exec(held)?.[1] ?? "-"} ${held.slice(head + 4)}`);
      patience.push(Number(/x-envoy-expected-rq-timeout-ms: (\d+)/.exec(held)?.[1] ?? 0));
      held = "";
      const status = script[Math.min(at++, script.length - 1)] ?? 200;
      if (status < 0) socket.destroy();
      else if (status > 0) socket.write(`HTTP/1.1 ${status} X\r\ncontent-length: 2\r\n\r\nok`);
    });
    socket.on("end", () => socket.end());
  });
  return Object.assign(server, { bodies, patience });
};

const openAll = async (
  port: number,
  action: object,
  fields: Partial<ClusterJson> = {},
  tools: Partial<DataPlaneTools> = {},
) => {
  const all = openPlane(tools);
  const log = {
    accessLog: [
      {
        name: "log",
        typedConfig: {
          "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
          path: "/dev/stdout",
          logFormat: {
            textFormatSource: { inlineString: "%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n" },
          },
        },
      },
    ],
  };
  await all.put(
    cluster("app", [port], fields),
    routes([{ ...toCluster("app", action), includeRequestAttemptCount: true }]),
    listener("in", [hcm(log)]),
  );
  return all;
};

const ask = async (port: number, body = ""): Promise<string> => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  socket.write(`POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  let got = "";
  socket.on("data", (bytes) => {
    got += bytes.toString();
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return got;
};

const retryPolicy = { retryOn: "5xx,connect-failure", numRetries: 2, retryBackOff: { baseInterval: "0.001s" } };

test("a failed answer is asked for again with the same body", async () => {
  await using app = await openScripted([503, -1, 200]);
  await using all = await openAll(app.port, { retryPolicy });
  assert.match(await ask(all.portOf("in"), "hello"), /^HTTP\/1\.1 200/);
  assert.deepEqual(app.bodies, ["1 hello", "2 hello", "3 hello"]);
  const { counters, load } = all.plane.clusters()[0] ?? assert.fail();
  assert.equal(counters.upstreamRqRetry, 2);
  assert.equal(counters.upstreamRqRetrySuccess, 1);
  assert.equal(load.retries, 0);
  assert.equal(all.logLines[0], "200 - 3\n");
});

test("when retries are used up the last answer goes through, marked URX", async () => {
  await using app = await openScripted([503]);
  await using all = await openAll(app.port, { retryPolicy });
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 503 [\s\S]*ok$/);
  assert.equal(app.bodies.length, 3);
  assert.equal(all.logLines[0], "503 URX 3\n");
});

test("what the policy does not name is not asked for again", async () => {
  await using app = await openScripted([404, 200]);
  await using all = await openAll(app.port, { retryPolicy });
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 404/);
  assert.equal(app.bodies.length, 1);
});

test("a body larger than what is kept is sent once", async () => {
  await using app = await openScripted([503, 200]);
  await using all = await openAll(app.port, { retryPolicy });
  assert.match(await ask(all.portOf("in"), "x".repeat(200_000)), /^HTTP\/1\.1 503/);
  assert.equal(app.bodies.length, 1);
});

test("each try has its own time, within the time of the whole", async () => {
  await using app = await openScripted([0, 200]);
  await using all = await openAll(app.port, { retryPolicy: { ...retryPolicy, perTryTimeout: "0.05s" } });
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 200/);
  assert.equal(all.plane.clusters()[0]?.counters.upstreamRqPerTryTimeout, 1);
  await using mute = await openScripted([0]);
  await using other = await openAll(mute.port, {
    timeout: "0.1s",
    retryPolicy: { ...retryPolicy, perTryTimeout: "0.04s" },
  });
  assert.match(await ask(other.portOf("in")), /^HTTP\/1\.1 504/);
});

/** A clock that the test can put forward. */
const openClock = () => {
  let ahead = 0;
  return {
    clock: { ...realClock, nowMs: () => realClock.nowMs() + ahead },
    forward: (ms: number) => {
      ahead += ms;
    },
  };
};

test("a later try is told what is left of the whole request's time", async () => {
  const { clock, forward } = openClock();
  await using app = await openScripted([503, 200]);
  app.server.once("connection", () => forward(4000));
  await using all = await openAll(app.port, { retryPolicy, timeout: "15s" }, {}, { clock });
  assert.match(await ask(all.portOf("in"), "hello"), /^HTTP\/1\.1 200/);
  const [first, second = 0] = app.patience;
  assert.equal(first, 15_000);
  assert.ok(second <= 11_000 && second > 6_000, String(second));
});

test("a try with a time of its own is told that, or what is left of the whole where that is less", async () => {
  const { clock, forward } = openClock();
  await using app = await openScripted([503, 503, 200]);
  const perTry = { timeout: "15s", retryPolicy: { ...retryPolicy, perTryTimeout: "10s" } };
  await using all = await openAll(app.port, perTry, {}, { clock });
  let connections = 0;
  app.server.on("connection", (socket) => socket.on("data", () => forward(++connections === 2 ? 8000 : 0)));
  assert.match(await ask(all.portOf("in"), "hello"), /^HTTP\/1\.1 200/);
  const [first, second, third = 0] = app.patience;
  assert.deepEqual([first, second], [10_000, 10_000]);
  assert.ok(third <= 7_000 && third > 2_000, String(third));
});

test("retries beyond the cluster's limit do not happen", async () => {
  await using app = await openScripted([503]);
  await using all = await openAll(app.port, { retryPolicy }, { circuitBreakers: { thresholds: [{ maxRetries: 0 }] } });
  await ask(all.portOf("in"));
  assert.equal(app.bodies.length, 1);
  assert.equal(all.plane.clusters()[0]?.counters.upstreamRqRetryOverflow, 1);
  assert.equal(all.logLines[0], "503 UO 1\n");
});

test("connections, waiting requests and requests are bounded, and what is over is answered at once", async () => {
  await using app = await openScripted([0]);
  await using all = await openAll(
    app.port,
    {},
    { circuitBreakers: { thresholds: [{ maxConnections: 1, maxPendingRequests: 1 }] } },
  );
  const port = all.portOf("in");
  const open = async () => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await once(socket, "connect");
    return socket;
  };
  const first = await open();
  const upstream = all.plane.clusters()[0] ?? assert.fail();
  await once(app.server, "connection");
  const second = await open();
  const third = await ask(port);
  assert.match(third, /^HTTP\/1\.1 503 [\s\S]*x-envoy-overloaded: true[\s\S]*reset reason: overflow$/);
  assert.equal(upstream.load.connections, 1);
  assert.equal(upstream.load.pendingRequests, 1);
  first.destroy();
  second.destroy();
  await all.plane.close();
  assert.equal(upstream.load.pendingRequests, 0);
  assert.equal(upstream.load.requests, 0);
});

test("more requests than the cluster takes are answered with UO", async () => {
  await using app = await openScripted([200]);
  await using all = await openAll(app.port, {}, { circuitBreakers: { thresholds: [{ maxRequests: 0 }] } });
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 503/);
  assert.equal(all.logLines[0], "503 UO 1\n");
});

test("requests are mirrored without anybody waiting for the mirror", async () => {
  await using app = await openScripted([200]);
  await using shadow = await openScripted([0]);
  await using all = await openAll(app.port, { requestMirrorPolicies: [{ cluster: "shadow" }] });
  await all.put(cluster("shadow", [shadow.port]));
  const arrived = once(shadow.server, "connection");
  assert.match(await ask(all.portOf("in"), "body"), /^HTTP\/1\.1 200/);
  await arrived;
  const [socket] = shadow.sockets;
  while (shadow.bodies.length === 0) await once(socket ?? assert.fail(), "data");
  assert.match(shadow.bodies[0] ?? "", / body$/);
});
