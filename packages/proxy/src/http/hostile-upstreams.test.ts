import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const ask = (port: number, body = ""): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`),
    );
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });

const requests = 50;

/** How the upstream treats each attempt, and the status that its clients get in the end. */
const storms: readonly (readonly [string, (socket: Socket) => void, RegExp])[] = [
  ["resets", (socket) => void socket.resetAndDestroy(), /^HTTP\/1\.1 50[23] /],
  ["answers too late", () => {}, /^HTTP\/1\.1 504 /],
];

for (const [name, treat, end] of storms) {
  test(`an upstream that ${name} every time is asked a fifth more, not many times more`, async () => {
    const asked: Socket[] = [];
    let attempts = 0;
    await using app = await openServer((socket) =>
      socket.on("data", () => {
        attempts++;
        // All of them are in flight before the first one fails.
        if (attempts > requests) treat(socket);
        else if (asked.push(socket) === requests) for (const each of asked) treat(each);
      }),
    );
    await using all = openPlane();
    const budget = { budgetPercent: { value: 20 }, minRetryConcurrency: 1 };
    const retryPolicy = { retryOn: "5xx,reset,connect-failure", numRetries: 5, perTryTimeout: "1s" };
    await all.put(
      cluster("app", [app.port], { circuitBreakers: { thresholds: [{ retryBudget: budget }] } }),
      routes([toCluster("app", { timeout: "4s", retryPolicy })]),
      listener("in", [hcm()]),
    );
    const answers = await Promise.all(Array.from({ length: requests }, () => ask(all.portOf("in"))));
    for (const answer of answers) assert.match(answer, end);
    assert.ok(attempts <= requests * 1.2 + 5, `${attempts} attempts for ${requests} requests`);
    const { counters, load } = all.plane.clusters()[0] ?? assert.fail();
    assert.ok(counters.upstreamRqRetryOverflow > 0);
    assert.deepEqual([load.retries, load.requests, load.pendingRequests], [0, 0, 0]);
  });
}

const ok = (socket: Socket): void => {
  socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
};

/** How a mirror may be: nobody there, one that cuts, one that never reads, one that answers with nonsense without end. */
const mirrors: readonly (readonly [string, ((socket: Socket) => void) | undefined])[] = [
  ["is not there", undefined],
  ["cuts every connection", (socket) => void socket.resetAndDestroy()],
  ["never reads", (socket) => void socket.pause()],
  ["answers nonsense", (socket) => void socket.on("data", () => socket.write("\0".repeat(100_000)))],
  ["answers first", (socket) => void socket.write("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")],
];

for (const [name, treat] of mirrors) {
  test(`a mirror that ${name} costs nobody an answer, and holds no more requests than its limit`, async () => {
    await using app = await openServer(ok);
    await using shadow = await openServer(treat ?? (() => {}));
    if (treat === undefined) await new Promise((resolve) => shadow.server.close(resolve));
    await using all = openPlane();
    await all.put(
      cluster("app", [app.port]),
      cluster("shadow", [shadow.port], {
        circuitBreakers: { thresholds: [{ maxRequests: 3, maxPendingRequests: 3 }] },
      }),
      routes([toCluster("app", { requestMirrorPolicies: [{ cluster: "shadow" }, { cluster: "shadow" }] })]),
      listener("in", [hcm()]),
    );
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => ask(all.portOf("in"), "x".repeat(i * 4000))),
    );
    for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 200 /);
    const own = all.plane.clusters().find((each) => each.name === "shadow") ?? assert.fail();
    assert.ok(own.load.requests <= 3, `${own.load.requests} requests`);
    assert.ok(own.load.connections <= 6, `${own.load.connections} connections`);
    assert.deepEqual(all.plane.clusters().find((each) => each.name === "app")?.load.requests, 0);
  });
}

test("more internal redirects than a few, which could go round for ever, are refused by their name", async () => {
  await using all = openPlane();
  for (const action of [
    { internalRedirectPolicy: { maxInternalRedirects: 4_000_000_000 } },
    { internalRedirectAction: "HANDLE_INTERNAL_REDIRECT", maxInternalRedirects: 9 },
  ]) {
    const rejections = all.plane.apply([routes([toCluster("app", action)])]);
    assert.match(JSON.stringify(rejections), /internalRedirect/);
  }
});
