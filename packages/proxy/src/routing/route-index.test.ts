import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteMatchJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import fc from "fast-check";
import { compileTools, downstream, request } from "../compile/testing/fixtures.ts";
import { buildPathTrie } from "./path-trie.ts";
import { compileRouteTable } from "./route-table.ts";

const text = fc
  .array(fc.constantFrom("/", "a", "b", "ab", "x1"), { maxLength: 5 })
  .map((parts) => `/${parts.join("")}`);

test("a trie finds the entries whose text a path begins with, and no others", () => {
  fc.assert(
    fc.property(fc.array(text, { maxLength: 30 }), text, (texts, path) => {
      const trie = buildPathTrie(texts.map((each, index) => [each, index]));
      const lists: (readonly number[])[] = [];
      const count = trie.collect(path, lists);
      const entries = lists.slice(0, count).flat();
      assert.deepEqual(
        entries.toSorted((a, b) => a - b),
        texts.flatMap((each, index) => (path.startsWith(each) ? [index] : [])),
      );
    }),
  );
});

test("a list in a trie is in ascending order, whatever came between", () => {
  const trie = buildPathTrie([
    ["/a", 0],
    ["/ab", 1],
    ["/a", 2],
    ["/abc", 3],
    ["/ab", 4],
  ]);
  const lists: (readonly number[])[] = [];
  assert.equal(trie.collect("/abcd", lists), 3);
  assert.deepEqual(lists, [[0, 2], [1, 4], [3]]);
});

const match: fc.Arbitrary<RouteMatchJson> = fc
  .tuple(text, fc.constantFrom("prefix", "path", "safeRegex", "folded", "separated", "template"), fc.boolean())
  .map(([at, kind, header]): RouteMatchJson => {
    const headers = header ? { headers: [{ name: "x-h", presentMatch: true }] } : {};
    if (kind === "path") return { path: at, ...headers };
    if (kind === "folded") return { prefix: at.toUpperCase(), caseSensitive: false, ...headers };
    if (kind === "safeRegex") return { safeRegex: { regex: `${at}b?.*` }, ...headers };
    if (kind === "separated" && /[^/]$/.test(at)) return { pathSeparatedPrefix: at, ...headers };
    if (kind === "template" && !at.includes("//")) return templateOf(`${at.replace(/\/$/, "")}/{rest=**}`, headers);
    return { prefix: at, ...headers };
  });

const templateOf = (pathTemplate: string, rest: object): RouteMatchJson => ({
  pathMatchPolicy: {
    name: "template",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
      pathTemplate,
    } as never,
  },
  ...rest,
});

const tableOf = (matches: readonly RouteMatchJson[]) =>
  compileRouteTable(
    {
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: matches.map((each, index) => ({ name: String(index), match: each, route: { cluster: "c" } })),
        },
      ],
    },
    compileTools(),
  );

test("a long list of routes gives the route that trying them one by one gives", () => {
  fc.assert(
    fc.property(fc.array(match, { minLength: 9, maxLength: 40 }), text, fc.boolean(), (matches, path, header) => {
      const head = request(`${path}?q=/a`, header ? { "x-h": "1" } : {});
      const alone = matches.findIndex((each) => tableOf([each]).match(head, downstream()) !== undefined);
      const found = tableOf(matches).match(head, downstream())?.name;
      assert.equal(found, alone < 0 ? undefined : String(alone));
    }),
    { numRuns: 200 },
  );
});

test("a host with one route takes what one with another behind it takes", () => {
  const never: RouteMatchJson = { path: "/never", headers: [{ name: "x-never", presentMatch: true }] };
  const prefix = fc.constantFrom("/", "", "/a", "/a?b", "/a#b", "/A", "?", "a");
  const path = fc.constantFrom("/", "/a", "/a?b", "/a#b", "/b?/a", "/A/x", "*", "", "/a/b?c");
  const one = fc.tuple(prefix, fc.boolean(), fc.boolean()).map(
    ([each, folds, header]): RouteMatchJson => ({
      prefix: each,
      ...(folds ? { caseSensitive: false } : {}),
      ...(header ? { headers: [{ name: "x-h", presentMatch: true }] } : {}),
    }),
  );
  fc.assert(
    fc.property(one, path, fc.constantFrom("GET", "CONNECT"), fc.boolean(), (json, at, method, header) => {
      const asked = request(at, header ? { "x-h": "1" } : {}, { method });
      const alone = tableOf([json]).match(asked, downstream());
      assert.equal(alone?.name, tableOf([json, never]).match(asked, downstream())?.name);
      if (method === "CONNECT") assert.equal(alone, undefined);
    }),
    { numRuns: 3000 },
  );
});
