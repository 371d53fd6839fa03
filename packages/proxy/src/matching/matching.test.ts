import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileCidr, isIp, parseIp } from "./cidr.ts";
import { pathOnly, queryParameter } from "./query-matcher.ts";
import { compileSubstitution, fullMatch, partialMatch, patternCharsMax } from "./regex.ts";
import { drawShare, runtimeShare } from "./runtime-fraction.ts";
import { compileStringTest } from "./string-matcher.ts";
import { compileValueMatcher } from "./value-matcher.ts";

test("a regex matches the whole value, on the fast paths as on the slow one", () => {
  const cases: [string, string[], string[]][] = [
    [".*", ["", "a"], []],
    [".+", ["a"], [""]],
    ["a/b", ["a/b"], ["a/bc", "xa/b"]],
    ["/api.*", ["/api", "/apix"], ["/ap"]],
    [".*-v1", ["x-v1", "-v1"], ["-v12"]],
    ["a.c", ["abc"], ["ac", "abcd"]],
    ["^a|b$", ["a", "b"], ["ab", "xb"]],
    ["(?i)ab", ["AB", "ab"], ["abc"]],
  ];
  for (const [pattern, hits, misses] of cases) {
    const match = fullMatch(pattern, "at");
    for (const value of hits) assert.equal(match(value), true, `${pattern} ~ ${value}`);
    for (const value of misses) assert.equal(match(value), false, `${pattern} ~ ${value}`);
  }
});

test("a regex that RE2 does not take, or that is too long, is refused", () => {
  assert.throws(() => fullMatch("(a", "match.regex"), /match.regex: is not an RE2 expression/);
  assert.throws(() => fullMatch("(?=a)", "r"), { name: "ConfigError" });
  assert.throws(() => fullMatch(`a${".".repeat(patternCharsMax)}`, "r"), /is longer than/);
});

test("a hostile value does not make matching slow", () => {
  const match = partialMatch("(a+)+$", "r");
  const started = performance.now();
  assert.equal(match(`${"a".repeat(20_000)}!`), false);
  assert.ok(performance.now() - started < 2000);
});

test("substitution takes groups and literal backslashes, and refuses others", () => {
  const replace = (regex: string, substitution: string) =>
    compileSubstitution({ pattern: { regex }, substitution }, "at");
  assert.equal(replace("(a)(b)?", "[\\1\\2]")("xaby"), "x[ab]y");
  assert.equal(replace("(a)(b)?", "[\\1\\2]")("xa"), "x[a]");
  assert.equal(replace("a", "$1\\\\")("a"), "$1\\");
  assert.equal(replace("a", "\\0\\0")("bab"), "baab");
  assert.throws(() => replace("a", "\\x"), /at.substitution: has a backslash/);
});

test("a string matcher needs exactly one kind, and only exact may be empty", () => {
  assert.throws(() => compileStringTest({}, "m"), /m: needs one of/);
  assert.throws(
    () => compileStringTest({ exact: "a", prefix: "b" }, "m"),
    /m.prefix: cannot be given together with exact/,
  );
  assert.throws(() => compileStringTest({ prefix: "" }, "m"), /m.prefix: must not be empty/);
  assert.equal(compileStringTest({ exact: "" }, "m").test(""), true);
  assert.equal(compileStringTest({ contains: "Ab", ignoreCase: true }, "m").test("xaBy"), true);
});

test("query parameters are read up to the fragment, undecoded, the first of a name", () => {
  const cases: [string, string, string | undefined][] = [
    ["/p?a=1&b=2", "b", "2"],
    ["/p?a=1&a=2", "a", "1"],
    ["/p?a", "a", ""],
    ["/p?a=", "a", ""],
    ["/p?a&b", "b", ""],
    ["/p?ab=1", "a", undefined],
    ["/p?x=a=b", "x", "a=b"],
    ["/p", "a", undefined],
    ["/p#?a=1", "a", undefined],
    ["/p?a=1#a=2&b=3", "b", undefined],
    ["/p?a=%20", "a", "%20"],
    ["?", "", ""],
  ];
  for (const [path, name, value] of cases) assert.equal(queryParameter(path, name), value, `${path} ${name}`);
  assert.equal(pathOnly("/a#b?c"), "/a");
});

test("query parameters agree with the URL standard on plain names and values", () => {
  const word = fc.stringMatching(/^[a-z]{0,3}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(word, word), { maxLength: 5 }), word, (pairs, name) => {
      const query = pairs.map(([key, value]) => `${key}=${value}`).join("&");
      if (query === "" || pairs.some(([key]) => key === "")) return;
      assert.equal(queryParameter(`/p?${query}`, name), new URLSearchParams(query).get(name) ?? undefined);
    }),
  );
});

test("addresses are recognised, anything else is not", () => {
  for (const ip of ["1.2.3.4", "0.0.0.0", "::", "::1", "fe80::1%eth0", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "a::b"]) {
    assert.equal(isIp(ip), true, ip);
  }
  const bad = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "1.2.3.x",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "g::",
    "12345::",
    "a.b",
  ];
  for (const text of bad) assert.equal(isIp(text), false, text);
  assert.deepEqual(parseIp("::ffff:1.2.3.4"), parseIp("1.2.3.4"));
});

test("ranges hold what their prefix says, in both families", () => {
  const has = (addressPrefix: string, prefixLen: number, ip: string) =>
    compileCidr({ addressPrefix, prefixLen }, "c")(ip);
  assert.equal(has("10.1.0.0", 16, "10.1.255.1"), true);
  assert.equal(has("10.1.0.0", 16, "10.2.0.1"), false);
  assert.equal(has("10.1.2.3", 32, "10.1.2.3"), true);
  assert.equal(has("0.0.0.0", 0, "8.8.8.8"), true);
  assert.equal(has("0.0.0.0", 0, "::1"), false);
  assert.equal(has("128.0.0.0", 1, "200.0.0.1"), true);
  assert.equal(has("2001:db8::", 33, "2001:db8:7fff::1"), true);
  assert.equal(has("2001:db8::", 33, "2001:db8:8000::1"), false);
  assert.equal(has("10.0.0.0", 8, "not-an-ip"), false);
  assert.throws(() => has("10.0.0.0", 33, ""), /c.prefixLen: 33 is too long/);
  assert.throws(() => has("nowhere", 8, ""), /c.addressPrefix: "nowhere" is not an IP address/);
});

test("fractions draw their share, and draw nothing when the answer is plain", () => {
  const never = () => {
    throw new Error("drawn");
  };
  assert.equal(drawShare(0, never)(), false);
  assert.equal(drawShare(1, never)(), true);
  assert.equal(drawShare(0.25, () => 0.2499)(), true);
  assert.equal(drawShare(0.25, () => 0.25)(), false);
  assert.equal(runtimeShare({ defaultValue: { numerator: 5, denominator: "MILLION" }, runtimeKey: "k" }, "f"), 5e-6);
  assert.equal(runtimeShare({ defaultValue: { numerator: 500 } }, "f"), 1);
});

test("metadata values are matched by kind", () => {
  assert.equal(compileValueMatcher({ stringMatch: { prefix: "a" } }, "v")("ab"), true);
  assert.equal(compileValueMatcher({ stringMatch: { prefix: "a" } }, "v")(undefined), false);
  assert.equal(compileValueMatcher({ listMatch: { oneOf: { stringMatch: { exact: "x" } } } }, "v")(["y", "x"]), true);
  assert.equal(compileValueMatcher({ presentMatch: true }, "v")(undefined), false);
  assert.equal(compileValueMatcher({ doubleMatch: { range: { start: 1, end: 2 } } }, "v")(2), false);
  assert.throws(() => compileValueMatcher({}, "v"), /v: needs a kind/);
});
