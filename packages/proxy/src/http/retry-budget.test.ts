/** The budget a route gives to retries nobody wrote: it counts what may have been executed, and nothing else. */
import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { cluster, hcm, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";

const requests = 40;
const unlimited = 4_294_967_295;

interface Told {
  readonly retryOn: string;
  readonly retryBudget?: { readonly percent: number; readonly atLeast: number };
  readonly thresholds?: object;
  readonly dead?: boolean;
}

/** An application that answers 503 to all it was asked at once, or 200; and a plane that forwards to it. */
const open = async (status: number, { retryOn, retryBudget, thresholds, dead }: Told) => {
  let asked = 0;
  const held: ServerResponse[] = [];
  const app = createServer((_, response) => {
    response.statusCode = status;
    held.push(response);
    if (++asked >= requests) for (const each of held.splice(0)) each.end();
  });
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  const { port } = app.address() as AddressInfo;
  const all = openPlane();
  const retryHostPredicate = [{ name: "envoy.retry_host_predicates.previous_hosts" }];
  const host = toCluster("app", { retryPolicy: { retryOn, numRetries: 2, retryHostPredicate } });
  const metadata = { filterMetadata: retryBudget ? { weft: { retryBudget } } : {} };
  await all.put(
    cluster("app", dead ? [await findFreePort("127.0.0.1", 0), port] : [port], {
      circuitBreakers: { thresholds: [{ maxRetries: unlimited, ...thresholds }] },
    }),
    routes([{ ...host, routes: (host.routes ?? []).map((route) => ({ ...route, metadata })) }]),
    listener("in", [hcm()]),
  );
  const statuses = async (): Promise<readonly number[]> => {
    const at = `127.0.0.1:${all.portOf("in")}`;
    return (await Promise.all(Array.from({ length: requests }, () => callHttp(at, {})))).map((one) => one.status);
  };
  return {
    statuses,
    asked: () => asked,
    cluster: () => all.plane.clusters()[0] ?? assert.fail(),
    [Symbol.asyncDispose]: async () => {
      await all.plane.close();
      app.closeAllConnections();
      app.close();
    },
  };
};

const budget = { percent: 20, atLeast: 1 };

test("requests that reached nobody are all tried elsewhere, whatever the budget", async () => {
  await using all = await open(200, { retryOn: "connect-failure", retryBudget: budget, dead: true });
  assert.deepEqual(new Set(await all.statuses()), new Set([200]));
  assert.ok(all.cluster().counters.upstreamRqRetry > requests / 4);
  assert.equal(all.cluster().load.retries, 0);
});

test("requests that may have been executed are repeated within it", async () => {
  await using all = await open(503, { retryOn: "5xx", retryBudget: budget });
  assert.deepEqual(new Set(await all.statuses()), new Set([503]));
  assert.ok(all.asked() <= requests * 1.2 + 5, `${all.asked()} for ${requests}`);
  assert.ok(all.cluster().counters.upstreamRqRetryOverflow >= requests - 10);
  assert.equal(all.cluster().load.retries, 0);
});

test("without one, everything is repeated", async () => {
  await using all = await open(503, { retryOn: "5xx" });
  await all.statuses();
  assert.equal(all.asked(), requests * 3);
});

for (const [what, thresholds] of [
  ["a budget", { retryBudget: { budgetPercent: { value: 100 }, minRetryConcurrency: requests } }],
  ["a number", { maxRetries: requests }],
] as const) {
  test(`${what} of the cluster's own holds instead`, async () => {
    await using all = await open(503, { retryOn: "5xx", retryBudget: { percent: 0, atLeast: 0 }, thresholds });
    await all.statuses();
    assert.equal(all.asked(), requests * 3);
  });
}

test("a budget of the cluster's own counts as Envoy does: also what reached nobody", async () => {
  const thresholds = { maxRetries: 1 };
  await using all = await open(200, { retryOn: "connect-failure", retryBudget: budget, thresholds, dead: true });
  // Whoever waits at the application is let go by those that were refused.
  void all.statuses().catch(() => {});
  const { counters } = all.cluster();
  await eventually("a retry is refused", async () => (counters.upstreamRqRetryOverflow > 0 ? true : undefined));
});

for (const [wrong, field] of [
  [{ percent: 101, atLeast: 1 }, "percent"],
  [{ percent: "5", atLeast: 1 }, "percent"],
  [{ percent: 5 }, "atLeast"],
  [{ percent: 5, atLeast: -1 }, "atLeast"],
  ["much", "percent"],
] as const) {
  test(`${JSON.stringify(wrong)} is refused`, async () => {
    const { compileRetryBudget } = await import("../routing/retry-budget.ts");
    const metadata = { weft: { retryBudget: wrong } } as never;
    assert.throws(() => compileRetryBudget(metadata, "routes[0].metadata"), new RegExp(`retryBudget\\.${field}`));
  });
}
