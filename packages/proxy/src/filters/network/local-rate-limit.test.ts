import assert from "node:assert/strict";
import { test } from "node:test";
import type { DownstreamInfo } from "../../http/exchange.ts";
import { compileLocalRateLimit } from "./local-rate-limit.ts";

const tokenBucket = { maxTokens: 2, tokensPerFill: 1, fillInterval: "1s" };

test("connections beyond the tokens are refused until one comes back, and looks ahead take none", () => {
  let nowMs = 0;
  let refused = 0;
  const allow = compileLocalRateLimit({ statPrefix: "a", tokenBucket })({
    clock: { nowMs: () => nowMs, wallMs: () => 0 },
    counter: (name) => {
      assert.equal(name, "local_rate_limit.a.rate_limited");
      return { add: () => refused++ };
    },
  });
  const take = (uncounted?: boolean) => allow({} as DownstreamInfo, uncounted).allowed;
  assert.deepEqual([take(true), take(), take(), take(true), take()], [true, true, true, false, false]);
  assert.equal(refused, 1);
  nowMs = 1999;
  assert.deepEqual([take(), take()], [true, false]);
  nowMs = 60_000;
  assert.deepEqual([take(), take(), take()], [true, true, false]);
});

test("a bucket that could never be filled or emptied is refused", () => {
  assert.throws(() => compileLocalRateLimit({ statPrefix: "a" }), /tokenBucket/);
  assert.throws(() => compileLocalRateLimit({ statPrefix: "a", tokenBucket: { fillInterval: "1s" } }), /maxTokens/);
  const fast = { ...tokenBucket, fillInterval: "0.001s" };
  assert.throws(() => compileLocalRateLimit({ statPrefix: "a", tokenBucket: fast }), /fillInterval/);
});
