/** The main thread's side with threads of the test's making, and with real ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import { commonClockOffsetMs, type StartThread, startThread, type ThreadOptions } from "@weft/net/process/thread";
import { probeTcp } from "@weft/net/tcp/probe";
import { any } from "@weft/xds/resource";
import { createStats } from "../observe/create-stats.ts";
import { createOnDemand, type OnDemandDesk } from "../on-demand/on-demand.ts";
import type { Rejection, ResourceChange } from "../runtime/data-plane.ts";
import { cluster, hcm, listener, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";
import { createWorkersPlane } from "./workers-plane.ts";

const overload = {
  settings: { refreshMs: 1000, resources: [], triggers: new Map() },
  memoryLimitBytes: undefined,
} as const;

const open = (start: StartThread, workers: number, onDemand?: OnDemandDesk) => {
  const stats = createStats();
  const errors: string[] = [];
  let givenUp = 0;
  const plane = createWorkersPlane({
    workers,
    node: { id: "n", cluster: "c", metadata: {} },
    stats,
    log: { ...silentLogger, error: (_, fields) => errors.push(String(fields?.code)) },
    logFormat: "text",
    levels: () => new Map(),
    writeLine: () => undefined,
    clock: realClock,
    clockOffsetMs: commonClockOffsetMs(),
    overload: overload as never,
    random: Math.random,
    setTimer: setRealTimer,
    resolve: async () => [],
    onDemand,
    probe: ({ address, ipv6Only }) => probeTcp(address, ipv6Only),
    startThread: start,
    entry: new URL("../bin/worker.ts", import.meta.url),
    onGivenUp: () => givenUp++,
  });
  return { plane, stats, errors, givenUp: () => givenUp };
};

/** Threads that only write down what they are told; the test answers for them. */
const puppets = () => {
  const all: { options: ThreadOptions; told: ToWorker[]; say: (message: FromWorker) => void }[] = [];
  const start: StartThread = (options) => {
    const told: ToWorker[] = [];
    all.push({ options, told, say: (message) => options.onMessage(message) });
    return {
      post: (message) => told.push(message as ToWorker),
      kill: async () => options.onExit(undefined),
    };
  };
  return { all, start };
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const last = ({ told }: { readonly told: readonly ToWorker[] }): ToWorker => told.at(-1) ?? assert.fail("nothing told");
const batchOf = (message: ToWorker): number => ("batch" in message ? message.batch : assert.fail(message.kind));

test("a batch takes effect when all workers have compiled it, and is in force when all have put it in force", async () => {
  const { all, start } = puppets();
  const { plane } = open(start, 2);
  const [a, b] = all;
  assert.ok(a && b);
  a.say({ kind: "ready" });
  let inForce = false;
  assert.deepEqual(plane.apply([cluster("up", [1])]), []);
  void plane.inForce()?.then(() => {
    inForce = true;
  });
  await turn();
  assert.equal(a.told.length, 0, "nobody starts before all are up");
  b.say({ kind: "ready" });
  await turn();
  const batch = batchOf(last(a));
  assert.deepEqual([last(a).kind, last(b).kind], ["prepare", "prepare"]);
  a.say({ kind: "prepared", batch, rejections: [] });
  await turn();
  assert.equal(last(a).kind, "prepare");
  b.say({ kind: "prepared", batch, rejections: [] });
  await turn();
  assert.deepEqual(last(a), { kind: "commit", batch, except: [] });
  a.say({ kind: "committed", batch });
  await turn();
  assert.equal(inForce, false);
  b.say({ kind: "committed", batch });
  await turn();
  assert.equal(inForce, true);
  assert.equal(plane.inForce(), undefined);
  await plane.close();
});

test("a change one worker refuses is taken by none", async () => {
  const { all, start } = puppets();
  const { plane, errors } = open(start, 2);
  const [a, b] = all;
  assert.ok(a && b);
  for (const each of all) each.say({ kind: "ready" });
  plane.apply([cluster("up", [1]), cluster("other", [2])]);
  await turn();
  const batch = batchOf(last(a));
  const rejection: Rejection = { kind: "cluster", name: "up", reason: "no" };
  a.say({ kind: "prepared", batch, rejections: [] });
  b.say({ kind: "prepared", batch, rejections: [rejection] });
  await turn();
  for (const each of [a, b]) {
    assert.deepEqual(last(each), { kind: "commit", batch, except: ["cluster up"] });
    each.say({ kind: "committed", batch });
  }
  assert.deepEqual(errors, ["WF5021"]);
  await plane.inForce();
  b.options.onExit(new Error("out of memory"));
  while (all.length < 3) await turn();
  const next = all[2] ?? assert.fail();
  next.say({ kind: "ready" });
  await turn();
  const prepare = last(next);
  assert.ok(prepare.kind === "prepare");
  assert.match(prepare.text, /"other"/);
  assert.doesNotMatch(prepare.text, /"up"/, "nor by one that comes later");
  await plane.close();
});

test("a virtual host that was learned crosses alone, after the main thread has seen that it fits into its table", async () => {
  const { all, start } = puppets();
  const ads = { form: "delta" } as never;
  const { plane } = open(start, 1, createOnDemand({ ads, clusters: [] }, setRealTimer, createStats()));
  const [worker] = all;
  worker?.say({ kind: "ready" });
  const given = { name: "given", domains: ["given.test"] };
  const json = { name: "t", virtualHosts: [given], vhds: { configSource: { ads: {} } } };
  assert.equal(plane.check({ kind: "route", name: "t", json }), undefined);
  assert.deepEqual(plane.apply([{ kind: "route", name: "t", json }]), []);
  await turn();
  const learned = (name: string, domain: string): ResourceChange => ({
    ...{ kind: "virtualHost", name: `t/${name}`, table: "t", replaces: undefined },
    json: { name, domains: [domain] },
  });
  assert.match(plane.apply([learned("bad", "given.test")])[0]?.reason ?? "", /given twice/);
  assert.deepEqual(plane.apply([learned("good", "good.test")]), []);
  assert.ok(worker);
  const batch = batchOf(last(worker));
  worker.say({ kind: "prepared", batch, rejections: [] });
  await turn();
  worker.say({ kind: "committed", batch });
  await turn();
  const told = last(worker);
  assert.deepEqual(told.kind === "prepare" && JSON.parse(told.text), [
    JSON.parse(JSON.stringify(learned("good", "good.test"))),
  ]);
  await plane.close();
});

test("what the main thread refuses never reaches a worker", async () => {
  const { all, start } = puppets();
  const { plane } = open(start, 1);
  all[0]?.say({ kind: "ready" });
  const bad: ResourceChange = { kind: "cluster", name: "up", json: { name: "up", connectTimeout: "0s" } };
  const [rejection] = plane.apply([bad]);
  assert.match(rejection?.reason ?? "", /connectTimeout/);
  assert.equal(plane.inForce(), undefined);
  assert.match(plane.check(bad)?.reason ?? "", /connectTimeout/);
  await plane.close();
});

test("a worker that dies half-way holds nobody up; its successor gets all that is in force before it takes part", async () => {
  const { all, start } = puppets();
  const { plane, errors, stats } = open(start, 2);
  const [a, b] = all;
  assert.ok(a && b);
  for (const each of all) each.say({ kind: "ready" });
  plane.apply([cluster("up", [1])]);
  await turn();
  const batch = batchOf(last(a));
  a.say({ kind: "prepared", batch, rejections: [] });
  b.options.onExit(new Error("out of memory"));
  await turn();
  assert.equal(last(a).kind, "commit");
  a.say({ kind: "committed", batch });
  await plane.inForce();
  assert.deepEqual(errors, ["WF5022"]);
  while (all.length < 3) await turn();
  const next = all[2] ?? assert.fail();
  next.say({ kind: "ready" });
  await turn();
  const prepare = last(next);
  assert.ok(prepare.kind === "prepare");
  assert.match(prepare.text, /"up"/);
  assert.equal(last(a).kind, "commit", "the others have nothing to do with it");
  const deaths = [...stats.series()].find(({ name }) => name === "server.worker_deaths");
  assert.ok(deaths?.type === "counter" && deaths.value === 1);
  await plane.close();
});

test("what a dead worker counted stays in the statistics, what it measured does not", async () => {
  const { all, start } = puppets();
  const { plane, stats } = open(start, 1);
  const [a] = all;
  assert.ok(a);
  const theirs = createStats((series) => a.say({ kind: "series", series: [series] }));
  a.say({ kind: "ready" });
  theirs.counter("c").add(3);
  theirs.gauge("g").add(2);
  theirs.histogram("h").record(7);
  const read = () =>
    new Map([...stats.series()].map((each) => [each.name, each.type === "histogram" ? each.values.sum : each.value]));
  assert.deepEqual([read().get("c"), read().get("g"), read().get("h")], [3, 2, 7]);
  stats.counter("c").add(1);
  assert.equal(read().get("c"), 4);
  a.options.onExit(undefined);
  assert.deepEqual([read().get("c"), read().get("g"), read().get("h")], [4, 0, 7]);
  theirs.counter("c").add(100);
  assert.equal(read().get("c"), 4);
  await plane.close();
});

/** Real threads, which the test can end as an operating system would. */
const real = async (workers: number) => {
  const threads: { kill: () => Promise<void> }[] = [];
  const opened = open((options) => {
    const thread = startThread(options);
    threads.push(thread);
    return thread;
  }, workers);
  const up = await openServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
  });
  return {
    ...opened,
    up,
    threads,
    [Symbol.asyncDispose]: async () => {
      await opened.plane.close();
      await up[Symbol.asyncDispose]();
    },
  };
};

test("real workers share a port, and one that is killed costs only its own connections", {
  timeout: 60_000,
}, async () => {
  await using all = await real(3);
  const { plane, threads, up, errors } = all;
  plane.apply([cluster("up", [up.port]), listener("in", [hcm()]), routes([toCluster("up")])]);
  await plane.settled();
  const [state] = plane.listeners();
  const url = `http://127.0.0.1:${state?.address?.port}`;
  assert.equal(state?.state, "active");
  const ask = async (): Promise<string> => (await fetch(url, { headers: { connection: "close" } })).text();
  for (let i = 0; i < 12; i++) assert.equal(await ask(), "ok");
  assert.equal(plane.clusters()[0]?.counters.upstreamRqTotal, 12);
  await threads[1]?.kill();
  for (let i = 0; i < 12; i++) assert.equal(await ask(), "ok");
  while (threads.length < 4 || plane.listeners()[0]?.address === undefined) await turn();
  await plane.settled();
  for (let i = 0; i < 12; i++) assert.equal(await ask(), "ok");
  assert.equal(plane.clusters()[0]?.counters.upstreamRqTotal, 36);
  assert.deepEqual(errors, ["WF5022"]);
});

test("real workers share the tokens of a rate limit", { timeout: 60_000 }, async () => {
  await using all = await real(3);
  const always = { defaultValue: { numerator: 100 } };
  const limit = any("envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit", {
    statPrefix: "limit",
    tokenBucket: { maxTokens: 5, fillInterval: "3600s" },
    filterEnabled: always,
    filterEnforced: always,
  });
  const last = any("envoy.extensions.filters.http.router.v3.Router", {});
  const httpFilters = [
    { name: "envoy.filters.http.local_ratelimit", typedConfig: limit },
    { name: "envoy.filters.http.router", typedConfig: last },
  ];
  all.plane.apply([cluster("up", [all.up.port]), listener("in", [hcm({ httpFilters })]), routes([toCluster("up")])]);
  await all.plane.settled();
  const url = `http://127.0.0.1:${all.plane.listeners()[0]?.address?.port}`;
  const statuses: number[] = [];
  for (let i = 0; i < 24; i++) {
    const response = await fetch(url, { headers: { connection: "close" } });
    await response.arrayBuffer();
    statuses.push(response.status);
  }
  assert.equal(statuses.filter((status) => status === 200).length, 5, String(statuses));
});

test("a port of somebody else is refused by all workers, also where they would have shared it", async () => {
  await using all = await real(2);
  const taken = listener("in", [hcm()], {
    address: { socketAddress: { address: "127.0.0.1", portValue: all.up.port } },
  });
  all.plane.apply([cluster("up", [all.up.port]), routes([toCluster("up")]), taken]);
  await all.plane.settled();
  const [state] = all.plane.listeners();
  assert.equal(state?.state, "failed");
  assert.match(state?.error ?? "", /WF5001/);
});

test("drains that overlap are answered each for itself, and a worker that comes later is told of all that was asked", async () => {
  const { all, start } = puppets();
  const { plane } = open(start, 1);
  const [a] = all;
  assert.ok(a);
  a.say({ kind: "ready" });
  const why = { healthCheckFailed: true, draining: undefined } as const;
  plane.discourage(why);
  assert.deepEqual(last(a), { kind: "discourage", why });
  let ended = "";
  void plane.drain(5, "inbound").then(() => (ended += "inbound "));
  void plane.drain(7).then(() => (ended += "all "));
  await turn();
  const drains = a.told.filter((message) => message.kind === "drain");
  assert.deepEqual(
    drains.map(({ timeoutMs, scope }) => [timeoutMs, scope]),
    [
      [5, "inbound"],
      [7, "all"],
    ],
  );
  a.say({ kind: "drained", id: drains[1]?.id ?? 0 });
  await turn();
  assert.equal(ended, "all ");
  a.say({ kind: "drained", id: drains[0]?.id ?? 0 });
  await turn();
  assert.equal(ended, "all inbound ");
  a.options.onExit(new Error("out of memory"));
  while (all.length < 2) await turn();
  const next = all[1] ?? assert.fail();
  next.say({ kind: "ready" });
  await turn();
  assert.deepEqual(
    next.told.map((message) => (message.kind === "drain" ? message.scope : message)),
    [{ kind: "discourage", why }, "all"],
  );
  await plane.close();
});

test("real workers all tell clients to leave, and all stop the inbound listeners and no other", {
  timeout: 60_000,
}, async () => {
  await using all = await real(2);
  const { plane, up, threads } = all;
  plane.apply([
    cluster("up", [up.port]),
    listener("in", [hcm()], { trafficDirection: "INBOUND" }),
    listener("out", [hcm()], { trafficDirection: "OUTBOUND" }),
    routes([toCluster("up")]),
  ]);
  await plane.settled();
  const stateOf = (name: string) => plane.listeners().find((each) => each.name === name);
  const url = (name: string): string => `http://127.0.0.1:${stateOf(name)?.address?.port}`;
  const answers = async (name: string): Promise<ReadonlySet<string | null>> => {
    const said = new Set<string | null>();
    // Connections go to one worker or the other.
    for (let i = 0; i < 16; i++) {
      const answer = await fetch(url(name));
      await answer.text();
      said.add(answer.headers.get("connection"));
    }
    return said;
  };
  let batches = 0;
  const failHealthCheck = async (failed: boolean): Promise<void> => {
    plane.discourage({ healthCheckFailed: failed, draining: undefined });
    // What was said before a batch has been heard when the batch is in force.
    plane.apply([cluster("unused", [++batches])]);
    await plane.inForce();
  };
  await failHealthCheck(true);
  assert.deepEqual([...(await answers("in"))], ["close"]);
  await failHealthCheck(false);
  assert.deepEqual([...(await answers("in"))], [null]);
  const inbound = url("in");
  await plane.drain(5_000, "inbound");
  for (let i = 0; i < 8; i++) await assert.rejects(fetch(inbound));
  assert.deepEqual([stateOf("in")?.state, stateOf("out")?.state], ["draining", "active"]);
  assert.equal((await fetch(url("out"))).status, 200);
  await threads[0]?.kill();
  while (threads.length < 3 || stateOf("out")?.address === undefined) await turn();
  await plane.settled();
  for (let i = 0; i < 8; i++) await assert.rejects(fetch(inbound));
});
