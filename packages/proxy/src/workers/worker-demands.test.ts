/** Both ends of the wait for what a worker's request misses, and what goes wrong between them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Demands } from "../on-demand/demands.ts";
import { demandedNameLengthMax, demandsWaitingMax } from "../on-demand/limits.ts";
import { DemandDesk } from "./demand-desk.ts";
import type { FromWorker } from "./protocol.ts";
import { answerLateMs, createWorkerDemands } from "./worker-demands.ts";

const source = { kind: "ads" } as const;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Timer {
  readonly run: () => void;
  readonly ms: number;
}
const createTimers = () => {
  const all = new Set<Timer>();
  return {
    all,
    setTimer: (run: () => void, ms: number): Disposable => {
      const timer = { run, ms };
      all.add(timer);
      return { [Symbol.dispose]: () => void all.delete(timer) };
    },
  };
};
const createCounters = () => {
  const counts = new Map<string, number>();
  const counter = (name: string) => ({
    value: 0,
    add: (n: number) => void counts.set(name, (counts.get(name) ?? 0) + n),
  });
  return { counts, counter };
};

/** Workers beside a main thread, with no threads between them. `lost`: nobody takes what workers say. */
const open = ({ lanes = 1, lost = false } = {}) => {
  const timers = createTimers();
  const { counts, counter } = createCounters();
  const demands = (prefix: string): Demands => {
    const one = (name: string) => counter(`${prefix}.${name}`);
    return new Demands(timers.setTimer, {
      asked: one("asked"),
      found: one("found"),
      missing: one("missing"),
      timeout: one("timeout"),
      waitingOverflow: one("waitingOverflow"),
      namesOverflow: one("namesOverflow"),
    });
  };
  const main = { clusters: demands("main"), hosts: demands("hosts"), source: () => source, server: () => undefined };
  let force: PromiseWithResolvers<void> | undefined;
  const known = new Set<string>();
  const desk = new DemandDesk(main, { inForce: () => force?.promise, isCluster: (name) => known.has(name) });
  const sent: FromWorker[] = [];
  const workers = Array.from({ length: lanes }, (_, lane) => {
    const worker = createWorkerDemands({
      setTimer: timers.setTimer,
      stats: { counter: counter as never },
      post: (message) => {
        sent.push(message);
        if (lost) return;
        if (message.kind === "demand")
          desk.ask({ lane, id: message.id }, message.of, message.wanted, (outcome) =>
            worker.answer(message.id, outcome),
          );
        if (message.kind === "undemand") desk.cancel({ lane, id: message.id });
      },
    });
    return worker;
  });
  return {
    ...{ main, desk, workers, sent, timers, counts, known },
    worker: workers[0] ?? assert.fail(),
    hold: (): void => {
      force = Promise.withResolvers();
    },
    release: (): void => {
      force?.resolve();
      force = undefined;
    },
  };
};
const wanted = (name: string, timeoutMs = 5_000) => ({ source, name, timeoutMs });
const ask = (of: ReturnType<typeof open>["worker"], name: string, timeoutMs?: number) => {
  const told: string[] = [];
  const wait = of.onDemand.clusters.ask(wanted(name, timeoutMs), (outcome) => told.push(outcome));
  return { told, wait };
};

test("one name is subscribed to once, however many workers ask, and all are told when it is in force", async () => {
  const all = open({ lanes: 3 });
  const asks = all.workers.map((worker) => ask(worker, "a"));
  assert.deepEqual([...all.main.clusters.namesOf("ads")], ["a"]);
  all.main.clusters.found("a");
  all.hold();
  await turn();
  for (const worker of all.workers) worker.onDemand.clusters.found("a");
  assert.deepEqual(
    asks.map(({ told }) => told),
    [[], [], []],
  );
  all.release();
  await turn();
  assert.deepEqual(
    asks.map(({ told }) => told),
    [["found"], ["found"], ["found"]],
  );
  assert.equal(all.worker.onDemand.clusters.awaits("a"), false);
  assert.equal(all.timers.all.size, 0);
});

test("a found cluster whose names this worker has not found out yet is waited for", async () => {
  const all = open();
  const { told } = ask(all.worker, "a");
  all.main.clusters.found("a");
  await turn();
  assert.deepEqual(told, []);
  all.worker.onDemand.clusters.found("b");
  assert.deepEqual(told, []);
  all.worker.onDemand.clusters.found("a");
  assert.deepEqual(told, ["found"]);
});

test("a cluster that was on its way to the worker when it asked is not subscribed to by name", async () => {
  const all = open();
  all.hold();
  const { told } = ask(all.worker, "a");
  all.worker.onDemand.clusters.found("a");
  all.known.add("a");
  all.release();
  await turn();
  assert.deepEqual([told, all.main.clusters.sources()], [["found"], []]);
});

test("that there is none, and that nobody said anything in time, is told as it is", async () => {
  const all = open();
  const [none, late] = [ask(all.worker, "none"), ask(all.worker, "late")];
  all.main.clusters.missing("ads", "none");
  await turn();
  assert.deepEqual([none.told, late.told], [["missing"], []]);
  for (const timer of [...all.timers.all]) if (timer.ms === 5_000) timer.run();
  assert.deepEqual(late.told, ["timeout"]);
  assert.equal(all.counts.get("main.timeout"), 1);
});

test("a main thread that takes nothing any more ends a wait a moment after its time, and no sooner", () => {
  const all = open({ lost: true });
  const { told } = ask(all.worker, "a");
  assert.deepEqual(
    [...all.timers.all].map(({ ms }) => ms),
    [5_000 + answerLateMs],
  );
  for (const timer of [...all.timers.all]) timer.run();
  assert.deepEqual([told, all.timers.all.size], [["timeout"], 0]);
  assert.equal(all.worker.onDemand.clusters.awaits("a"), false);
  all.worker.answer(1, "found");
  assert.deepEqual(told, ["timeout"], "once");
});

test("a request that ends waits no longer, here and at the main thread", async () => {
  const all = open();
  const { told, wait } = ask(all.worker, "a");
  assert.equal(all.main.clusters.awaits("a"), true);
  wait?.[Symbol.dispose]();
  assert.equal(all.main.clusters.awaits("a"), false);
  all.main.clusters.found("a");
  all.worker.onDemand.clusters.found("a");
  await turn();
  assert.deepEqual([told, all.timers.all.size], [[], 0]);
  wait?.[Symbol.dispose]();
  assert.equal(all.sent.filter(({ kind }) => kind === "undemand").length, 1);
});

test("a wait that is given up while a push is under way is not asked for after it", async () => {
  const all = open();
  all.hold();
  const { wait } = ask(all.worker, "a");
  wait?.[Symbol.dispose]();
  all.release();
  await turn();
  assert.deepEqual(all.main.clusters.sources(), []);
});

test("what a dead worker waited for is given up; what another waits for is not", async () => {
  const all = open({ lanes: 2 });
  ask(all.workers[0] ?? assert.fail(), "a");
  const other = ask(all.workers[1] ?? assert.fail(), "b");
  all.desk.drop(0);
  assert.deepEqual([all.main.clusters.awaits("a"), all.main.clusters.awaits("b")], [false, true]);
  all.main.clusters.missing("ads", "b");
  await turn();
  assert.deepEqual(other.told, ["missing"]);
});

test("a worker waits for no more than one process may, and counts what it turns away", () => {
  const all = open({ lost: true });
  for (let i = 0; i < demandsWaitingMax; i++) assert.ok(ask(all.worker, `c${i}`).wait);
  assert.equal(ask(all.worker, "more").wait, undefined);
  assert.equal(all.counts.get("cluster_manager.odcds.on_demand_waiting_overflow"), 1);
  assert.equal(all.sent.length, demandsWaitingMax);
});

test("workers together wait for no more than one process may: the next is refused, and goes on", () => {
  const all = open({ lanes: 2 });
  const [first, second] = all.workers;
  for (let i = 0; i < demandsWaitingMax; i++) ask(first ?? assert.fail(), "a");
  const { told } = ask(second ?? assert.fail(), "a");
  assert.deepEqual([told, all.counts.get("main.waitingOverflow")], [["refused"], 1]);
});

test("a name that is too long never leaves the worker", () => {
  const all = open();
  assert.equal(ask(all.worker, "x".repeat(demandedNameLengthMax + 1)).wait, undefined);
  assert.deepEqual(all.sent, []);
});

test("a host that came, and has no such route, is answered at once and not asked for again", async () => {
  const all = open();
  const told: string[] = [];
  const tell = (outcome: string): void => void told.push(outcome);
  all.worker.onDemand.hosts.ask(wanted("t/a"), tell);
  all.main.hosts.found("t/a");
  await turn();
  all.worker.onDemand.hosts.ask(wanted("t/a"), tell);
  assert.deepEqual([told, all.counts.get("hosts.asked")], [["found", "found"], 1]);
});

test("a configuration that names no source is refused", () => {
  const { onDemand } = open().worker;
  assert.deepEqual(onDemand.source({ ads: {} }, "at"), source);
  assert.throws(() => onDemand.source({}, "at"), /at: names no source/);
});
