/** A replica that is slow now and then: requests do not wait for it, and the others get little more to do. */
import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { realClock } from "@weft/net/clock";
import { callHttp } from "@weft/testkit/http-call";
import type { Cluster } from "../clusters/cluster.ts";
import { ClusterTimes } from "../clusters/cluster-times.ts";
import type { RetryPolicy, Route } from "../routing/route.ts";
import { cluster, hcm, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";
import { EarlyHedge } from "./early-hedge.ts";
import type { Exchange } from "./exchange.ts";
import { Retries } from "./retries.ts";
import { createRetryMemory, RetryChain } from "./retry-chain.ts";

/** Answers at once, except to those asks, which wait until they are let go. */
const openReplica = async (waits: (ask: number) => boolean) => {
  const held = new Set<ServerResponse>();
  let asked = 0;
  let gone = 0;
  const methods: string[] = [];
  const server = createServer((request, response) => {
    methods.push(request.method ?? "");
    if (!waits(asked++)) {
      response.end("at once");
      return;
    }
    held.add(response);
    response.once("close", () => {
      if (held.delete(response)) gone++;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked: () => asked,
    askedBy: (method: string) => methods.filter((one) => one === method).length,
    held: () => held.size,
    /** Requests that were given up while they waited. */
    gone: () => gone,
    release: () => {
      for (const response of held) {
        held.delete(response);
        response.end("late");
      }
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

const usual = { percentile: 95, minDelayMs: 20, maxExtraPercent: 5 };
const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
};

interface Told {
  readonly hedging?: object;
  readonly waits: (ask: number) => boolean;
  /** All replicas wait so. */
  readonly all?: boolean;
}

const open = async ({ hedging = usual, waits, all: allWait = false }: Told) => {
  const stack = new AsyncDisposableStack();
  const slow = stack.use(await openReplica(waits));
  const othersWait = allWait ? waits : () => false;
  const others = [stack.use(await openReplica(othersWait)), stack.use(await openReplica(othersWait))];
  const all = stack.use(openPlane());
  const retryHostPredicate = [{ name: "envoy.retry_host_predicates.previous_hosts" }];
  const policy = { retryOn: "connect-failure", numRetries: 2, retryHostPredicate, hostSelectionRetryMaxAttempts: "5" };
  const host = toCluster("app", { timeout: "0s", retryPolicy: policy });
  const metadata = { filterMetadata: { weft: { hedging: hedging as never } } };
  await all.put(
    cluster("app", [slow.port, ...others.map(({ port }) => port)]),
    routes([{ ...host, routes: (host.routes ?? []).map((route) => ({ ...route, metadata })) }]),
    listener("in", [hcm()]),
  );
  const at = `127.0.0.1:${all.portOf("in")}`;
  const ask = (method = "GET") => callHttp(at, { method, timeoutMs: 60_000 });
  const asked = (): number => [slow, ...others].reduce((sum, one) => sum + one.asked(), 0);
  const { load, counters } = all.plane.clusters()[0] ?? assert.fail();
  const askedBy = (method: string): number => [slow, ...others].reduce((sum, one) => sum + one.askedBy(method), 0);
  return { slow, others, asked, askedBy, ask, load, counters, [Symbol.asyncDispose]: () => stack.disposeAsync() };
};

/** Replicas that answer at once until they are made to wait. */
const fromNowOn = () => {
  let waiting = false;
  return {
    waits: () => waiting,
    wait: () => {
      waiting = true;
    },
  };
};

/** Learns what is usual: the slow replica is not slow yet. */
const learn = async (ask: () => Promise<unknown>, count = 150): Promise<void> => {
  for (let i = 0; i < count; i++) await ask();
};

test("one slow replica of three: no answer waits for it, and all replicas together get at most 5 % more to do", async () => {
  // One in ten of its answers, so one in thirty of all.
  await using all = await open({ waits: (ask) => ask >= 50 && ask % 10 === 9 });
  await learn(all.ask);
  const before = all.asked();
  const asks = 300;
  for (let i = 0; i < asks; i++) assert.equal((await all.ask()).body, "at once");
  const extra = all.asked() - before - asks;
  assert.ok(extra >= 8, `the slow replica was met: ${extra}`);
  assert.ok((before + asks) * 0.05 >= all.asked() - 150 - asks, `${all.asked()}`);
  await until(() => all.slow.gone() >= 8);
  assert.deepEqual([all.slow.held(), all.load.requests, all.load.retries], [0, 0, 0]);
});

test("without hedging each of those waits until the replica answers", async () => {
  await using all = await open({
    hedging: { ...usual, maxExtraPercent: 0 },
    waits: (ask) => ask >= 50 && ask % 10 === 9,
  });
  await learn(all.ask);
  const answers = Array.from({ length: 60 }, () => all.ask());
  await until(() => all.asked() === 210 && all.load.requests === all.slow.held());
  const stuck = all.slow.held();
  assert.ok(stuck >= 2, String(stuck));
  all.slow.release();
  const bodies = (await Promise.all(answers)).map(({ body }) => body);
  assert.equal(bodies.filter((body) => body === "late").length, stuck);
});

test("a replica that answers nothing is not hidden: beyond the share requests wait, and every answer comes", async () => {
  const { waits, wait } = fromNowOn();
  await using all = await open({ waits });
  await learn(all.ask);
  const before = all.asked();
  wait();
  const asks = 90;
  const answers = Array.from({ length: asks }, () => all.ask());
  const most = Math.floor((before + asks) * 0.05);
  await until(() => all.asked() >= before + asks && all.load.requests === all.slow.held());
  assert.ok(all.asked() - before - asks <= most, `${all.asked()} for ${asks}`);
  all.slow.release();
  for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
  await until(() => all.load.requests === 0);
  assert.equal(all.load.retries, 0);
});

test("the first try may still win, and took as long as it took", async () => {
  const { waits, wait } = fromNowOn();
  await using all = await open({ waits, all: true });
  await learn(all.ask);
  wait();
  const answer = all.ask();
  const waiting = () => [all.slow, ...all.others].filter((replica) => replica.held() === 1);
  await until(() => waiting().length > 0);
  const [first] = waiting();
  await until(() => waiting().length === 2);
  first?.release();
  const { body, headers } = await answer;
  assert.equal(body, "late");
  assert.ok(Number(headers["x-envoy-upstream-service-time"]) >= usual.minDelayMs);
  await until(() => waiting().length === 0);
  assert.deepEqual([all.load.requests, all.load.retries], [0, 0]);
});

for (const method of ["POST", "PUT"]) {
  test(`a ${method} has no second try beside a slow one, while a GET that came after it has`, async () => {
    const { waits, wait } = fromNowOn();
    await using all = await open({ waits });
    await learn(all.ask);
    wait();
    const answers = Array.from({ length: 3 }, () => all.ask(method));
    await until(() => all.slow.held() === 1);
    await learn(all.ask, 3);
    assert.ok(all.counters.upstreamRqRetry >= 1, "time has passed for the one that waits too");
    await until(() => all.slow.held() === 1);
    assert.equal(all.askedBy(method), 3);
    all.slow.release();
    await Promise.all(answers);
  });
}

test("only where nobody bounds tries and another may be made is one begun beside a slow one", () => {
  const waits = (policy: Partial<RetryPolicy>, of: Partial<Cluster> = {}, method = "GET"): boolean => {
    const times = new ClusterTimes("app", undefined);
    for (let i = 0; i < 60; i++) times.hedgePace.took(3);
    const target = { discovery: { kind: "static" }, times, ...of } as Cluster;
    const retries = new Retries({ random: () => 0, clock: realClock, retryChain: new RetryChain(createRetryMemory()) });
    retries.begin({ attempts: 2, ...policy } as RetryPolicy, target, {} as Route, { startMs: 0 } as Exchange);
    const early = new EarlyHedge(retries);
    early.begin(usual, method, target);
    return early.waitMs() > 0;
  };
  assert.ok(waits({}));
  for (const policy of [{ attempts: 0 }, { perTryTimeoutMs: 500 }, { perTryIdleTimeoutMs: 500 }])
    assert.equal(waits(policy), false, JSON.stringify(policy));
  assert.equal(waits({}, { byHash: true }), false);
  assert.equal(waits({}, { times: new ClusterTimes("app", undefined) }), false);
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "CONNECT"])
    assert.equal(waits({}, {}, method), false, method);
});

for (const [wrong, field] of [
  [{ ...usual, percentile: 10 }, "percentile"],
  [{ ...usual, percentile: "95" }, "percentile"],
  [{ ...usual, minDelayMs: -1 }, "minDelayMs"],
  [{ ...usual, maxExtraPercent: 101 }, "maxExtraPercent"],
  ["much", "percentile"],
] as const) {
  test(`${JSON.stringify(wrong)} is refused`, async () => {
    const { compileHedging } = await import("../routing/hedging.ts");
    assert.throws(() => compileHedging({ weft: { hedging: wrong } } as never, "m"), new RegExp(`hedging\\.${field}`));
  });
}
