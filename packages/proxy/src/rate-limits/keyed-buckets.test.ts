import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedBuckets } from "./keyed-buckets.ts";
import { compileLimiter } from "./limiter.ts";
import { descriptorEntry, descriptorKey } from "./rate-limit-actions.ts";
import { LocalTokenBucket } from "./token-bucket.ts";

const prefix = descriptorEntry("limit", "counted") + descriptorKey("key");
const descriptor = (value: string, more = "") =>
  descriptorEntry("limit", "counted") + descriptorEntry("key", value) + more;
const make = () => new LocalTokenBucket(1, 0.001);

test("each value of the key has a bucket of its own, and it is the same one again", () => {
  const buckets = new KeyedBuckets(prefix, make);
  const a = buckets.of([descriptor("a")]);
  assert.ok(a);
  assert.notEqual(buckets.of([descriptor("b")]), a);
  assert.equal(buckets.of([descriptor("a")]), a);
});

test("a descriptor with other entries, or more of them, is another one", () => {
  const buckets = new KeyedBuckets(prefix, make);
  assert.equal(buckets.of([]), undefined);
  assert.equal(buckets.of([descriptorEntry("limit", "counted")]), undefined);
  assert.equal(buckets.of([descriptor("a", descriptorEntry("x", "y"))]), undefined);
  assert.equal(buckets.of([descriptorEntry("limit", "counted") + descriptorEntry("keys", "a")]), undefined);
});

test("a value that looks like an entry is only a value", () => {
  const buckets = new KeyedBuckets(prefix, make);
  const tricky = descriptor("1:a1:b");
  assert.ok(buckets.of([tricky]));
  assert.notEqual(buckets.of([tricky]), buckets.of([descriptor("1:a")]));
});

test("beyond the bound the bucket unused longest goes", () => {
  const buckets = new KeyedBuckets(prefix, make, 2);
  const a = buckets.of([descriptor("a")]);
  const b = buckets.of([descriptor("b")]);
  buckets.of([descriptor("a")]);
  buckets.of([descriptor("c")]);
  assert.equal(buckets.of([descriptor("a")]), a);
  assert.notEqual(buckets.of([descriptor("b")]), b);
});

test("a limiter counts each value apart and nothing without the key", () => {
  const tokenBucket = { maxTokens: 1, fillInterval: "60s" };
  const { make: limiter } = compileLimiter(
    {
      tokenBucket: { maxTokens: 1000, fillInterval: "1s" },
      descriptors: [
        {
          entries: [
            { key: "limit", value: "counted" },
            { key: "key", value: "" },
          ],
          tokenBucket,
        },
      ],
      alwaysConsumeDefaultTokenBucket: false,
    },
    "",
  );
  const one = limiter();
  const asked = ["a", "a", "b", "b"].map((value) => one.allows([descriptor(value)], 0));
  assert.deepEqual(asked, [true, false, true, false]);
  assert.deepEqual([one.allows([], 0), one.allows([], 0)], [true, true]);
});

test("any value in front of another entry is refused", () => {
  const entries = [
    { key: "key", value: "" },
    { key: "limit", value: "counted" },
  ];
  const tokenBucket = { maxTokens: 1, fillInterval: "60s" };
  assert.throws(() => compileLimiter({ descriptors: [{ entries, tokenBucket }] }, ""), /entries\[0\]\.value/);
});
