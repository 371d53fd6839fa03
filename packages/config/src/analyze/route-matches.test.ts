import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { StringMatch } from "../kinds/common.ts";
import type { HttpMatchRequest } from "../kinds/virtual-service.ts";
import { covers } from "./route-matches.ts";

const pairs: readonly (readonly [string, HttpMatchRequest, HttpMatchRequest, boolean])[] = [
  ["nothing asked covers all", {}, { uri: { exact: "/a" }, method: { exact: "GET" } }, true],
  ["the root prefix covers all paths", { uri: { prefix: "/" } }, {}, true],
  ["a prefix covers longer ones", { uri: { prefix: "/a" } }, { uri: { prefix: "/ab" } }, true],
  ["a prefix does not cover shorter ones", { uri: { prefix: "/ab" } }, { uri: { prefix: "/a" } }, false],
  ["a prefix may not cover an expression", { uri: { prefix: "/a" } }, { uri: { regex: "/a.*" } }, false],
  ["an expression for everything covers", { uri: { regex: ".*" } }, { uri: { prefix: "/a" } }, true],
  ["equal expressions cover", { uri: { regex: "/a+" } }, { uri: { regex: "/a+" } }, true],
  ["case matters", { uri: { prefix: "/A" } }, { uri: { exact: "/ab" } }, false],
  ["case may not matter", { uri: { prefix: "/A" }, ignoreUriCase: true }, { uri: { exact: "/ab" } }, true],
  ["the wider case is not covered", { uri: { exact: "/a" } }, { uri: { exact: "/a" }, ignoreUriCase: true }, false],
  ["a header asked for narrows", { headers: { a: { exact: "x" } } }, {}, false],
  ["presence covers a value", { headers: { a: {} } }, { headers: { a: { exact: "x" } } }, true],
  ["a value does not cover presence", { headers: { a: { exact: "x" } } }, { headers: { a: {} } }, false],
  ["an exclusion narrows", { withoutHeaders: { a: {} } }, {}, false],
  ["a wider exclusion is covered", { withoutHeaders: { a: { exact: "x" } } }, { withoutHeaders: { a: {} } }, true],
  ["a narrower exclusion is not", { withoutHeaders: { a: {} } }, { withoutHeaders: { a: { exact: "x" } } }, false],
  ["a port narrows", { port: 80 }, {}, false],
  ["gateways narrow", { gateways: ["a"] }, { gateways: ["a", "b"] }, false],
  ["labels narrow", { sourceLabels: { a: "b" } }, { sourceLabels: { a: "b", c: "d" } }, true],
];

for (const [what, outer, inner, expected] of pairs) {
  test(`${what}`, () => {
    assert.equal(covers(outer, inner), expected);
  });
}

const holds = (match: StringMatch, text: string): boolean =>
  match.exact !== undefined
    ? text === match.exact
    : match.prefix !== undefined
      ? text.startsWith(match.prefix)
      : match.regex === undefined || match.regex === "*" || new RegExp(`^(?:${match.regex})$`).test(text);

const matches = (
  match: HttpMatchRequest,
  request: { readonly path: string; readonly header: string | undefined },
): boolean => {
  const fold = (text: string) => (match.ignoreUriCase && match.uri?.regex === undefined ? text.toLowerCase() : text);
  const uri = match.uri && Object.fromEntries(Object.entries(match.uri).map(([kind, text]) => [kind, fold(text)]));
  if (uri && !holds(uri, fold(request.path))) return false;
  const wanted = match.headers?.h;
  if (wanted && (request.header === undefined || !holds(wanted, request.header))) return false;
  const unwanted = match.withoutHeaders?.h;
  return !(unwanted && request.header !== undefined && holds(unwanted, request.header));
};

const path = fc.constantFrom("/", "/a", "/A", "/ab", "/ab/c", "/b");
const texts = fc.oneof(
  path.map((exact): StringMatch => ({ exact })),
  path.map((prefix): StringMatch => ({ prefix })),
  fc.constantFrom(".*", "/a.*", "/ab?", "/").map((regex): StringMatch => ({ regex })),
);
const headerMatch = fc.record({ h: fc.oneof(texts, fc.constant({}), fc.constant({ regex: "*" })) });
const someMatch: fc.Arbitrary<HttpMatchRequest> = fc.record(
  { uri: texts, ignoreUriCase: fc.boolean(), headers: headerMatch, withoutHeaders: headerMatch },
  { requiredKeys: [] },
);

test("what is said to be covered is covered, for every request", () => {
  let proofs = 0;
  fc.assert(
    fc.property(someMatch, someMatch, (outer, inner) => {
      if (!covers(outer, inner)) return;
      proofs++;
      for (const at of ["/", "/a", "/A", "/ab", "/ab/c", "/b", "/abc"]) {
        for (const header of [undefined, "/", "/a", "/ab", "/b"]) {
          const request = { path: at, header };
          assert.ok(!matches(inner, request) || matches(outer, request), JSON.stringify(request));
        }
      }
    }),
    { numRuns: 3000, seed: 7 },
  );
  assert.ok(proofs > 100);
});
