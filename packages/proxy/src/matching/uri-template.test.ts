import assert from "node:assert/strict";
import { test } from "node:test";
import { compileTemplateRewrite, compileUriTemplate } from "./uri-template.ts";

const takes = (template: string, path: string): boolean => compileUriTemplate(template, "t").test(path);

test("wildcards take one segment or the rest", () => {
  const cases: [string, string, boolean][] = [
    ["/a/*", "/a/b", true],
    ["/a/*", "/a/b/c", false],
    ["/a/*", "/a/", false],
    ["/a/**", "/a/b/c", true],
    ["/a/**", "/a/", true],
    ["/a/**", "/a", false],
    ["/a/{x}/c", "/a/b/c", true],
    ["/{x=*}/{y=**}", "/a/b/c", true],
    ["/a/{x=b/*}/c", "/a/b/1/c", true],
    ["/a/{x=b/*}/c", "/a/z/1/c", false],
    ["/a/{x}.html", "/a/b.html", true],
    ["/a/{x}.html", "/a/bxhtml", false],
    ["/a/", "/a/", true],
    ["/", "/", true],
  ];
  for (const [template, path, expected] of cases) assert.equal(takes(template, path), expected, `${template} ${path}`);
});

test("a template knows what its paths begin with", () => {
  assert.equal(compileUriTemplate("/a/b/{c}/d", "t").prefix, "/a/b/");
  assert.equal(compileUriTemplate("/a", "t").prefix, "/a");
});

test("templates that Envoy refuses are refused", () => {
  for (const bad of [
    "a/b",
    "/a b",
    "/a//b",
    "/**/*",
    "/**/{x}",
    "/{x}/{x}",
    "/{1x}",
    "/{}",
    "/{x=}",
    "/{a}/{b}/{c}/{d}/{e}/{f}",
    `/{${"n".repeat(17)}}`,
    "/{x",
    "/a*b",
    "/{x}y/z",
    "/a=b",
  ])
    assert.throws(() => compileUriTemplate(bad, "t"), { name: "ConfigError" }, bad);
});

test("variables are put into the rewritten path in any order", () => {
  const template = compileUriTemplate("/{a}/x/{b=**}", "t");
  const rewrite = compileTemplateRewrite("/{b}/of/{a}", template, "r");
  assert.equal(rewrite("/1/x/2/3"), "/2/3/of/1");
  assert.equal(rewrite("/1/y/2"), undefined);
  for (const bad of ["{a}", "/{c}", "/a//b", "/a b"])
    assert.throws(() => compileTemplateRewrite(bad, template, "r"), { name: "ConfigError" }, bad);
});
