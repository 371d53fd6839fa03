import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NameSet } from "./name-set.ts";

const list = Array.from({ length: 20 }, (_, i) => `n${i}`);

test("whatever is done to sets of one list, each is what it would be alone", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), name: fc.constantFrom("n1", "n2", "x", "y") }),
    fc.record({ kind: fc.constant("delete" as const), name: fc.constantFrom("n1", "n2", "x", "z") }),
    fc.record({ kind: fc.constant("all" as const), few: fc.boolean() }),
    fc.record({ kind: fc.constant("clear" as const) }),
  );
  const few = ["n1", "x"];
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 2 }), step), { maxLength: 40 }), (steps) => {
      const sets = [new NameSet(), new NameSet(), new NameSet()] as const;
      const plain = [new Set<string>(), new Set<string>(), new Set<string>()] as const;
      for (const [at, made] of steps) {
        const [set, model] = [sets[at], plain[at]] as [NameSet, Set<string>];
        if (made.kind === "add") {
          set.add(made.name);
          model.add(made.name);
        } else if (made.kind === "delete") {
          assert.equal(set.delete(made.name), model.delete(made.name));
        } else if (made.kind === "clear") {
          set.clear();
          model.clear();
        } else {
          const names = made.few ? few : list;
          set.addAll(names);
          for (const name of names) model.add(name);
        }
        for (const [i, each] of sets.entries()) {
          assert.deepEqual([...each].sort(), [...(plain[i] as Set<string>)].sort());
          assert.equal(each.size, plain[i]?.size);
        }
      }
    }),
  );
});

test("those of one list are one set until they change", () => {
  const [a, b] = [new NameSet(), new NameSet()];
  a.addAll(list);
  b.addAll(list);
  assert.ok(a.shared && a.shared === b.shared);
  b.add("n1");
  assert.equal(b.shared, a.shared, "it was there already");
  b.delete("n1");
  assert.deepEqual([b.shared, a.has("n1"), b.has("n1")], [undefined, true, false]);
  assert.equal(new NameSet().shared, undefined);
});
