import assert from "node:assert/strict";
import { test } from "node:test";
import { GradientController, type GradientSettings } from "./gradient-controller.ts";

const settings: GradientSettings = {
  minLimit: 4,
  maxLimit: 50,
  percentile: 50,
  updateMs: 100,
  measureEveryMs: 60_000,
  measureRequests: 5,
  jitter: 0,
  buffer: 0.5,
};

const world = (more: Partial<GradientSettings> = {}, random = () => 0) => {
  const controller = new GradientController({ ...settings, ...more }, random);
  let nowMs = 0;
  /** One request after the other, each of that latency. */
  const serve = (count: number, latencyMs: number) => {
    for (let i = 0; i < count; i++) {
      assert.ok(controller.take(nowMs));
      const startMs = nowMs;
      nowMs += latencyMs;
      controller.give(startMs, nowMs, true);
    }
  };
  return { controller, serve, pass: (ms: number) => (nowMs += ms), now: () => nowMs };
};

test("at first the best latency is measured with the least limit", () => {
  const { controller, serve } = world();
  const taken = Array.from({ length: 6 }, () => controller.take(0));
  assert.deepEqual(taken, [true, true, true, true, false, false]);
  for (let i = 0; i < 4; i++) controller.give(0, 10, true);
  serve(1, 10);
  assert.deepEqual([controller.bestMs, controller.limit, controller.inFlight], [10, 4, 0]);
});

test("while latencies stay good the limit grows, up to the most", () => {
  const { controller, serve } = world();
  serve(5, 10);
  const limits: number[] = [];
  for (let window = 0; window < 12; window++) {
    serve(11, 10);
    limits.push(controller.limit);
  }
  assert.ok(
    limits.every((limit, i) => i === 0 || limit >= (limits[i - 1] ?? 0)),
    String(limits),
  );
  assert.equal(limits.at(-1), 50);
});

test("as latencies rise the limit falls, by no more than half and a little at a time", () => {
  const { controller, serve } = world();
  serve(5, 10);
  for (let window = 0; window < 12; window++) serve(11, 10);
  assert.equal(controller.limit, 50);
  for (let window = 0; window < 6; window++) {
    const before: number = controller.limit;
    serve(1, 200);
    assert.ok(controller.limit >= before / 2, `${before} to ${controller.limit}`);
  }
  assert.ok(controller.limit < 15);
});

test("a server that stays slow at the least limit is measured again, and has its new best latency", () => {
  const { controller, serve } = world({ minLimit: 1 });
  serve(5, 10);
  serve(40, 200);
  assert.ok(controller.bestMs >= 200, String(controller.bestMs));
});

test("requests that nobody answered say nothing of the server, and hold no place", () => {
  const { controller } = world();
  for (let i = 0; i < 20; i++) {
    assert.ok(controller.take(i));
    controller.give(i, i + 5000, false);
  }
  assert.deepEqual([controller.inFlight, controller.bestMs], [0, 0]);
});

test("measurements come again after their time and a random part of it, without what was under way", () => {
  const { controller, serve, pass, now } = world({ measureEveryMs: 1000, jitter: 0.5 }, () => 1);
  serve(5, 10);
  serve(60, 10);
  assert.ok(controller.limit > 4);
  assert.ok(controller.take(now()));
  const longMs = now();
  pass(1600);
  assert.ok(controller.take(now()));
  assert.equal(controller.limit, 4);
  controller.give(now(), now() + 20, true);
  for (let i = 0; i < 10; i++) controller.give(longMs, now(), true);
  assert.equal(controller.limit, 4);
});

test("a thousand and more latencies of one window are kept in bounds", () => {
  const { controller, serve } = world({ measureRequests: 5, updateMs: 1e9 });
  serve(5, 10);
  serve(3000, 10);
  assert.equal(controller.inFlight, 0);
});
