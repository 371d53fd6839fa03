import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigObject } from "@weft/config/config-object";
import { parseConfig } from "@weft/config/parse-config";
import { virtualTime } from "@weft/core/testing/virtual-time";
import { createAnalysis } from "./analysis.ts";

const routeTo = (host: string): readonly ConfigObject[] =>
  parseConfig(
    `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec: {hosts: [front.example], http: [{timeout: 3s, route: [{destination: {host: ${host}}}]}]}
`,
    "front.yaml",
  ).objects;

/** A world in which whoever asks for the time has worked for 3 ms. */
const slowAnalysis = () => {
  const { clock, setTimer, step, pass } = virtualTime();
  const timers: number[] = [];
  const analysis = createAnalysis({
    facts: () => ({
      services: [{ hostname: "known.example", namespace: "", ports: [], endpointLabels: [], external: false }],
    }),
    clock: {
      ...clock,
      nowMs: () => {
        pass(3);
        return clock.nowMs();
      },
    },
    setTimer: (run, ms) => {
      timers.push(ms);
      return setTimer(run, ms);
    },
  });
  /** Until nothing is left to do. */
  const work = async (): Promise<void> => {
    for (let idle = 0; idle < 5; idle = step(Number.POSITIVE_INFINITY) ? 0 : idle + 1)
      await new Promise((resolve) => setImmediate(resolve));
  };
  return { analysis, timers, work };
};

test("it is done in slices, with the findings of one that is done at once", async () => {
  const { analysis, timers, work } = slowAnalysis();
  const running = analysis.run(() => routeTo("nowhere.example"));
  await work();
  assert.deepEqual(
    (await running).map(({ code, name }) => `${code} ${name}`),
    ["WF1101 front"],
  );
  assert.ok(timers.length > 5, `${timers.length} slices`);
  assert.ok(timers.every((ms) => ms === 0));
});

test("one begins when the other has ended, and sees what is there then", async () => {
  const { analysis, timers, work } = slowAnalysis();
  let host = "nowhere.example";
  const first = analysis.run(() => {
    const objects = routeTo(host);
    host = "known.example";
    return objects;
  });
  const second = analysis.run(() => {
    assert.ok(timers.length > 5, `after ${timers.length} slices`);
    return routeTo(host);
  });
  assert.equal(analysis.waiting(), 2);
  await work();
  assert.deepEqual(
    (await Promise.all([first, second])).map(({ length }) => length),
    [1, 0],
  );
  assert.equal(analysis.waiting(), 0);
});

test("one that fails harms no other", async () => {
  const { analysis, work } = slowAnalysis();
  const fails = analysis.run(() => {
    throw new Error("no objects today");
  });
  const other = analysis.run(() => routeTo("known.example"));
  await Promise.all([assert.rejects(fails, /no objects today/), work()]);
  assert.deepEqual(await other, []);
  assert.equal(analysis.waiting(), 0);
});
