import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type EscapedSlashes, normalizePath } from "./normalize-path.ts";

const all = { normalize: true, mergeSlashes: true, escapedSlashes: "keep" as EscapedSlashes };
const path = (text: string, options = all): string => {
  const result = normalizePath(text, options);
  return result.kind === "path" ? result.path : result.kind;
};

test("dot segments, needless escapes and doubled slashes go; the query stays", () => {
  const cases: [string, string][] = [
    ["/a/b", "/a/b"],
    ["/", "/"],
    ["*", "*"],
    ["/a/./b/../c", "/a/c"],
    ["/a/../../b", "/b"],
    ["/..", "/"],
    ["/a/.", "/a/"],
    ["/a/..", "/"],
    ["/%7Euser/%61", "/~user/a"],
    ["/a%2fb", "/a%2Fb"],
    ["/%2e%2e/x", "/x"],
    ["/a\\..\\b", "/b"],
    ["//a///b", "/a/b"],
    ["/a/../b?x=/../y#/..", "/b?x=/../y#/.."],
    ["/a.b/c..d/.e", "/a.b/c..d/.e"],
  ];
  for (const [from, to] of cases) assert.equal(path(from), to, from);
});

test("broken escapes and zero bytes are rejected", () => {
  for (const bad of ["/%", "/%zz", "/a%0", "/%00"]) assert.equal(path(bad), "reject", bad);
});

test("escaped slashes are kept, refused, redirected or forwarded as told", () => {
  const as = (escapedSlashes: EscapedSlashes) => normalizePath("/a%2Fb%5c..?q", { ...all, escapedSlashes });
  assert.deepEqual(as("keep"), { kind: "path", path: "/a%2Fb%5C..?q" });
  assert.deepEqual(as("reject"), { kind: "reject" });
  assert.deepEqual(as("redirect"), { kind: "redirect", path: "/a/?q" });
  assert.deepEqual(as("forward"), { kind: "path", path: "/a/?q" });
});

test("without normalization only slashes are merged", () => {
  assert.equal(path("/a//./b", { ...all, normalize: false }), "/a/./b");
  assert.equal(path("/a//./b", { ...all, normalize: false, mergeSlashes: false }), "/a//./b");
});

test("normalizing twice changes nothing more", () => {
  const piece = fc.constantFrom("/", ".", "..", "a", "%2e", "%2F", "\\", "%7e", "b.c", "?", "#");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const once = normalizePath(`/${pieces.join("")}`, all);
      if (once.kind !== "path") return;
      assert.deepEqual(normalizePath(once.path, all), once);
    }),
  );
});
