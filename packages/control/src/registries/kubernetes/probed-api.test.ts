import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubernetesApi, WatchHandlers } from "@weft/net/kubernetes/kubernetes-api";
import type { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { createManualTime } from "../../store/shared/testing/manual-time.ts";
import { openProbedApi } from "./probed-api.ts";

/** A server that answers probes or does not, and whose watches and calls never end by themselves. */
const opened = () => {
  const time = createManualTime();
  const state = { answers: true, probes: 0, left: 0 };
  const watches: WatchHandlers[] = [];
  const api: KubernetesApi = {
    ...{ cluster: "test", server: "https://test" },
    call: ({ signal }) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted")))),
    watch: (_, handlers) => void watches.push(handlers),
    probe: (timeoutMs) => {
      state.probes++;
      return new Promise((resolve, reject) => {
        if (state.answers) resolve();
        else time.setTimer(() => reject(new Error("no answer")), timeoutMs);
      });
    },
    leaveConnections: () => {
      state.left++;
    },
    [Symbol.dispose]: () => {},
  };
  const probed = openProbedApi({ api, probeAfterMs: 30_000, ...time });
  const watch = (signal = new AbortController().signal) => {
    const ends: (KubernetesError | undefined)[] = [];
    const lines: string[] = [];
    probed.watch("/w", { line: (text) => lines.push(text), ended: (error) => ends.push(error) }, signal);
    return { ends, lines };
  };
  return { time, state, watches, probed, watch };
};

test("forty watches cost one probe in 30 s, silent or not", async () => {
  const { time, state, watches, watch } = opened();
  const all = Array.from({ length: 40 }, () => watch());
  await time.advance(299_999);
  assert.equal(state.probes, 10);
  for (let second = 0; second < 300; second += 20) {
    watches[7]?.line("{}");
    await time.advance(20_000);
  }
  assert.equal(state.probes, 20);
  assert.equal(all[7]?.lines.length, 15);
  assert.ok(all.every(({ ends }) => ends.length === 0));
  assert.equal(state.left, 0);
});

test("without an answer every watch and call fails once, after 45 s, and all connections are left", async () => {
  const { time, state, watches, probed, watch } = opened();
  const one = watch();
  const other = watch();
  const ending = new AbortController();
  const ended = watch(ending.signal);
  const call = assert.rejects(probed.call({ method: "GET", path: "/c" }), { status: 0, reason: "Timeout" });
  await time.advance(10_000);
  watches[0]?.line("{}");
  ending.abort();
  state.answers = false;
  await time.advance(44_999);
  assert.deepEqual([one.ends.length, state.left], [0, 0]);
  await time.advance(1);
  await call;
  for (const { ends } of [one, other]) assert.deepEqual([ends.length, ends[0]?.status], [1, 0]);
  assert.match(one.ends[0]?.message ?? "", /nothing for 45 s/);
  assert.deepEqual([ended.ends.length, state.left, probed.silentSinceMs()], [0, 1, 10_000]);
  // With nothing under way there is nobody to ask for.
  await time.advance(600_000);
  assert.equal(state.probes, 2);
});

test("a watch that begins after an outage is watched over as the first one was", async () => {
  const { time, state, watch, probed } = opened();
  state.answers = false;
  watch();
  await time.advance(45_000);
  const second = watch();
  await time.advance(45_000);
  assert.deepEqual([second.ends.length, state.left], [1, 2]);
  state.answers = true;
  const third = watch();
  await time.advance(600_000);
  assert.deepEqual([third.ends.length, probed.silentSinceMs()], [0, undefined]);
});

test("a watch that is given up while others fail is told nothing", async () => {
  const { time, state, probed, watch } = opened();
  state.answers = false;
  const ending = new AbortController();
  const first = { line: () => {}, ended: () => ending.abort() };
  probed.watch("/first", first, new AbortController().signal);
  const second = watch(ending.signal);
  await time.advance(45_000);
  assert.deepEqual([state.left, ending.signal.aborted, second.ends.length], [1, true, 0]);
});
