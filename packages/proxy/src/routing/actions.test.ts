import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "@weft/protocols/http/head";
import type {
  RedirectActionJson,
  RouteActionJson,
  RouteJson,
  RouteMatchJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { compileTools, downstream, headerList, request } from "../compile/testing/fixtures.ts";
import type { AttemptFailure, ForwardAction, Route } from "./route.ts";
import { compileRouteTable } from "./route-table.ts";

const route = (json: RouteJson): Route => {
  const table = compileRouteTable(
    { virtualHosts: [{ name: "v", domains: ["*"], routes: [{ match: { prefix: "/" }, ...json }] }] },
    compileTools(),
  );
  const head = request(json.match?.path ?? json.match?.prefix ?? json.match?.pathSeparatedPrefix ?? "/a/b/c");
  const found = table.match(head, downstream());
  assert.ok(found);
  return found;
};

const forward = (action: RouteActionJson, match: RouteMatchJson = { prefix: "/" }): ForwardAction => {
  const found = route({ match, route: { cluster: "c", ...action } }).action;
  assert.equal(found.kind, "forward");
  return found as ForwardAction;
};

const rewritten = (action: RouteActionJson, head: RequestHead, match?: RouteMatchJson): RequestHead => {
  forward(action, match).rewrite(head);
  return head;
};

test("a prefix rewrite replaces what matched and keeps the query", () => {
  const cases: [RouteMatchJson, string, string, string][] = [
    [{ prefix: "/api/" }, "/", "/api/v1?q=1", "/v1?q=1"],
    [{ prefix: "/api" }, "/new", "/api/v1", "/new/v1"],
    [{ path: "/api" }, "/new", "/api?x", "/new?x"],
    [{ pathSeparatedPrefix: "/api" }, "/v2", "/api/x", "/v2/x"],
    [{ safeRegex: { regex: "/a/.*" } }, "/all", "/a/b/c?d", "/all?d"],
  ];
  for (const [match, prefixRewrite, path, expected] of cases) {
    const head = rewritten({ prefixRewrite }, request(path), match);
    assert.equal(head.path, expected);
    assert.equal(head.headers.get("x-envoy-original-path"), path);
  }
});

test("a regex rewrite substitutes groups in the path only", () => {
  const regexRewrite = { pattern: { regex: "^/service/([^/]+)(/.*)$" }, substitution: "\\2/instance/\\1" };
  assert.equal(
    rewritten({ regexRewrite }, request("/service/foo/v1?x=/service/a/b")).path,
    "/v1/instance/foo?x=/service/a/b",
  );
  const every = { pattern: { regex: "one" }, substitution: "two" };
  assert.equal(rewritten({ regexRewrite: every }, request("/xxx/one/yyy/one")).path, "/xxx/two/yyy/two");
  const bad = { pattern: { regex: "a" }, substitution: "\\1" };
  assert.throws(() => forward({ regexRewrite: bad }), /regexRewrite.substitution: refers to group 1/);
});

test("the authority is rewritten by literal, header or path", () => {
  assert.equal(rewritten({ hostRewriteLiteral: "b" }, request()).authority, "b");
  assert.equal(rewritten({ hostRewriteHeader: "X-H" }, request("/", { "x-h": "c" })).authority, "c");
  assert.equal(rewritten({ hostRewriteHeader: "X-H" }, request()).authority, "a.example");
  const hostRewritePathRegex = { pattern: { regex: "^/(.+)/.+$" }, substitution: "\\1" };
  assert.equal(rewritten({ hostRewritePathRegex }, request("/d.example/x?y")).authority, "d.example");
  const kept = rewritten({ hostRewriteLiteral: "b", appendXForwardedHost: true }, request());
  assert.equal(kept.headers.get("x-forwarded-host"), "a.example");
});

const location = (redirect: RedirectActionJson, head: RequestHead, match?: RouteMatchJson): string => {
  const action = route({ ...(match ? { match } : {}), redirect }).action;
  assert.equal(action.kind, "redirect");
  return action.kind === "redirect" ? action.location(head) : "";
};

test("redirects change scheme, host, port and path as Envoy does", () => {
  const at = (path: string, authority = "a.example") => request(path, {}, { authority });
  const cases: [RedirectActionJson, RequestHead, string][] = [
    [{ httpsRedirect: true }, at("/x?y"), "https://a.example/x?y"],
    [{ httpsRedirect: true }, at("/", "a.example:80"), "https://a.example/"],
    [{ httpsRedirect: true }, at("/", "a.example:8080"), "https://a.example:8080/"],
    [{ httpsRedirect: true, portRedirect: 8443 }, at("/", "a.example:8080"), "https://a.example:8443/"],
    [{ schemeRedirect: "HTTPS" }, at("/"), "https://a.example/"],
    [{ hostRedirect: "b" }, at("/x"), "http://b/x"],
    [{ portRedirect: 81 }, at("/", "[::1]:80"), "http://[::1]:81/"],
    [{ pathRedirect: "/n" }, at("/x?y=1"), "http://a.example/n?y=1"],
    [{ pathRedirect: "/n", stripQuery: true }, at("/x?y=1"), "http://a.example/n"],
    [{ pathRedirect: "/n?z", stripQuery: true }, at("/x?y=1"), "http://a.example/n?z"],
    [{ stripQuery: true }, at("/x?y=1"), "http://a.example/x"],
    [{ regexRewrite: { pattern: { regex: "x" }, substitution: "y" } }, at("/x?x"), "http://a.example/y?x"],
  ];
  for (const [redirect, head, expected] of cases) assert.equal(location(redirect, head), expected);
  assert.equal(location({ prefixRewrite: "/b" }, request("/a/x?q"), { prefix: "/a" }), "http://a.example/b/x?q");
});

test("timeouts come from the route, else are 15 s, and a client may ask by header", () => {
  assert.equal(forward({}).timeoutMs, 15_000);
  assert.equal(forward({ timeout: "0s" }).timeoutMs, 0);
  const action = forward({ timeout: "1.5s" });
  assert.equal(action.timeoutFor(request()), 1500);
  assert.equal(action.timeoutFor(request("/", { "x-envoy-upstream-rq-timeout-ms": "70" })), 70);
  assert.equal(action.timeoutFor(request("/", { "x-envoy-upstream-rq-timeout-ms": "x" })), 1500);
});

test("gRPC deadlines hold where the route lets them, capped and shortened", () => {
  const grpc = (timeout?: string) =>
    request("/", { "content-type": "application/grpc", ...(timeout ? { "grpc-timeout": timeout } : {}) });
  const istio = forward({ timeout: "0s", maxGrpcTimeout: "0s" });
  assert.equal(istio.timeoutFor(grpc("2S")), 2000);
  assert.equal(istio.timeoutFor(grpc("1500000u")), 1500);
  assert.equal(istio.timeoutFor(grpc()), 0);
  assert.equal(istio.timeoutFor(grpc("123456789S")), 0);
  const capped = forward({ timeout: "9s", maxGrpcTimeout: "1s", grpcTimeoutOffset: "0.1s" });
  assert.equal(capped.timeoutFor(grpc("5S")), 1000);
  assert.equal(capped.timeoutFor(grpc("500m")), 400);
  assert.equal(capped.timeoutFor(grpc()), 1000);
  assert.equal(capped.timeoutFor(request("/", { "grpc-timeout": "500m" })), 9000);
});

const failures: readonly AttemptFailure[] = [
  "connect-failure",
  "connect-timeout",
  "refused",
  "reset",
  "reset-before-request",
  "per-try-timeout",
  "overflow",
];

test("retry conditions cover the failures that Envoy's words mean", () => {
  const retried = (retryOn: string): AttemptFailure[] =>
    failures.filter((failure) => forward({ retryPolicy: { retryOn } }).retry?.retryFailure(failure));
  assert.deepEqual(retried("connect-failure"), ["connect-failure", "connect-timeout"]);
  assert.deepEqual(retried("refused-stream"), ["refused"]);
  assert.deepEqual(retried("reset-before-request"), ["connect-failure", "connect-timeout", "reset-before-request"]);
  for (const word of ["5xx", "reset", "gateway-error"]) {
    assert.deepEqual(
      retried(word),
      failures.filter((failure) => failure !== "overflow"),
    );
  }
  assert.deepEqual(retried("retriable-4xx, cancelled"), []);
});

test("retry conditions cover the responses that Envoy's words mean", () => {
  const policy = (retryOn: string, more: object = {}) => forward({ retryPolicy: { retryOn, ...more } }).retry;
  const statuses = (retryOn: string, more?: object) =>
    [200, 404, 409, 500, 502, 503, 504].filter((status) => policy(retryOn, more)?.retryResponse(status, headerList()));
  assert.deepEqual(statuses("5xx"), [500, 502, 503, 504]);
  assert.deepEqual(statuses("gateway-error"), [502, 503, 504]);
  assert.deepEqual(statuses("retriable-4xx"), [409]);
  assert.deepEqual(statuses("retriable-status-codes", { retriableStatusCodes: [404, 503] }), [404, 503]);
  assert.deepEqual(statuses("connect-failure", { retriableStatusCodes: [404] }), []);
  const byHeader = policy("retriable-headers", { retriableHeaders: [{ name: "x-retry" }] });
  assert.equal(byHeader?.retryResponse(200, headerList({ "x-retry": "1" })), true);
  const grpc = policy("unavailable,cancelled");
  assert.equal(grpc?.retryResponse(200, headerList({ "grpc-status": "14" })), true);
  assert.equal(grpc?.retryResponse(200, headerList({ "grpc-status": "2" })), false);
  const limited = headerList({ "x-envoy-ratelimited": "true" });
  assert.equal(policy("5xx")?.retryResponse(503, limited), false);
  assert.equal(policy("5xx,envoy-ratelimited")?.retryResponse(429, limited), true);
});

test("numbers of a retry policy have Envoy's defaults and bounds", () => {
  const policy = forward({ retryPolicy: { retryOn: "5xx" } }).retry;
  assert.equal(policy?.attempts, 1);
  assert.equal(policy?.backOffBaseMs, 25);
  assert.equal(policy?.backOffMaxMs, 250);
  assert.equal(policy?.avoidPreviousHosts, false);
  const istio = forward({
    retryPolicy: {
      retryOn: "connect-failure",
      numRetries: 2,
      perTryTimeout: "2s",
      retryHostPredicate: [{ name: "envoy.retry_host_predicates.previous_hosts" }],
      hostSelectionRetryMaxAttempts: "5",
    },
  }).retry;
  assert.deepEqual(
    [istio?.attempts, istio?.perTryTimeoutMs, istio?.avoidPreviousHosts, istio?.hostSelectionAttempts],
    [2, 2000, true, 5],
  );
  assert.throws(() => forward({ retryPolicy: { retryBackOff: {} } }), /retryBackOff.baseInterval: must be/);
  assert.throws(
    () => forward({ retryPolicy: { retryHostPredicate: [{ name: "other" }] } }),
    /retryHostPredicate\[0\]: other is not supported/,
  );
});

test("a request may widen retries by its headers, and they are not sent on", () => {
  const action = forward({ retryPolicy: { retryOn: "connect-failure", numRetries: 2 } });
  const head = request("/", { "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "7", "x-other": "1" });
  const policy = action.retryFor(head);
  assert.equal(policy?.attempts, 7);
  assert.equal(policy?.retryResponse(500, headerList()), true);
  assert.equal(policy?.retryFailure("connect-failure"), true);
  action.rewrite(head);
  assert.equal(head.headers.size, 1);
  assert.equal(forward({}).retryFor(request()), undefined);
  assert.equal(
    forward({})
      .retryFor(request("/", { "x-envoy-retry-on": "5xx" }))
      ?.retryResponse(500, headerList()),
    true,
  );
});

test("retriable request headers make a policy depend on the request", () => {
  const action = forward({ retryPolicy: { retryOn: "5xx", retriableRequestHeaders: [{ name: "x-idempotent" }] } });
  assert.equal(action.retry, undefined);
  assert.equal(action.retryFor(request()), undefined);
  assert.ok(action.retryFor(request("/", { "x-idempotent": "1" })));
});

test("header operations run from the route outwards, each level removing first", () => {
  const level = (value: string) => ({
    requestHeadersToAdd: [{ header: { key: "x-order", value } }],
    requestHeadersToRemove: [`x-${value}`],
  });
  const compiled = compileRouteTable(
    {
      ...level("table"),
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          ...level("host"),
          routes: [{ match: { prefix: "/" }, route: { cluster: "c" }, ...level("route") }],
        },
      ],
    },
    compileTools(),
  );
  const head = request("/", { "x-table": "1", "x-host": "1", "x-route": "1", keep: "1" });
  compiled.match(head, downstream())?.editRequest(head.headers, downstream(), head);
  assert.equal(head.headers.getJoined("x-order"), "route,host,table");
  assert.equal(head.headers.size, 4);
});

test("append actions and format strings make header values", () => {
  const head = request("/p", { "x-a": "1", "x-b": "1" });
  const add = (key: string, value: string, appendAction?: string) => ({
    header: { key, value },
    ...(appendAction ? { appendAction: appendAction as "ADD_IF_ABSENT" } : {}),
  });
  const found = route({
    route: { cluster: "c" },
    requestHeadersToAdd: [
      add("x-a", "2", "ADD_IF_ABSENT"),
      add("x-b", "2", "OVERWRITE_IF_EXISTS_OR_ADD"),
      add("x-c", "2", "OVERWRITE_IF_EXISTS"),
      add("X-Client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
      add("x-path", "100%%:%REQ(:PATH)%"),
      add("x-none", "%REQ(x-missing)%"),
    ],
  });
  found.editRequest(head.headers, downstream(), head);
  const got = ["x-a", "x-b", "x-c", "x-client", "x-path", "x-none"].map((name) => head.headers.get(name));
  assert.deepEqual(got, ["1", "2", undefined, "10.0.0.1", "100%:/p", undefined]);
  const bad = (key: string, value: string) => () =>
    route({ route: { cluster: "c" }, requestHeadersToAdd: [add(key, value)] });
  assert.throws(bad("x", "%NOPE%"), /requestHeadersToAdd\[0\].header.value: format operator %NOPE%/);
  assert.throws(bad("x", "%REQ(x"), /is not well formed/);
  assert.throws(bad("bad name", "v"), /header.key: "bad name" is not a header name/);
  assert.throws(bad("x", "a\nb"), /must be one line/);
});

test("hash policies combine in order, stop when terminal, and make cookies", () => {
  const action = forward({
    hashPolicy: [
      { header: { headerName: "x-user" }, terminal: true },
      { cookie: { name: "sid", ttl: "60s", path: "/" } },
    ],
  });
  const hash = (head: RequestHead) => ({ ...action.hash?.(head, downstream()) });
  assert.deepEqual(hash(request("/", { "x-user": "foo" })), { hash: 3728699739546630719n, setCookie: undefined });
  assert.deepEqual(hash(request("/", { cookie: "a=b; sid=foo" })).hash, 3728699739546630719n);
  const made = hash(request());
  assert.match(made.setCookie ?? "", /^sid="[0-9a-f]{16}"; Max-Age=60; Path=\/; HttpOnly$/);
  const value = /"(.*)"/.exec(made.setCookie ?? "")?.[1] ?? "";
  assert.equal(hash(request("/", { cookie: `sid=${value}` })).hash, made.hash);
  const query = forward({ hashPolicy: [{ queryParameter: { name: "k" } }] });
  assert.equal(query.hash?.(request("/?k=foo"), downstream()).hash, 3728699739546630719n);
  assert.equal(query.hash?.(request("/"), downstream()).hash, undefined);
  assert.throws(() => forward({ hashPolicy: [{ filterState: { key: "k" } }] }), /hashPolicy\[0\].filterState/);
});

test("a stream's longest time is the route's, or the deadline of a gRPC call where the route heeds it", () => {
  const grpc = (timeout?: string) =>
    request("/", { "content-type": "application/grpc", ...(timeout === undefined ? {} : { "grpc-timeout": timeout }) });
  const maxStreamDuration = { maxStreamDuration: "9s", grpcTimeoutHeaderMax: "2s", grpcTimeoutHeaderOffset: "0.1s" };
  const action = forward({ timeout: "5s", maxStreamDuration });
  assert.equal(action.timeoutFor(grpc("1S")), 5000, "the route's own timeout stands");
  assert.equal(action.durationFor?.(grpc("1S")), 900);
  assert.equal(action.durationFor?.(grpc("50m")), 50, "an offset beyond the deadline is none");
  assert.equal(action.durationFor?.(grpc("9S")), 2000);
  assert.equal(action.durationFor?.(grpc("soon")), 9000);
  assert.equal(action.durationFor?.(grpc()), 9000);
  assert.equal(action.durationFor?.(request("/", { "grpc-timeout": "1S" })), 9000, "not a gRPC call");
  assert.equal(forward({}).durationFor, undefined);
});

test("mirrors carry their share, upgrades are switched per route", () => {
  const action = forward({
    requestMirrorPolicies: [
      { cluster: "m", runtimeFraction: { defaultValue: { numerator: 5, denominator: "TEN_THOUSAND" } } },
    ],
    upgradeConfigs: [{ upgradeType: "websocket" }, { upgradeType: "CONNECT", enabled: false }],
  });
  assert.deepEqual(action.mirrors, [{ cluster: "m", clusterOf: undefined, share: 0.0005, keepHost: false }]);
  assert.deepEqual(
    [...action.upgrades],
    [
      ["websocket", true],
      ["connect", false],
    ],
  );
});
