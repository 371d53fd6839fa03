import assert from "node:assert/strict";
import { test } from "node:test";
import type { FilterChainMatchJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import fc from "fast-check";
import { ChainIndex } from "./chain-index.ts";
import { type ConnectionFacts, compileMatch } from "./filter-chain-match.ts";

/** Few values of each property, so that matches meet. */
const few = <T>(...values: readonly T[]) => fc.subarray([...values], { maxLength: 2 });
const range = (addressPrefix: string, prefixLen: number) => ({ addressPrefix, prefixLen });
const ranges = few(range("10.0.0.0", 8), range("10.1.0.0", 16), range("10.1.1.1", 32), range("2001:db8::", 32));
const matchJson: fc.Arbitrary<FilterChainMatchJson> = fc.record(
  {
    destinationPort: fc.constantFrom(80, 443),
    prefixRanges: ranges,
    serverNames: few("a.shop.com", "*.shop.com", "*.com", "b.com"),
    transportProtocol: fc.constantFrom("tls", "raw_buffer"),
    applicationProtocols: few("h2", "http/1.1", "istio"),
    directSourcePrefixRanges: ranges,
    sourceType: fc.constantFrom("ANY" as const, "SAME_IP_OR_LOOPBACK" as const, "EXTERNAL" as const),
    sourcePrefixRanges: ranges,
    sourcePorts: few(1000, 2000),
  },
  { requiredKeys: [] },
);
const host = fc.constantFrom("10.1.1.1", "10.1.2.3", "10.9.9.9", "127.0.0.1", "127.0.0.6", "2001:db8::1", "192.0.2.1");
const facts: fc.Arbitrary<ConnectionFacts> = fc.record({
  destinationHost: host,
  destinationPort: fc.constantFrom(80, 443, 8080),
  sourceHost: host,
  sourcePort: fc.constantFrom(1000, 2000, 3000),
  directSourceHost: host,
  serverName: fc.constantFrom("", "a.shop.com", "c.shop.com", "x.y.shop.com", "b.com", "com", "a.org"),
  transportProtocol: fc.constantFrom("tls" as const, "raw_buffer" as const),
  applicationProtocols: fc.subarray(["h2", "http/1.1", "istio", "other"]),
});

const bits = (address: string): string => {
  if (!address.includes(":"))
    return address
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string) => text.split(":").filter((group) => group !== "");
  const zeros = Array<string>(8 - groups(head).length - groups(tail).length).fill("0");
  return [...groups(head), ...zeros, ...groups(tail)]
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0"))
    .join("");
};
const holds = (list: FilterChainMatchJson["prefixRanges"], address: string): number | undefined => {
  if (list === undefined || list.length === 0) return -1;
  const lengths = list
    .filter(({ addressPrefix = "", prefixLen = 0 }) => {
      const [a, b] = [bits(addressPrefix), bits(address)];
      return a.length === b.length && a.slice(0, prefixLen) === b.slice(0, prefixLen);
    })
    .map(({ prefixLen = 0 }) => prefixLen ?? 0);
  return lengths.length === 0 ? undefined : Math.max(...lengths);
};
const listed = <T>(list: readonly T[] | undefined, value: T): number | undefined =>
  list === undefined || list.length === 0 ? -1 : list.includes(value) ? 0 : undefined;

/** How well a match holds for each property in turn; `undefined` where it does not. */
const ranks: readonly ((match: FilterChainMatchJson, facts: ConnectionFacts) => number | undefined)[] = [
  ({ destinationPort: port }, facts) => (port === undefined ? -1 : port === facts.destinationPort ? 0 : undefined),
  ({ prefixRanges }, { destinationHost }) => holds(prefixRanges, destinationHost),
  ({ serverNames }, { serverName }) => {
    if (serverNames === undefined || serverNames.length === 0) return -1;
    const found = serverNames
      .filter((name) => name === serverName || (name.startsWith("*.") && serverName.endsWith(name.slice(1))))
      .map((name) => (name === serverName ? 1000 : name.length));
    return found.length === 0 ? undefined : Math.max(...found);
  },
  ({ transportProtocol: wanted }, facts) =>
    wanted === undefined ? -1 : wanted === facts.transportProtocol ? 0 : undefined,
  ({ applicationProtocols: wanted }, facts) => {
    if (wanted === undefined || wanted.length === 0) return -1;
    const first = facts.applicationProtocols.findIndex((each) => wanted.includes(each));
    return first < 0 ? undefined : 1000 - first;
  },
  ({ directSourcePrefixRanges }, facts) => holds(directSourcePrefixRanges, facts.directSourceHost ?? ""),
  ({ sourceType }, { sourceHost, destinationHost }) => {
    if (sourceType === undefined || sourceType === "ANY") return -1;
    const local = ["127.0.0.1", "::1", destinationHost].includes(sourceHost);
    return (sourceType === "SAME_IP_OR_LOOPBACK") === local ? 0 : undefined;
  },
  ({ sourcePrefixRanges }, { sourceHost }) => holds(sourcePrefixRanges, sourceHost),
  ({ sourcePorts }, { sourcePort }) => listed(sourcePorts, sourcePort),
];

/** Property by property, only those that hold best stay. */
const reference = (matches: readonly FilterChainMatchJson[], given: ConnectionFacts): number | undefined => {
  let left = matches.map((match, index) => ({ match, index }));
  for (const rank of ranks) {
    const best = Math.max(...left.map(({ match }) => rank(match, given) ?? Number.NEGATIVE_INFINITY));
    left = left.filter(({ match }) => rank(match, given) === best);
  }
  return left[0]?.index;
};

test("chains are chosen as by looking at one property after the other", () => {
  fc.assert(
    fc.property(
      fc.array(matchJson, { maxLength: 12 }),
      fc.array(facts, { minLength: 1, maxLength: 20 }),
      (all, given) => {
        const index = new ChainIndex<{ match: ReturnType<typeof compileMatch>; json: FilterChainMatchJson }>();
        const taken: FilterChainMatchJson[] = [];
        for (const json of all) {
          // A listener with such a chain would be refused; the rest of them is one that is not.
          const before = new ChainIndex<{ match: ReturnType<typeof compileMatch> }>();
          const overlaps = [...taken, json].some((each) => before.add({ match: compileMatch(each, "") }) !== undefined);
          if (overlaps) continue;
          taken.push(json);
          index.add({ match: compileMatch(json, ""), json });
        }
        for (const each of given) {
          const chosen = index.find(each)?.json;
          assert.equal(chosen === undefined ? undefined : taken.indexOf(chosen), reference(taken, each));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a chain that some connection could not tell from another is found out", () => {
  const index = new ChainIndex<{ match: ReturnType<typeof compileMatch>; name: string }>();
  const add = (name: string, json: FilterChainMatchJson) => {
    const twin = index.add({ name, match: compileMatch(json, "") });
    return typeof twin === "object" ? twin.name : twin;
  };
  assert.equal(add("one", { serverNames: ["a.com", "b.com"], sourcePorts: [1, 2] }), undefined);
  assert.equal(add("two", { serverNames: ["b.com"], sourcePorts: [3] }), undefined);
  assert.equal(add("three", { serverNames: ["c.com", "B.com"], sourcePorts: [2] }), "one");
  assert.equal(add("four", {}), undefined);
  assert.equal(add("five", { prefixRanges: [] }), "four");
});

test("chains with more cases than can be kept are refused before they are", () => {
  const ports = Array.from({ length: 1000 }, (_, i) => i + 1);
  const serverNames = Array.from({ length: 1001 }, (_, i) => `n${i}.com`);
  const index = new ChainIndex<{ match: ReturnType<typeof compileMatch> }>();
  assert.equal(index.add({ match: compileMatch({ serverNames, sourcePorts: ports }, "") }), "tooMany");
});
