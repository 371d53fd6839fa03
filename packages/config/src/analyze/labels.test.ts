import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Labelled, labelIndex, labelsMatch } from "./labels.ts";

const labels = fc.dictionary(
  fc.constantFrom("app", "version", "a\nb", "__proto__"),
  fc.constantFrom("x", "y", "b\nx"),
  {
    maxKeys: 3,
  },
);
const item = fc.record({ namespace: fc.constantFrom("one", "two"), sets: fc.array(labels, { maxLength: 3 }) });

test("the index finds what looking at each finds, in the same order", () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 12 }), fc.array(labels, { maxLength: 5 }), (items, questions) => {
      const index = labelIndex(items, (one) => one);
      for (const wanted of questions) {
        const has = ({ sets }: Labelled): boolean => sets.some((set) => labelsMatch(wanted, set));
        for (const namespace of ["one", "two", "three"]) {
          const found = items.filter((one) => one.namespace === namespace && has(one));
          assert.deepEqual(index.matching(namespace, wanted), found);
          assert.equal(index.hasMatching(namespace, wanted), found.length > 0);
        }
        assert.equal(index.hasMatching(undefined, wanted), items.some(has));
      }
    }),
  );
});

test("only what shares the rarest label is looked at", () => {
  let looked = 0;
  const many = Array.from({ length: 1_000 }, (_, at) => ({ app: `app-${at}`, team: "all" }));
  const index = labelIndex(many, (one) => {
    looked++;
    return { namespace: "shop", sets: [one] };
  });
  assert.equal(index.hasMatching("shop", { team: "all" }), true);
  looked = 0;
  assert.deepEqual(index.matching("shop", { team: "all", app: "app-7" }), [{ app: "app-7", team: "all" }]);
  assert.equal(looked, 1);
});
