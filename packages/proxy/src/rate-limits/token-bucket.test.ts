import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileLimiter } from "./limiter.ts";
import { descriptorEntry } from "./rate-limit-actions.ts";
import { LocalTokenBucket } from "./token-bucket.ts";

test("a full bucket gives its tokens at once, then one for each part of the interval", () => {
  const bucket = new LocalTokenBucket(3, 2 / 1000);
  for (let i = 0; i < 3; i++) assert.equal(bucket.take(100), true);
  assert.equal(bucket.take(100), false);
  assert.equal(bucket.remaining(100), 0);
  assert.equal(bucket.resetSeconds(100), 1);
  assert.equal(bucket.take(599), false);
  assert.equal(bucket.take(600), true);
  assert.equal(bucket.take(600), false);
  assert.equal(bucket.remaining(1e9), 3);
});

test("no more is given in any time than what was there and what came back", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 }),
      (max, perSecond, steps) => {
        const bucket = new LocalTokenBucket(max, perSecond / 1000);
        let now = 0;
        let given = 0;
        for (const step of steps) {
          now += step;
          if (bucket.take(now)) given++;
        }
        assert.ok(given <= max + Math.floor((now * perSecond) / 1000 + 1e-6));
      },
    ),
  );
});

const bucket = (maxTokens: number) => ({ maxTokens, fillInterval: "60s" });

test("a request that a descriptor's bucket refuses takes nothing of the default one", () => {
  const plan = compileLimiter(
    { tokenBucket: bucket(2), descriptors: [{ entries: [{ key: "user", value: "ann" }], tokenBucket: bucket(1) }] },
    "",
  );
  const limiter = plan.make();
  const ann = [descriptorEntry("user", "ann")];
  assert.equal(limiter.allows(ann, 0), true);
  assert.equal(limiter.allows(ann, 0), false);
  assert.equal(limiter.allows([], 0), true);
  assert.equal(limiter.allows([], 0), false);
  assert.equal(plan.make().allows(ann, 0), true);
});

test("the default bucket may be left to those without a descriptor", () => {
  const limiter = compileLimiter(
    {
      tokenBucket: bucket(1),
      alwaysConsumeDefaultTokenBucket: false,
      descriptors: [{ entries: [{ key: "user", value: "ann" }], tokenBucket: bucket(5) }],
    },
    "",
  ).make();
  for (let i = 0; i < 5; i++) assert.equal(limiter.allows([descriptorEntry("user", "ann")], 0), true);
  assert.equal(limiter.allows([], 0), true);
  assert.equal(limiter.allows([], 0), false);
});

test("names and values cannot be put together to another descriptor", () => {
  assert.notEqual(
    descriptorEntry("a", "b") + descriptorEntry("c", "d"),
    descriptorEntry("a", `b${descriptorEntry("c", "d")}`),
  );
  assert.notEqual(descriptorEntry("ab", "c"), descriptorEntry("a", "bc"));
});

test("buckets that cannot be are refused", () => {
  for (const tokenBucket of [
    { fillInterval: "1s" },
    { maxTokens: 1 },
    { maxTokens: 1, fillInterval: "0.01s" },
    { maxTokens: 1, tokensPerFill: 0, fillInterval: "1s" },
  ])
    assert.throws(() => compileLimiter({ tokenBucket }, ""), { name: "ConfigError" });
  const twice = { entries: [{ key: "k", value: "v" }], tokenBucket: bucket(1) };
  assert.throws(() => compileLimiter({ descriptors: [twice, twice] }, ""), /descriptors\[1\]: is given twice/);
  assert.throws(
    () => compileLimiter({ descriptors: [{ ...twice, entries: [{ key: "k" }, { key: "l", value: "v" }] }] }, ""),
    /entries\[0\].value/,
  );
});
