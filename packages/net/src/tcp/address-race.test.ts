import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AddressRace, addressesTriedMax, type RaceStep } from "./address-race.ts";

const said = ({ attempt, wait, over }: RaceStep): string =>
  `${attempt ?? "-"}${wait ? " wait" : ""}${over ? " over" : ""}`;

test("the next address is tried when the one before fails, or is late, and each once", () => {
  const race = new AddressRace(3);
  assert.equal(said(race.start()), "0 wait");
  assert.equal(said(race.failed()), "1 wait");
  assert.equal(said(race.late()), "2");
  assert.equal(said(race.failed()), "-");
  assert.equal(said(race.failed()), "- over");
});

test("a single address is tried alone, and its failure is the end", () => {
  const race = new AddressRace(1);
  assert.deepEqual([said(race.start()), said(race.failed())], ["0", "- over"]);
});

test("no more than so many addresses are tried", () => {
  const race = new AddressRace(1_000);
  let step = race.start();
  let last = 0;
  for (; step.attempt !== undefined; step = race.late()) last = step.attempt;
  assert.equal(last, addressesTriedMax - 1);
});

test("whatever fails and whatever is late, it is over when all that can be tried have failed, and never before", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.boolean(), { maxLength: 60 }), (count, events) => {
      const race = new AddressRace(count);
      const tried = Math.min(count, addressesTriedMax);
      let open = 0;
      let failures = 0;
      const take = (step: RaceStep): void => {
        if (step.attempt !== undefined) open++;
        assert.equal(step.over, failures === tried);
        assert.ok(step.over || open > 0, "something is always under way");
      };
      take(race.start());
      for (const fails of events) {
        if (failures === tried) break;
        if (fails) {
          open--;
          failures++;
        }
        take(fails ? race.failed() : race.late());
      }
    }),
  );
});
