import assert from "node:assert/strict";
import { test } from "node:test";
import { formatProblem } from "./formats.ts";
import type { Format } from "./schema.ts";

const cases: readonly (readonly [Format, readonly string[], readonly string[]])[] = [
  [
    "ip",
    ["10.0.0.1", "::1", "2001:db8::8a2e:1", "::ffff:10.0.0.1", "1:2:3:4:5:6:7:8"],
    ["10.0.0", "10.0.0.256", "01.2.3.4", "1:2", ":::", "1::2::3", "g::1", "", "1:2:3:4:5:6:7:8:9", "10.0.0.1/8"],
  ],
  [
    "ipOrCidr",
    ["10.0.0.0/8", "::/0", "fe80::/10", "1.2.3.4"],
    ["10.0.0.0/33", "::/129", "10.0.0.0/", "a/8", "1.2.3.4/8/8"],
  ],
  [
    "host",
    ["a", "a.b.c", "*", "*.a.b", "a_b.c", "10.0.0.1", "a.b."],
    ["", "*a", "a.*", "*.*", "a..b", "-a", "a b", "a/b"],
  ],
  ["serviceHost", ["a", "a.b"], ["*", "*.a", "", "a/b"]],
  ["destinationHost", ["a", "a.b", "*.a", "10.0.0.1"], ["*", "a.*", "*a", "", "a/b"]],
  ["gatewayHost", ["*", "a.b", "ns/*.a", "./a", "*/a"], ["a/b/c", "n s/a", "/a", "ns/"]],
  ["regex", ["a.*b", "(?i)x", "[0-9]{1,3}"], ["", "(", "a**", "(?=x)", "(a)\\1", "x".repeat(5000), "(a{1000}){1000}"]],
  ["regexOrPresence", ["*", "a"], ["**"]],
  ["labelValue", ["", "v1", "a.b_c-d"], ["-a", "a b", "x".repeat(64), "é"]],
  ["namespaceScope", ["*", ".", "shop"], ["a/b", "", "a b"]],
  ["headerName", ["x-a", ":authority"], ["", "a b", "a:b"]],
];

for (const [format, good, bad] of cases) {
  test(`${format} takes what it is for and refuses the rest`, () => {
    for (const text of good) assert.equal(formatProblem(format, text), undefined, text);
    for (const text of bad) assert.equal(typeof formatProblem(format, text), "string", text);
  });
}
