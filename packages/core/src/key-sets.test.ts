import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KeySets } from "./key-sets.ts";

const write = fc.record({
  add: fc.boolean(),
  key: fc.constantFrom("a", "b"),
  member: fc.integer({ min: 0, max: 99 }).map(String),
});

test("after any history the members are those added and not deleted, in order", () => {
  fc.assert(
    fc.property(fc.array(write, { maxLength: 400 }), (writes) => {
      const sets = new KeySets();
      const model = new Map<string, Set<string>>();
      for (const { add, key, member } of writes) {
        const expected = model.get(key) ?? new Set();
        model.set(key, expected);
        if (add) assert.equal(sets.add(key, member), !expected.has(member));
        else sets.delete(key, member);
        if (add) expected.add(member);
        else expected.delete(member);
        assert.deepEqual(sets.members(key), [...expected].sort());
      }
      const keys = [...model].filter(([, members]) => members.size > 0).map(([key]) => key);
      assert.deepEqual([...sets.keys()].sort(), keys.sort());
      for (const key of keys) assert.equal(sets.first(key), [...(model.get(key) ?? [])].sort()[0]);
    }),
  );
});

test("many members come and go, from one to one", () => {
  const sets = new KeySets();
  const all = Array.from({ length: 300 }, (_, i) => `m${(i * 7) % 300}`);
  for (const member of all) sets.add("k", member);
  assert.deepEqual(sets.members("k"), [...all].sort());
  for (const member of all.slice(1)) sets.delete("k", member);
  assert.deepEqual([sets.members("k"), sets.first("k")], [[all[0]], all[0]]);
  sets.delete("k", "other");
  assert.equal(sets.first("k"), all[0]);
  sets.delete("k", all[0] as string);
  assert.deepEqual([[...sets.keys()], sets.members("k"), sets.first("k")], [[], [], undefined]);
});
