import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ChainConditions, chainMatch, cidrRange, takesAll, withoutOverlap } from "./chain-match.ts";

const chain = (fields: Partial<ChainConditions> = {}): ChainConditions => ({
  serverNames: [],
  cidrs: [],
  alpn: [],
  transport: "",
  ...fields,
});

test("ranges have their host bits cleared, of both families; what is no range is none", () => {
  const text = (value: string) => {
    const range = cidrRange(value);
    return range && `${range.addressPrefix}/${range.prefixLen}`;
  };
  assert.deepEqual(["10.1.2.3", "10.1.2.3/8", "10.1.2.255/25", "0.0.0.0/0", "fd00:1::ff/32", "::1"].map(text), [
    "10.1.2.3/32",
    "10.0.0.0/8",
    "10.1.2.128/25",
    "0.0.0.0/0",
    "fd00:1:0:0:0:0:0:0/32",
    "0:0:0:0:0:0:0:1/128",
  ]);
  assert.deepEqual(
    ["", "example", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "::1/129"].map(text),
    Array(6).fill(undefined),
  );
});

test("a chain without conditions, or for every name, takes all", () => {
  assert.ok(takesAll(chain()) && takesAll(chain({ serverNames: ["*"] })));
  assert.ok(!takesAll(chain({ serverNames: ["a"] })) && !takesAll(chain({ alpn: ["h2c"] })));
  assert.deepEqual(chainMatch(chain({ serverNames: ["*", "b"], transport: "tls" })), { transportProtocol: "tls" });
});

test("names an earlier chain has are taken from the later one, and told", () => {
  const lost: (readonly string[])[] = [];
  const kept = withoutOverlap([chain({ serverNames: ["a", "b"] }), chain({ serverNames: ["B", "c"] })], (_, what) =>
    lost.push(what),
  );
  assert.deepEqual(
    kept.map(({ serverNames }) => serverNames),
    [["a", "b"], ["c"]],
  );
  assert.deepEqual(lost, [["b"]]);
});

/** Every combination a chain stands for, as Envoy compares them. */
const combinations = ({ serverNames, cidrs, alpn, transport }: ChainConditions): readonly string[] => {
  const names =
    serverNames.length === 0 || serverNames.includes("*") ? [""] : serverNames.map((name) => name.toLowerCase());
  const or = (list: readonly string[]): readonly string[] => (list.length > 0 ? list : [""]);
  return names.flatMap((name) =>
    or(cidrs).flatMap((cidr) => or(alpn).map((one) => JSON.stringify([name, cidr && cidrRange(cidr), one, transport]))),
  );
};

test("no two chains that are kept take the same connections, and each connection taken before still is", () => {
  const arbitrary = fc.record({
    serverNames: fc.uniqueArray(fc.constantFrom("a", "b", "c", "*"), { maxLength: 3 }),
    cidrs: fc.uniqueArray(fc.constantFrom("10.0.0.0/8", "10.1.2.3/8", "10.1.0.0/16"), {
      maxLength: 2,
      selector: (one) => JSON.stringify(cidrRange(one)),
    }),
    alpn: fc.constantFrom<readonly string[]>([], ["h2c"]),
    transport: fc.constantFrom("", "tls"),
  });
  fc.assert(
    fc.property(fc.array(arbitrary, { maxLength: 8 }), (chains) => {
      const kept = withoutOverlap(chains).flatMap(combinations);
      assert.equal(new Set(kept).size, kept.length);
      const [first] = chains;
      if (first) assert.ok(combinations(first).every((one) => kept.includes(one)));
    }),
  );
});
