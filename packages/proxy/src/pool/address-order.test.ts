import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HostTarget } from "../clusters/host.ts";
import { orderAddresses } from "./address-order.ts";

const target = (text: string): HostTarget =>
  text.startsWith("/") ? { kind: "pipe", path: text } : { kind: "ip", host: text, port: 80 };
const order = (text: string, firstFamily?: "v4" | "v6", count = 1): string =>
  orderAddresses(text.split(" ").map(target), { firstFamily, count })
    .map((one) => (one.kind === "ip" ? one.host : one.path))
    .join(" ");

for (const [given, wanted, firstFamily, count] of [
  ["1.1.1.1 1.1.1.2", "1.1.1.1 1.1.1.2"],
  ["::1 ::2 1.1.1.1 1.1.1.2", "::1 1.1.1.1 ::2 1.1.1.2"],
  ["::1 ::2 ::3 1.1.1.1", "::1 1.1.1.1 ::2 ::3"],
  ["1.1.1.1 ::1 ::2 ::3", "1.1.1.1 ::1 ::2 ::3"],
  ["1.1.1.1 1.1.1.2 ::1", "::1 1.1.1.1 1.1.1.2", "v6"],
  ["1.1.1.1 1.1.1.2", "1.1.1.1 1.1.1.2", "v6"],
  ["::1 ::2 ::3 1.1.1.1 1.1.1.2", "::1 ::2 1.1.1.1 ::3 1.1.1.2", "v6", 2],
  ["/socket 1.1.1.1 ::1", "/socket 1.1.1.1 ::1"],
] as const)
  test(`${given}: ${wanted} (${firstFamily ?? "as given"}, ${count ?? 1})`, () =>
    assert.equal(order(given, firstFamily, count), wanted));

test("nothing is lost or tried twice, and each family keeps its order", () => {
  const some = fc.array(fc.constantFrom("v4", "v6"), { maxLength: 12 });
  const family = fc.constantFrom(undefined, "v4" as const, "v6" as const);
  fc.assert(
    fc.property(some, family, fc.integer({ min: 1, max: 5 }), (families, firstFamily, count) => {
      const given = families.map((one, index) => target(one === "v4" ? `1.1.1.${index}` : `::${index}`));
      const ordered = orderAddresses(given, { firstFamily, count });
      assert.deepEqual(new Set(ordered), new Set(given));
      assert.equal(ordered.length, given.length);
      for (const six of [true, false]) {
        const of = (all: readonly HostTarget[]) =>
          all.filter((one) => one.kind === "ip" && one.host.includes(":") === six);
        assert.deepEqual(of(ordered), of(given));
      }
    }),
  );
});
