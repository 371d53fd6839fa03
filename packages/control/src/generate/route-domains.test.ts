import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createDomainCheck } from "./route-domains.ts";

const host = fc.record({
  name: fc.constantFrom("a", "b", "c"),
  domains: fc.array(fc.constantFrom(..."abcdefghijklmnopqrstuvwxyzAB"), { maxLength: 2 }),
});

test("a table after others is checked as one alone: the first host keeps a domain, whatever its case", () => {
  fc.assert(
    fc.property(
      fc.array(host, { minLength: 8, maxLength: 8 }),
      fc.array(fc.array(fc.nat({ max: 7 }), { maxLength: 8 }), { maxLength: 6 }),
      (hosts, tables) => {
        const check = createDomainCheck();
        for (const table of tables) {
          const chosen = table.flatMap((at) => hosts[at] ?? []);
          assert.deepEqual(check(chosen), createDomainCheck()(chosen));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test("hosts that were there are the same objects; one whose domains are all taken goes", () => {
  const check = createDomainCheck();
  const [a, b, c] = [
    { name: "a", domains: ["a", "x"] },
    { name: "b", domains: ["b", "X"] },
    { name: "c", domains: ["A"] },
  ];
  const first = check([a, b, c]);
  assert.equal(first[0], a);
  assert.deepEqual(first.slice(1), [{ name: "b", domains: ["b"] }]);
  assert.deepEqual(check([b, c]), [b, c], "nobody else has them any more");
  assert.deepEqual(check([a, b, c]), first);
});
