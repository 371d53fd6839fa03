import assert from "node:assert/strict";
import { test } from "node:test";
import { outsideName, outsideNames } from "./outside-names.ts";
import { testInstance } from "./testing/instance.ts";
import { WriteRefusal } from "./write-session.ts";

test("a name outside is that of one service as long as it has an instance there, and then free", () => {
  const names = outsideNames("default");
  const one = testInstance("1", { namespace: "default", service: "billing-shop" });
  const two = testInstance("2", { namespace: "default", service: "billing-shop" });
  const other = testInstance("1", { namespace: "shop", service: "billing" });
  assert.deepEqual(
    [one, other].map((instance) => outsideName(instance, "default")),
    ["billing-shop", "billing-shop"],
  );
  names.take(one);
  names.take(one);
  names.take(two);
  assert.throws(
    () => names.take(other),
    (error) =>
      error instanceof WriteRefusal && /called billing-shop there.*name of default\/billing-shop/.test(error.message),
  );
  names.leave(other);
  assert.deepEqual([names.holds(other), names.holds(one), names.holds(two)], [false, true, true]);
  names.leave(one);
  assert.equal(names.holds(one), false);
  assert.throws(() => names.take(other), WriteRefusal, "one instance is still there");
  names.leave(two);
  names.take(other);
  assert.throws(() => names.take(one), WriteRefusal);
});
