import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogPace } from "./log-pace.ts";

test("the first line comes at once, others wait for their time, and say how many went unsaid", () => {
  const pace = createLogPace(1000);
  assert.equal(pace(5), 0);
  assert.deepEqual(
    [6, 500, 1004].map((nowMs) => pace(nowMs)),
    [undefined, undefined, undefined],
  );
  assert.equal(pace(1005), 3);
  assert.equal(pace(1006), undefined);
  assert.equal(pace(9000), 1);
});
