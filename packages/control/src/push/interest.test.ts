import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createInterest } from "./interest.ts";

const sets: readonly ReadonlySet<string>[] = [new Set(["a", "b"]), new Set(["b", "c"]), new Set(["a", "b"])];

test("whoever joins, leaves, adds and removes, exactly those are found that want a name, and nothing is left behind", () => {
  const step = fc.record({
    who: fc.nat({ max: 3 }),
    what: fc.constantFrom("add", "remove", "join", "leave", "all", "none"),
    name: fc.constantFrom("a", "b", "c"),
    set: fc.nat({ max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const interest = createInterest<number>();
      const own = [0, 1, 2, 3].map(() => new Set<string>());
      const joined = [0, 1, 2, 3].map(() => new Set<ReadonlySet<string>>());
      const all = new Set<number>();
      for (const { who, what, name, set } of steps) {
        const names = sets[set] as ReadonlySet<string>;
        if (what === "add") {
          interest.add(who, name);
          own[who]?.add(name);
        } else if (what === "remove") {
          interest.remove(who, name);
          own[who]?.delete(name);
        } else if (what === "join") {
          interest.join(who, names);
          joined[who]?.add(names);
        } else if (what === "leave") {
          interest.leave(who, names);
          joined[who]?.delete(names);
        } else if (what === "all") {
          interest.addAll(who);
          all.add(who);
        } else {
          interest.removeAll(who);
          all.delete(who);
        }
        const wants = (who: number, name: string): boolean =>
          all.has(who) || own[who]?.has(name) === true || [...(joined[who] ?? [])].some((names) => names.has(name));
        for (const name of ["a", "b", "c"]) {
          const found = [...interest.of([name])].sort();
          assert.deepEqual(
            found,
            [0, 1, 2, 3].filter((who) => wants(who, name)),
          );
        }
      }
      for (const who of [0, 1, 2, 3]) {
        for (const name of own[who] ?? []) interest.remove(who, name);
        for (const names of joined[who] ?? []) interest.leave(who, names);
      }
      assert.equal(interest.size, 0);
    }),
  );
});
