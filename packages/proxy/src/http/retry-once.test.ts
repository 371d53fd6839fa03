/** Retries nobody wrote are made neither of retries nor of what was repeated further on; those somebody wrote are. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { callHttp } from "@weft/testkit/http-call";
import { cluster, hcm, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";
import { createRetryMemory, RetryChain } from "./retry-chain.ts";

interface Told {
  readonly unwritten?: boolean;
  /** The application's answer says that what failed is further on. */
  readonly marked?: boolean;
  readonly dead?: boolean;
}

/** Clients may steer the proxy, and the ids they give stay. */
const inside = {
  internalAddressConfig: { cidrRanges: [{ addressPrefix: "127.0.0.0", prefixLen: 8 }] },
  useRemoteAddress: true,
  preserveExternalRequestId: true,
};

/** A proxy before an application that fails, and what it knows of retries. */
const open = async ({ unwritten = true, marked = false, dead = false }: Told = {}) => {
  let asked = 0;
  const app = createServer((_, response) => {
    asked++;
    response.statusCode = dead ? 200 : 503;
    if (marked) response.setHeader("x-weft-retried", "true");
    response.end();
  });
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  const { port } = app.address() as AddressInfo;
  const retryMemory = createRetryMemory();
  const all = openPlane({ retryMemory });
  const retryHostPredicate = [{ name: "envoy.retry_host_predicates.previous_hosts" }];
  const host = toCluster("app", { retryPolicy: { retryOn: "5xx", numRetries: 2, retryHostPredicate } });
  const weft = { unwrittenRetries: unwritten, retryBudget: { percent: 100, atLeast: 100 } };
  const metadata = { filterMetadata: { weft } };
  await all.put(
    cluster("app", dead ? [await findFreePort("127.0.0.1", 0), port] : [port]),
    routes([{ ...host, routes: (host.routes ?? []).map((route) => ({ ...route, metadata })) }]),
    listener("in", [hcm(inside)]),
  );
  const at = `127.0.0.1:${all.portOf("in")}`;
  const timesAsked = async (headers: Readonly<Record<string, string>> = {}): Promise<number> => {
    asked = 0;
    await callHttp(at, { headers });
    return asked;
  };
  return {
    at,
    timesAsked,
    chain: new RetryChain(retryMemory),
    counters: () => (all.plane.clusters()[0] ?? assert.fail()).counters,
    [Symbol.asyncDispose]: async () => {
      await all.plane.close();
      app.closeAllConnections();
      app.close();
    },
  };
};

const retry = { "x-request-id": "retry" };

test("a request of a retry's id is not repeated; others are", async () => {
  await using all = await open();
  assert.equal(await all.timesAsked(retry), 3);
  all.chain.noteRetry("retry", performance.now());
  assert.equal(await all.timesAsked(retry), 1);
  assert.equal(await all.timesAsked({ "x-request-id": "first" }), 3);
  assert.equal(await all.timesAsked(), 3);
});

test("what was repeated further on is not repeated here", async () => {
  await using all = await open({ marked: true });
  assert.equal(await all.timesAsked(), 1);
});

test("what a user wrote, or the request itself asks for, is repeated all the same", async () => {
  await using written = await open({ unwritten: false, marked: true });
  written.chain.noteRetry("retry", performance.now());
  assert.equal(await written.timesAsked(retry), 3);
  await using all = await open({ marked: true });
  all.chain.noteRetry("retry", performance.now());
  assert.equal(await all.timesAsked({ ...retry, "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "1" }), 2);
});

test("a retry that reached nobody is tried elsewhere", async () => {
  await using all = await open({ dead: true });
  all.chain.noteRetry("retry", performance.now());
  for (let i = 0; i < 8; i++) assert.equal((await callHttp(all.at, { headers: retry })).status, 200);
  assert.ok(all.counters().upstreamRqRetry > 0);
});
