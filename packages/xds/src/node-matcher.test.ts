import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/node";
import type { ValueMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/value";
import { compileNodeMatchers } from "./node-matcher.ts";

const node = {
  id: "sidecar~10.0.0.1~web.default~d",
  metadata: { NAMESPACE: "default", N: 2.5, LIST: ["a", "b"], NOTHING: null, DEEP: { ON: true } },
};
const matches = (...matchers: readonly NodeMatcherJson[]): boolean => compileNodeMatchers(matchers)(node as never);
const metadata = (path: readonly string[], value: ValueMatcherJson): NodeMatcherJson => ({
  nodeMetadatas: [{ path: path.map((key) => ({ key })), value }],
});

test("no matcher means every node, several mean any of them", () => {
  assert.equal(matches(), true);
  assert.equal(matches({ nodeId: { exact: "other" } }), false);
  assert.equal(matches({ nodeId: { exact: "other" } }, { nodeId: { prefix: "sidecar~" } }), true);
});

test("every form of text is matched, a pattern as a whole", () => {
  for (const nodeId of [
    { prefix: "sidecar~10" },
    { suffix: "~d" },
    { contains: "WEB", ignoreCase: true },
    { safeRegex: { regex: "sidecar~.*~web\\..*" } },
  ])
    assert.equal(matches({ nodeId }), true, JSON.stringify(nodeId));
  for (const nodeId of [{ contains: "WEB" }, { safeRegex: { regex: "web" } }, { exact: "sidecar" }])
    assert.equal(matches({ nodeId }), false, JSON.stringify(nodeId));
});

test("all parts of one matcher must hold", () => {
  const right = metadata(["NAMESPACE"], { stringMatch: { exact: "default" } });
  assert.equal(matches({ ...right, nodeId: { prefix: "sidecar" } }), true);
  assert.equal(matches({ ...right, nodeId: { prefix: "router" } }), false);
});

test("metadata is matched by every kind of value, and what is not there matches nothing but its absence", () => {
  const cases: readonly (readonly [path: readonly string[], value: ValueMatcherJson, expected: boolean])[] = [
    [["DEEP", "ON"], { boolMatch: true }, true],
    [["DEEP", "ON"], { boolMatch: false }, false],
    [["N"], { doubleMatch: { exact: 2.5 } }, true],
    [["N"], { doubleMatch: { range: { start: 2, end: 3 } } }, true],
    [["N"], { doubleMatch: { range: { start: 3, end: 4 } } }, false],
    [["NOTHING"], { nullMatch: {} }, true],
    [["LIST"], { listMatch: { oneOf: { stringMatch: { exact: "b" } } } }, true],
    [["LIST"], { listMatch: { oneOf: { stringMatch: { exact: "c" } } } }, false],
    [["N"], { orMatch: { valueMatchers: [{ boolMatch: true }, { presentMatch: true }] } }, true],
    [["ABSENT"], { presentMatch: false }, true],
    [["ABSENT"], { presentMatch: true }, false],
    [["constructor"], { presentMatch: true }, false],
    [["NAMESPACE", "x"], { presentMatch: true }, false],
  ];
  for (const [path, value, expected] of cases)
    assert.equal(matches(metadata(path, value)), expected, `${path.join(".")} ${JSON.stringify(value)}`);
});

test("what cannot be matched is refused with its place", () => {
  const wrong: readonly (readonly [matcher: NodeMatcherJson, place: RegExp])[] = [
    [{ nodeId: {} }, /node_matchers\[0\]\.node_id/],
    [{ nodeId: { safeRegex: { regex: "(" } } }, /RE2/],
    [{ nodeId: { safeRegex: { regex: "a".repeat(5_000) } } }, /longer/],
    [{ nodeMetadatas: [{ value: { boolMatch: true } }] }, /path/],
    [{ nodeMetadatas: [{ path: [{ key: "a" }] }] }, /value/],
    [metadata(["a"], {}), /kind of match/],
  ];
  for (const [matcher, place] of wrong) assert.throws(() => compileNodeMatchers([matcher]), place);
  assert.throws(() => compileNodeMatchers(Array.from({ length: 65 }, () => ({}))), /more than 64/);
});

test("a matcher nested without end is refused", () => {
  let value: ValueMatcherJson = { boolMatch: true };
  for (let depth = 0; depth < 40; depth++) value = { listMatch: { oneOf: value } };
  assert.throws(() => compileNodeMatchers([metadata(["a"], value)]), /nested/);
});
