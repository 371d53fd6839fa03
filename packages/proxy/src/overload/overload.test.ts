import assert from "node:assert/strict";
import { test } from "node:test";
import { createStats } from "../observe/create-stats.ts";
import { compileOverload } from "./compile-overload.ts";
import { loopDelayMax, loopDelaySamples, shrinkEveryMs } from "./limits.ts";
import { type MemoryReading, Overload } from "./overload.ts";
import { defaultOverload, memoryResource, mergeOverload, type OverloadSettings } from "./overload-settings.ts";
import { createShrinkCell, ShrinkTurn } from "./shrink-turn.ts";

const mib = 1024 * 1024;
const roomy = 4096 * mib;

/** An overload manager whose clock, timers, memory and dice are the test's. */
const open = (settings: OverloadSettings = defaultOverload(undefined)) => {
  const state = {
    now: 0,
    dice: 0.5,
    shrinks: 0,
    timer: undefined as (() => void) | undefined,
    timers: 0,
    idleSteps: [] as number[],
  };
  let memory: MemoryReading = { heapBytes: 0, externalBytes: 0, heapLimitBytes: roomy, limitBytes: 256 * mib };
  const stats = createStats();
  const overload = new Overload(settings, {
    clock: { nowMs: () => state.now, wallMs: () => 0 },
    random: () => state.dice,
    setTimer: (callback) => {
      state.timer = callback;
      state.timers++;
      return {
        [Symbol.dispose]: () => {
          state.timer = undefined;
        },
      };
    },
    stats,
    memory: () => memory,
    threads: 1,
    shrink: () => void state.shrinks++,
    shrinkTurn: new ShrinkTurn(createShrinkCell()),
    closeIdle: (strength) => void state.idleSteps.push(strength),
  });
  return {
    overload,
    stats,
    state,
    use: (share: number) => {
      memory = { ...memory, heapBytes: share * 256 * mib };
      overload.refresh();
    },
    set: (next: Partial<MemoryReading>) => {
      memory = { ...memory, ...next };
      overload.refresh();
    },
    /** The refresh timer fires so much too late. */
    late: (ms: number) => {
      state.now += settings.refreshMs + ms;
      state.timer?.();
    },
  };
};

test("nothing is refused while all is well", () => {
  const { overload, use } = open();
  use(0.5);
  assert.deepEqual(
    [overload.shedsRequest(), overload.endsKeepAlive(), overload.refusesConnection()],
    [false, false, false],
  );
});

test("keep-alive ends first, then requests are shed, then connections refused, and all of it ends again", () => {
  const { overload, stats, use } = open();
  const now = () => [overload.endsKeepAlive(), overload.shedsRequest(), overload.refusesConnection()];
  use(0.93);
  assert.deepEqual(now(), [true, false, false]);
  use(0.96);
  assert.deepEqual(now(), [true, true, false]);
  assert.equal(stats.gauge("overload.envoy.overload_actions.stop_accepting_requests.active").value, 1);
  use(0.99);
  assert.deepEqual(now(), [true, true, true]);
  assert.equal(stats.gauge(`overload.${memoryResource}.pressure`).value, 99);
  use(0.5);
  assert.deepEqual(now(), [false, false, false]);
  assert.equal(stats.gauge("overload.envoy.overload_actions.stop_accepting_requests.active").value, 0);
});

test("buffers outside the heap count like the heap", () => {
  const { overload, set } = open();
  set({ heapBytes: 10 * mib, externalBytes: 240 * mib });
  assert.equal(overload.shedsRequest(), true);
});

test("without a limit of the system the heap's own is one", () => {
  const { overload, set } = open();
  set({ limitBytes: undefined, heapBytes: 0.9 * roomy });
  assert.equal(overload.shedsRequest(), false);
  set({ heapBytes: 0.96 * roomy });
  assert.equal(overload.shedsRequest(), true);
});

test("garbage is collected before anything is refused, but not all the time", () => {
  const { state, use } = open();
  use(0.86);
  use(0.86);
  assert.equal(state.shrinks, 1);
  state.now += shrinkEveryMs;
  use(0.86);
  assert.equal(state.shrinks, 2);
});

test("idle connections are closed before a request is refused, and no more of them once that is over", () => {
  const { overload, state, use } = open();
  use(0.89);
  assert.deepEqual(state.idleSteps, []);
  use(0.91);
  use(0.91);
  assert.equal(overload.shedsRequest(), false);
  use(0.5);
  assert.deepEqual(state.idleSteps, [1, 1]);
});

test("one stall, however long, sheds nothing; a loop that is always late does", () => {
  const { overload, late } = open();
  late(60_000);
  late(0);
  late(0);
  assert.equal(overload.shedsRequest(), false);
  for (let i = 0; i < loopDelaySamples; i++) late(loopDelayMax + 1);
  assert.equal(overload.shedsRequest(), true);
  late(0);
  assert.equal(overload.shedsRequest(), false);
});

test("connections beyond the bound are refused and counted until one leaves", () => {
  const { overload, stats } = open({ ...defaultOverload(undefined), connectionsMax: 2 });
  overload.entered();
  assert.equal(overload.refusesConnection(), false);
  overload.entered();
  assert.equal(overload.refusesConnection(), true);
  overload.left();
  assert.equal(overload.refusesConnection(), false);
  assert.equal(stats.counter("overload.downstream_cx_overflow").value, 1);
});

test("connections take four fifths of the open files at most", () => {
  assert.equal(defaultOverload(1000).connectionsMax, 800);
  assert.equal(defaultOverload(10_000_000).connectionsMax, 100_000);
});

test("nothing is measured any more once it is disposed", () => {
  const { overload, state } = open();
  overload[Symbol.dispose]();
  assert.equal(state.timer, undefined);
});

const monitors = "type.googleapis.com/envoy.extensions.resource_monitors";
const heap = (name: string, bytes: number): object => ({
  name,
  typed_config: { "@type": `${monitors}.fixed_heap.v3.FixedHeapConfig`, max_heap_size_bytes: bytes },
});
const trigger = (name: string, value: number): object => ({ name, threshold: { value } });
const compiled = (json: object) => compileOverload(json, "overload_manager");

test("Envoy's own configuration is understood: its limits and thresholds replace ours", () => {
  const { overload: given, remarks } = compiled({
    refresh_interval: "0.25s",
    resource_monitors: [
      heap("heap", 100 * mib),
      {
        name: "connections",
        typed_config: {
          "@type": `${monitors}.downstream_connections.v3.DownstreamConnectionsConfig`,
          max_active_downstream_connections: "7",
        },
      },
    ],
    actions: [
      { name: "envoy.overload_actions.disable_http_keepalive", triggers: [trigger("heap", 0.5)] },
      {
        name: "envoy.overload_actions.stop_accepting_requests",
        triggers: [{ name: "heap", scaled: { scaling_threshold: 0.6, saturation_threshold: 0.8 } }],
      },
    ],
  });
  assert.deepEqual(remarks, []);
  const { overload, set, state } = open(mergeOverload(given, defaultOverload(undefined)));
  assert.equal(overload.connectionsMax, 7);
  set({ heapBytes: 55 * mib });
  assert.deepEqual([overload.endsKeepAlive(), overload.shedsRequest()], [true, false]);
  set({ heapBytes: 70 * mib });
  assert.equal(overload.shedsRequest(), false, "half of the requests, and the dice say 0.5");
  state.dice = 0.49;
  assert.equal(overload.shedsRequest(), true);
  set({ heapBytes: 80 * mib });
  state.dice = 0.99;
  assert.equal(overload.shedsRequest(), true);
});

test("what has no effect is remarked on, with the reason", () => {
  const { remarks } = compiled({
    resource_monitors: [
      { name: "cpu", typed_config: { "@type": `${monitors}.cpu_utilization.v3.CpuUtilizationConfig` } },
      heap("heap", mib),
    ],
    actions: [
      { name: "envoy.overload_actions.reset_high_memory_stream", triggers: [trigger("heap", 0.9)] },
      { name: "envoy.overload_actions.stop_accepting_requests", triggers: [trigger("cpu", 0.9)] },
    ],
    loadshed_points: [{ name: "x" }],
  });
  assert.deepEqual(
    remarks.map(({ field }) => field),
    ["overload_manager.loadshedPoints", "overload_manager.resourceMonitors[0]", "overload_manager.actions[0]"],
  );
});

test("what cannot be meant is refused at its field", () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ resource_monitors: [heap("a", mib), heap("a", mib)] }, /resourceMonitors\[1\]\.name: /],
    [{ resource_monitors: [heap("a", 0)] }, /resourceMonitors\[0\]\.typedConfig\.maxHeapSizeBytes: /],
    [{ resource_monitors: [{ name: "a" }] }, /resourceMonitors\[0\]\.typedConfig: has no @type/],
    [{ resource_monitors: "a" }, /resourceMonitors: must be a list/],
    [{ actions: [{ name: "x", triggers: [trigger("missing", 1)] }] }, /triggers\[0\]\.name: there is no/],
    [
      { resource_monitors: [heap("a", mib)], actions: [{ name: "x", triggers: [trigger("a", 2)] }] },
      /threshold\.value: must be from 0 to 1/,
    ],
    [
      { resource_monitors: [heap("a", mib)], actions: [{ name: "x", triggers: [{ name: "a" }] }] },
      /triggers\[0\]: needs a threshold or scaled/,
    ],
    [{ refresh_interval: "soon" }, /refreshInterval: /],
  ];
  for (const [json, problem] of cases) {
    assert.throws(
      () => compiled(json),
      (error: Error & { field?: string }) => problem.test(`${error.message}`),
      String(problem),
    );
  }
});
