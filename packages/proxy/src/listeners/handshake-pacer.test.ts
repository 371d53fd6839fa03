import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createStats } from "../observe/create-stats.ts";
import { TimerWheel } from "../timers/timer-wheel.ts";
import {
  HandshakePacer,
  handshakesPerSecond,
  handshakesPerSecondDefault,
  waitingHandshakesMax,
} from "./handshake-pacer.ts";

/** A pacer on time that stands still until it is moved. */
const openPacer = (perSecond: number) => {
  const stats = createStats();
  let nowMs = 1_000;
  let armed: { readonly atMs: number; readonly callback: () => void } | undefined;
  const wheel = new TimerWheel({ nowMs: () => nowMs, wallMs: () => nowMs }, (callback, delayMs) => {
    const timer = { atMs: nowMs + delayMs, callback };
    armed = timer;
    return {
      [Symbol.dispose]: () => {
        if (armed === timer) armed = undefined;
      },
    };
  });
  const move = (ms: number): void => {
    const untilMs = nowMs + ms;
    while (armed !== undefined && armed.atMs <= untilMs) {
      nowMs = armed.atMs;
      const { callback } = armed;
      armed = undefined;
      callback();
    }
    nowMs = untilMs;
  };
  const pacer = new HandshakePacer(wheel, stats, perSecond);
  const begun: number[] = [];
  const gone = new Set<number>();
  const come = (id: number): boolean => {
    if (pacer.ready) {
      pacer.take();
      begun.push(id);
      return true;
    }
    return pacer.wait({ wanted: () => !gone.has(id), begin: () => void begun.push(id) });
  };
  return { come, begun, gone, move, count: (name: string) => stats.counter(`tls.handshakes_${name}`).value };
};

test("a few handshakes begin at once, a storm in its order at the rate", () => {
  const { come, begun, move, count } = openPacer(1_000);
  for (let id = 0; id < 500; id++) assert.equal(come(id), true);
  assert.equal(begun.length, 20);
  assert.equal(count("delayed"), 480);
  move(100);
  assert.ok(begun.length >= 100 && begun.length <= 120, String(begun.length));
  move(1_000);
  assert.deepEqual(
    begun,
    Array.from({ length: 500 }, (_, id) => id),
  );
});

test("nobody overtakes those who wait, and who has gone costs no turn", () => {
  const { come, begun, gone, move } = openPacer(50);
  for (let id = 0; id < 4; id++) come(id);
  assert.deepEqual(begun, [0]);
  gone.add(1);
  gone.add(2);
  move(24);
  assert.deepEqual(begun, [0, 3]);
  come(4);
  assert.deepEqual(begun, [0, 3]);
  move(24);
  assert.deepEqual(begun, [0, 3, 4]);
});

test("more than the bound are refused and counted", () => {
  const { come, count } = openPacer(50);
  let refused = 0;
  for (let id = 0; id < waitingHandshakesMax + 11; id++) if (!come(id)) refused++;
  assert.deepEqual([refused, count("refused")], [10, 10]);
});

test("the rate is what the node says, where that is one", () => {
  const of = (said: unknown) => handshakesPerSecond({ metadata: { WEFT_HANDSHAKES_PER_SECOND: said } });
  assert.deepEqual([of("250"), of(40)], [250, 40]);
  for (const said of [undefined, "many", 0, -1, Number.NaN, {}]) assert.equal(of(said), handshakesPerSecondDefault);
});

test("whatever comes when, no second sees more than the rate and one burst, and nobody is forgotten", () => {
  const steps = fc.array(fc.record({ come: fc.nat(60), wait: fc.nat(90) }), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2_000 }), steps, (perSecond, all) => {
      const { come, begun, move } = openPacer(perSecond);
      let id = 0;
      let passedMs = 0;
      for (const step of all) {
        for (let n = 0; n < step.come; n++) come(id++);
        move(step.wait);
        passedMs += step.wait;
        assert.ok(begun.length <= 20 + (passedMs * perSecond) / 1000 + 1);
      }
      move(((id + 40) / perSecond) * 1000 + 1_000);
      assert.equal(begun.length, id);
    }),
    { numRuns: 50 },
  );
});
