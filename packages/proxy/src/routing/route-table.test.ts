import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "@weft/protocols/http/head";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RouteJson, RouteMatchJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { compileTools, downstream, request, tlsInfo } from "../compile/testing/fixtures.ts";
import type { ForwardAction, Route, RouteTable } from "./route.ts";
import { compileRouteTable } from "./route-table.ts";

const table = (json: RouteConfigurationJson): RouteTable => compileRouteTable({ name: "t", ...json }, compileTools());

const to = (cluster: string, match: RouteMatchJson = { prefix: "/" }, rest: RouteJson = {}): RouteJson => ({
  name: cluster,
  match,
  route: { cluster },
  ...rest,
});

const routes = (...list: RouteJson[]): RouteTable =>
  table({ virtualHosts: [{ name: "v", domains: ["*"], routes: list }] });

const found = (compiled: RouteTable, head: RequestHead): string | undefined => compiled.match(head, downstream())?.name;

const forward = (route: Route | undefined): ForwardAction => {
  assert.equal(route?.action.kind, "forward");
  return route?.action as ForwardAction;
};

test("a virtual host is found by exact domain, longest suffix, longest prefix, then the catch-all", () => {
  const host = (name: string, ...domains: string[]) => ({ name, domains, routes: [to(name)] });
  const compiled = table({
    virtualHosts: [
      host("any", "*"),
      host("exact", "www.shop.com", "shop.com:8080"),
      host("suffix", "*.com"),
      host("long-suffix", "*.shop.com", "*-api.shop.com"),
      host("prefix", "www.*"),
      host("long-prefix", "www.foo.*"),
    ],
  });
  const cases: [string, string][] = [
    ["www.shop.com", "exact"],
    ["WWW.Shop.Com", "exact"],
    ["shop.com:8080", "exact"],
    ["a.shop.com", "long-suffix"],
    ["x-api.shop.com", "long-suffix"],
    ["other.com", "suffix"],
    ["www.x.org", "prefix"],
    ["www.foo.org", "long-prefix"],
    [".com", "any"],
    ["org", "any"],
    ["shop.com:80", "any"],
  ];
  for (const [authority, name] of cases)
    assert.equal(found(compiled, request("/", {}, { authority })), name, authority);
});

test("ports are looked away from only when the table says so", () => {
  const virtualHosts = [{ name: "a", domains: ["a.example", "[::1]"], routes: [to("a")] }];
  const strict = table({ virtualHosts });
  const lax = table({ virtualHosts, ignorePortInHostMatching: true });
  assert.equal(found(strict, request("/", {}, { authority: "a.example:80" })), undefined);
  assert.equal(found(lax, request("/", {}, { authority: "a.example:80" })), "a");
  assert.equal(found(lax, request("/", {}, { authority: "[::1]:80" })), "a");
  assert.equal(found(lax, request("/", {}, { authority: "[::1]" })), "a");
});

test("a domain claimed twice and a host without domains are refused", () => {
  const twice = { name: "b", domains: ["A.example"], routes: [] };
  assert.throws(
    () => table({ virtualHosts: [{ name: "a", domains: ["a.example"] }, twice] }),
    /virtualHosts\[1\].domains\[0\]: domain "A.example" is given twice/,
  );
  assert.throws(() => table({ virtualHosts: [{ name: "a" }] }), /virtualHosts\[0\].domains: is required/);
});

test("the first route that matches is taken", () => {
  const compiled = routes(to("one", { prefix: "/a" }), to("two", { path: "/a/b" }), to("rest"));
  assert.equal(found(compiled, request("/a/b")), "one");
  assert.equal(found(compiled, request("/b")), "rest");
});

const pathCases: [string, RouteMatchJson, string[], string[]][] = [
  ["prefix", { prefix: "/api" }, ["/api", "/api/x", "/apix", "/api?q"], ["/ap", "/API", "/x?/api"]],
  ["prefix of any case", { prefix: "/API", caseSensitive: false }, ["/api/x", "/Api"], ["/x"]],
  ["path", { path: "/a" }, ["/a", "/a?q=1", "/a#f"], ["/a/", "/A", "/ab"]],
  ["path of any case", { path: "/A", caseSensitive: false }, ["/a"], ["/b"]],
  ["separated prefix", { pathSeparatedPrefix: "/api" }, ["/api", "/api/x", "/api?x"], ["/apix", "/ap"]],
  ["regex", { safeRegex: { regex: "/v[0-9]+/.*" } }, ["/v1/x", "/v22/?q=/"], ["/v/x", "/x/v1/x", "/v1"]],
  ["exact regex", { safeRegex: { regex: "/plain" } }, ["/plain", "/plain?x"], ["/plain/x"]],
  ["prefix regex", { safeRegex: { regex: "/plain.*" } }, ["/plain", "/plain/x"], ["/plai"]],
];
for (const [name, match, hits, misses] of pathCases) {
  test(`a ${name} matcher takes what it should and no more`, () => {
    const compiled = routes(to("hit", match));
    for (const path of hits) assert.equal(found(compiled, request(path)), "hit", path);
    for (const path of misses) assert.equal(found(compiled, request(path)), undefined, path);
  });
}

test("a path matcher is required, may be given once, and must be an RE2 expression", () => {
  assert.throws(() => routes(to("x", {})), /routes\[0\].match: needs one of prefix/);
  assert.throws(() => routes(to("x", { prefix: "/", path: "/" })), /match.path: cannot be given together with prefix/);
  assert.throws(() => routes(to("x", { safeRegex: { regex: "a(?=b)" } })), /match.safeRegex.regex: is not an RE2/);
  assert.throws(() => routes(to("x", { pathSeparatedPrefix: "/a/" })), /pathSeparatedPrefix: must begin/);
});

test("only a connect matcher takes CONNECT, and it takes nothing else", () => {
  const compiled = routes(to("all"), to("tunnel", { connectMatcher: {} }));
  const connect = request("", {}, { method: "CONNECT", authority: "db:5432" });
  assert.equal(found(compiled, connect), "tunnel");
  assert.equal(found(routes(to("tunnel", { connectMatcher: {} })), request("/")), undefined);
  assert.equal(found(compiled, request("/chat", {}, { method: "CONNECT", protocol: "websocket" })), "all");
});

test("headers decide, joined when repeated, absent ones never matching a value", () => {
  const by = (matcher: NonNullable<RouteMatchJson["headers"]>[number]) => (value: string | undefined) =>
    found(
      routes(to("hit", { prefix: "/", headers: [{ name: "X-A", ...matcher }] })),
      request("/", value === undefined ? {} : { "x-a": value }),
    ) === "hit";
  assert.deepEqual(["v", "w", undefined].map(by({ stringMatch: { exact: "v" } })), [true, false, false]);
  assert.deepEqual(["v", "w", undefined].map(by({ stringMatch: { exact: "v" }, invertMatch: true })), [
    false,
    true,
    false,
  ]);
  const emptyToo = { stringMatch: { exact: "v" }, invertMatch: true, treatMissingHeaderAsEmpty: true };
  assert.deepEqual(["v", undefined].map(by(emptyToo)), [false, true]);
  assert.deepEqual(["v", undefined].map(by({ presentMatch: true })), [true, false]);
  assert.deepEqual(["v", undefined].map(by({ presentMatch: false })), [false, true]);
  assert.deepEqual(["v", undefined].map(by({ presentMatch: true, invertMatch: true })), [false, true]);
  assert.deepEqual(["v", undefined].map(by({})), [true, false]);
  assert.deepEqual(["9", "10", "19", "20", "1x"].map(by({ rangeMatch: { start: "10", end: "20" } })), [
    false,
    true,
    true,
    false,
    false,
  ]);
  assert.deepEqual(["Vee", "vx"].map(by({ stringMatch: { prefix: "VE", ignoreCase: true } })), [true, false]);
  assert.deepEqual(["abc"].map(by({ safeRegexMatch: { regex: "a.c" } })), [true]);
  assert.deepEqual(["xabcx", "ab"].map(by({ containsMatch: "abc" })), [true, false]);
  assert.deepEqual(["xab"].map(by({ suffixMatch: "ab" })), [true]);
});

test("pseudo-headers and host can be matched", () => {
  const compiled = routes(
    to("post", { prefix: "/", headers: [{ name: ":method", stringMatch: { exact: "POST" } }] }),
    to("host", { prefix: "/", headers: [{ name: "host", stringMatch: { exact: "b" } }] }),
  );
  assert.equal(found(compiled, request("/", {}, { method: "POST" })), "post");
  assert.equal(found(compiled, request("/", {}, { authority: "b" })), "host");
});

test("query parameters, gRPC and client certificates decide", () => {
  const compiled = routes(
    to("query", { prefix: "/", queryParameters: [{ name: "q", stringMatch: { exact: "1" } }] }),
    to("present", { prefix: "/", queryParameters: [{ name: "p" }] }),
    to("grpc", { prefix: "/", grpc: {} }),
    to("certificate", { prefix: "/", tlsContext: { presented: true } }),
  );
  assert.equal(found(compiled, request("/?a=2&q=1")), "query");
  assert.equal(found(compiled, request("/?qq=1&p")), "present");
  assert.equal(found(compiled, request("/?q=11#q=1")), undefined);
  assert.equal(found(compiled, request("/", { "content-type": "application/grpc+proto" })), "grpc");
  assert.equal(found(compiled, request("/", { "content-type": "application/grpc-web" })), undefined);
  const tls = tlsInfo({ peerFingerprint: "ab" });
  assert.equal(compiled.match(request(), downstream({ tls }))?.name, "certificate");
});

test("a runtime fraction lets its share of the requests in", () => {
  const draws = [0.1, 0.4];
  const compiled = compileRouteTable(
    {
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [to("some", { prefix: "/", runtimeFraction: { defaultValue: { numerator: 25 } } }), to("rest")],
        },
      ],
    },
    compileTools(() => draws.shift() ?? 0),
  );
  assert.equal(found(compiled, request()), "some");
  assert.equal(found(compiled, request()), "rest");
});

test("a long list of routes keeps its order", () => {
  const filler = Array.from({ length: 50 }, (_, i) => to(`x${i}`, { prefix: `/x${i}/` }));
  const compiled = routes(
    ...filler,
    to("exact", { path: "/a/b", headers: [{ name: "x" }] }),
    to("prefix", { prefix: "/a/" }),
    to("late-exact", { path: "/a/b" }),
    to("separated", { pathSeparatedPrefix: "/sep" }),
    to("regex", { safeRegex: { regex: "/r/[a-z]" } }),
    to("rest"),
  );
  assert.equal(found(compiled, request("/a/b", { x: "1" })), "exact");
  assert.equal(found(compiled, request("/a/b")), "prefix");
  assert.equal(found(compiled, request("/x7/y")), "x7");
  assert.equal(found(compiled, request("/sep")), "separated");
  assert.equal(found(compiled, request("/r/q?x")), "regex");
  assert.equal(found(compiled, request("/x7")), "rest");
});

test("indexed and unindexed lists agree on every path", () => {
  const list = [
    to("a", { prefix: "/a" }),
    to("b", { path: "/b" }),
    to("c", { pathSeparatedPrefix: "/c/d" }),
    to("d", { prefix: "/c/" }),
    to("e", { prefix: "/E", caseSensitive: false }),
    to("f", { safeRegex: { regex: ".*z" } }),
  ];
  const short = routes(...list);
  const long = routes(...list, ...Array.from({ length: 9 }, (_, i) => to(`n${i}`, { path: `/none${i}` })));
  for (const path of ["/", "/a", "/ab", "/b", "/b/", "/c/d", "/c/de", "/c", "/e1", "/E", "/xz", "", "*"]) {
    assert.equal(found(long, request(path)), found(short, request(path)), path);
  }
});

test("weights decide by the draw, zero weights are never chosen, a sum of zero is refused", () => {
  const weighted = (...weights: number[]): RouteJson => ({
    match: { prefix: "/" },
    route: { weightedClusters: { clusters: weights.map((weight, i) => ({ name: `c${i}`, weight })) } },
  });
  const action = forward(routes(weighted(90, 0, 10)).match(request(), downstream()));
  assert.equal(action.clusterName(request(), 0).cluster, "c0");
  assert.equal(action.clusterName(request(), 0.899).cluster, "c0");
  assert.equal(action.clusterName(request(), 0.9).cluster, "c2");
  assert.equal(action.clusterName(request(), 0.9999).cluster, "c2");
  assert.throws(() => routes(weighted(0, 0)), /weightedClusters.clusters: the sum of the weights/);
  assert.deepEqual([...routes(weighted(1, 0, 1)).clusterNames], ["c0", "c2"]);
});

test("a header can name the cluster", () => {
  const compiled = routes({ match: { prefix: "/" }, route: { clusterHeader: "X-To" } });
  const action = forward(compiled.match(request(), downstream()));
  assert.equal(action.clusterName(request("/", { "x-to": "there" }), 0).cluster, "there");
  assert.equal(action.clusterName(request(), 0).cluster, "");
});

test("what is not supported is refused by its path", () => {
  const cases: [RouteConfigurationJson, RegExp][] = [
    [{ vhds: {} }, /^vhds: .*nothing is fetched on demand here/],
    [{ virtualHosts: [{ name: "v", domains: ["*"], matcher: {} }] }, /virtualHosts\[0\].matcher/],
    [{ virtualHosts: [{ name: "v", domains: ["*"], matcher: {} }] }, /virtualHosts\[0\].matcher/],
  ];
  for (const [json, message] of cases) assert.throws(() => table(json), { name: "ConfigError", message });
  const action = (route: RouteJson["route"] & object): RouteJson => ({ match: { prefix: "/" }, route });
  assert.throws(() => routes(action({ cluster: "c", clusterSpecifierPlugin: "p" })), /route.clusterSpecifierPlugin/);
  const edit = (key: string): RouteJson => ({
    match: { prefix: "/" },
    route: { cluster: "c" },
    requestHeadersToAdd: [{ header: { key, value: "v" } }],
  });
  for (const key of ["Host", ":path", ":authority", ":method"])
    assert.throws(() => routes(edit(key)), /requestHeadersToAdd\[0\].header.key: .* cannot be changed/);
  assert.throws(() => routes(action({})), /routes\[0\].route: needs cluster/);
  assert.throws(() => routes({ match: { prefix: "/" } }), /routes\[0\]: needs route/);
});

test("settings of filters are checked with the table, and the narrowest holds", () => {
  const type = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
  const fault = (httpStatus: number) => ({
    "envoy.filters.http.fault": { "@type": type, abort: { httpStatus, percentage: { numerator: 100 } } } as object,
  });
  const compiled = table({
    typedPerFilterConfig: fault(500),
    virtualHosts: [
      { name: "v", domains: ["*"], routes: [to("a", { path: "/a" }, { typedPerFilterConfig: fault(501) }), to("b")] },
    ],
  });
  const own = compiled.match(request("/a"), downstream())?.filterConfig.get("envoy.filters.http.fault");
  const wider = compiled.match(request("/b"), downstream())?.filterConfig.get("envoy.filters.http.fault");
  assert.ok(own && wider && own !== wider);
  assert.throws(
    () => routes(to("a", { prefix: "/" }, { typedPerFilterConfig: fault(99) })),
    /routes\[0\].typedPerFilterConfig\["envoy.filters.http.fault"\].abort.httpStatus: 99/,
  );
  const unknown = { "x.y": { "@type": "type.googleapis.com/x.Y" } as object };
  assert.throws(() => routes(to("a", { prefix: "/" }, { typedPerFilterConfig: unknown })), /x.Y .* is not supported/);
});

test("a virtual host that requires TLS redirects plaintext before its routes", () => {
  const compiled = table({
    virtualHosts: [{ name: "v", domains: ["*"], requireTls: "ALL", routes: [to("a")] }],
  });
  const route = compiled.match(request("/p?q", {}, { authority: "a:80" }), downstream());
  assert.equal(route?.action.kind, "redirect");
  if (route?.action.kind !== "redirect") return;
  assert.equal(route.action.status, 301);
  assert.equal(route.action.location(request("/p?q", {}, { authority: "a:80" })), "https://a:80/p?q");
  assert.equal(found(compiled, request("/", { "x-forwarded-proto": "https" })), "a");
});

test("direct responses carry their body, within the table's bound", () => {
  const direct = (body: string): RouteJson => ({
    match: { prefix: "/" },
    directResponse: { status: 502, body: { inlineString: body } },
  });
  const action = routes(direct("no")).match(request(), downstream())?.action;
  assert.equal(action?.kind, "direct");
  if (action?.kind === "direct") assert.equal(Buffer.from(action.body).toString(), "no");
  assert.throws(() => routes(direct("x".repeat(4097))), /directResponse.body: has 4097 bytes/);
});
