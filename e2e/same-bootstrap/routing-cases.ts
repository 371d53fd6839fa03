/** The requests of the routing comparison. */
export interface RoutingCase {
  readonly name: string;
  /** The virtual host's name, or a whole authority. */
  readonly host: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly listener?: "plain" | "specific" | "ported" | "inside" | "tunnels";
  /** How often it is sent, one after the other; 1 when absent. Each on a connection of its own where `apart`. */
  readonly times?: number;
  readonly apart?: boolean;
  /** So many copies are waited for, and compared as well. */
  readonly copies?: number;
  /** Asked by HTTP/2, as stream 1 of a connection. */
  readonly http2?: boolean;
  /** Sent when the first answer is there. */
  readonly inside?: string;
}

type Rest = Partial<RoutingCase>;

/** Several paths of one host, named after themselves. */
const paths = (host: string, list: readonly string[], rest: Rest = {}): readonly RoutingCase[] =>
  list.map((path) => ({ name: `${host}: ${path}`, host, path, ...rest }));
/** One path with different headers. */
const withHeaders = (host: string, path: string, lists: readonly (readonly string[])[]): readonly RoutingCase[] =>
  lists.map((headers) => ({ name: `${host}: ${path} with ${headers.join(", ")}`, host, path, headers }));
const one = (host: string, path: string, rest: Rest & { readonly note?: string } = {}): RoutingCase => {
  const { note, ...more } = rest;
  return { name: `${host}: ${path}${note ? ` ${note}` : ""}`, host, path, ...more };
};

const matching: readonly RoutingCase[] = [
  ...paths("paths", [
    "/exact",
    "/exact?q=1",
    "/exact/",
    "/EXACT",
    "/fOLDED",
    "/folded/x",
    "/sep/a",
    "/sep/a/b",
    "/sep/ab",
    "/sep/a?x",
    "/SEF/x",
    "/sef",
    "/sefx",
    "/re/abc/12",
    "/re/abc/1234",
    "/re/abc/12/x",
    "/deep/er/x.css?v=1",
    "/REI/X",
    "/users/7/posts/9",
    "/users/7/posts/9/x",
    "/users//posts/9",
    "/files/a/b/c",
    "/files/",
    "/files",
    "/m/a/n/",
    "/m/a/n/b/c",
    "/m/a/b/n/c",
    "/img/cat.png",
    "/img/.png",
    "/slash/a/",
    "/slash/a",
    "/api/v1/xy",
    "/api/v1/y",
    "/apix",
    "/prefix",
    "/",
    "/?exact",
  ]),
  ...paths("order", ["/a/b", "/a/c", "/a/d", "/a/e", "/a", "/ab", "/b", "/c", "/a/b?x"]),
  ...withHeaders("order", "/a/b", [["x-h: 1"]]),
  ...withHeaders("order", "/a/e", [["x-h: 1"]]),
  ...withHeaders("headers", "/x", [
    ["x-h: exact"],
    ["x-h: exactly"],
    ["x-h: folDED"],
    ["x-h: pre-x"],
    ["x-h: a-suf"],
    ["x-h: a con b"],
    ["x-h: 12x"],
    ["x-h: a12x"],
    ["x-h: -5"],
    ["x-h: 9"],
    ["x-h: 10"],
    ["x-h: 5.5"],
    ["x-h: exact", "x-h: exact"],
    ["x-there:"],
    ["x-want-e: 1"],
    ["x-want-e: 1", "x-e: full"],
    ["x-n: b"],
    ["x-n: a"],
    ["x-want-m: 1"],
    ["x-want-m: 1", "x-m: a"],
    ["x-want-absent: 1"],
    ["x-want-absent: 1", "x-gone: 1"],
    ["x-want-np: 1"],
    ["x-r: 2"],
    ["x-r: 5"],
    ["x-r: word"],
  ]),
  one("headers", "/x", { method: "PUT", note: "by method", headers: ["content-length: 0"] }),
  one("headers.example:81", "/x", { note: "by authority", listener: "ported" }),
  one("headers", "/whole?x=1"),
  ...paths("queries", [
    "/?q=exact",
    "/?q=exact&q=pre",
    "/?q=pre&q=exact",
    "/?q=prefixed",
    "/?q=v1",
    "/?q=v12",
    "/?q=a%20b",
    "/?q=a+b",
    "/?q=a%20c",
    "/?p",
    "/?p=",
    "/?want",
    "/?want&n=1",
    "/?a=1&b=2",
    "/?b=2&a=1&c",
    "/?a=1&b=3",
    "/?Q=exact",
    "/?q",
    "/",
  ]),
  ...withHeaders("kinds", "/x", [
    ["content-type: application/grpc"],
    ["content-type: application/grpc+proto"],
    ["content-type: application/grpcx"],
    ["content-type: application/grpc-web"],
  ]),
  ...paths("kinds", ["/nomd", "/plain", "/always", "/x"]),
  ...[
    "deep.domains.test",
    "a.domains.test",
    "a.more.domains.test",
    "a-x.domains.test",
    "domains.test",
    "domains.org",
  ].map((host) => one(host, "/")),
  ...[".domains.test", "port.test", "port.test:8080", "DEEP.domains.TEST", "deep.domains.test:80", "nobody.test"].map(
    (host) => one(host, "/"),
  ),
  one("deep.domains.test:80", "/", { listener: "ported", note: "where ports are ignored" }),
  one("port.test:8080", "/", { listener: "ported", note: "where ports are ignored" }),
  one("tls", "/x?y=1"),
  one("tls", "/x", { headers: ["x-forwarded-proto: https"], note: "already" }),
  one("tls.example:80", "/x", { listener: "ported" }),
  one("tls-external", "/x"),
  one("tls-external", "/x", { listener: "inside", note: "from inside" }),
];

const actions: readonly RoutingCase[] = [
  ...paths("redirects", [
    "/https?a",
    "/https-port",
    "/scheme",
    "/host/x?y=1",
    "/port/x",
    "/path?q=1",
    "/path-query?q=1",
    "/prefix/x?y=1",
    "/regex/word?q=1",
    "/strip/x?y=1",
    "/302",
    "/303",
    "/307",
    "/308",
    "/headers",
  ]),
  one("redirects.example:81", "/https", { listener: "ported" }),
  one("redirects.example:80", "/https", { listener: "ported" }),
  one("redirects.example:81", "/port", { listener: "ported" }),
  one("redirects.example:81", "/host", { listener: "ported" }),
  ...paths("rewrites", [
    "/prefix/a?q=1",
    "/pre/x",
    "/prex",
    "/regex/a/b?c=regex/d/e",
    "/every/tree?e=e",
    "/t/a/b/c?d",
    "/t/a/",
    "/rp/x?y",
    "/is?x",
    "/sep/x",
    "/sep",
    "/host-literal",
    "/host-header",
    "/host-regex/new.test/x?y",
    "/host-forwarded",
    "/auto",
    "/auto-forwarded",
    "/auto-ip",
    "/both",
  ]),
  one("rewrites", "/host-header", { headers: ["x-new-host: from.header"], note: "that is there" }),
  one("rewrites", "/host-forwarded", { headers: ["x-forwarded-host: before"], note: "again" }),
  one("edits", "/actions"),
  one("edits", "/actions", {
    headers: ["x-append: 1", "x-absent: 1", "x-over: 1", "x-over: 1b", "x-if: 1", "x-gone: 1", "x-host-removes: 1"],
    note: "over others",
  }),
  ...(["plain", "specific"] as const).flatMap((listener) =>
    ["/order", "/weighted", "/direct"].map((path) => one("edits", path, { listener, note: `at ${listener}` })),
  ),
  one("edits", "/weighted", { headers: ["x-cluster-removes: 1"], note: "with a header to remove" }),
  ...paths("edits", ["/formats?x=1", "/bytes"]),
];

const retried = (path: string, rest: Rest & { readonly note?: string } = {}): RoutingCase => one("retries", path, rest);
const again = "x-answer: x-again=yes";
const retries: readonly RoutingCase[] = [
  ...["/5xx/fail/500", "/5xx/fail/503/2", "/5xx/fail/503/3", "/5xx/fail/404", "/5xx/fail/0", "/5xx/fail/0/3"],
  ...[
    "/gateway/fail/502",
    "/gateway/fail/500",
    "/gateway/fail/0",
    "/reset/fail/0",
    "/reset/fail/500",
    "/before/fail/0",
  ],
  ...["/4xx/fail/409", "/4xx/fail/404", "/codes/fail/418", "/codes/fail/409/2", "/codes/fail/500", "/unknown/fail/500"],
  ...["/by-headers/fail/404", "/by-headers/fail/500", "/none/fail/500", "/hosts/fail/500", "/typed/fail/500/2"],
  ...["/priorities/fail/500", "/requests/fail/500", "/plain/fail/500", "/refused/x", "/timeout/late/900"],
  ...["/try/late/900", "/try/late/900/2", "/try-connect/late/900", "/rest/late/900", "/rest/stall/900"],
  ...["/hedged/late/300", "/hedged/late/300/2", "/small/fail/500"],
].map((path) => retried(path));

const moreRetries: readonly RoutingCase[] = [
  retried("/5xx/fail/500", { method: "POST", body: "again", note: "with a body" }),
  retried("/small/fail/500", { method: "POST", body: "too long to keep", note: "with a body" }),
  retried("/small/fail/500", { method: "POST", body: "short", note: "with a short body" }),
  retried("/by-headers/fail/500", { headers: [again], note: "and the header" }),
  retried("/limited/fail/429", { headers: ["x-answer: x-envoy-ratelimited=true"], note: "by Envoy" }),
  retried("/limited/fail/429", { note: "by another" }),
  retried("/limited-5xx/fail/503", { headers: ["x-answer: x-envoy-ratelimited=true"], note: "by Envoy" }),
  retried("/grpc/fail/200", { headers: ["x-answer: grpc-status=14", "content-type: application/grpc"], note: "14" }),
  retried("/grpc/fail/200", { headers: ["x-answer: grpc-status=5", "content-type: application/grpc"], note: "5" }),
  retried("/requests/fail/500", { method: "POST", body: "x", note: "by POST" }),
  retried("/requests/fail/500", { method: "POST", body: "x", headers: ["x-try: 1"], note: "by POST that may" }),
  retried("/asked/fail/429", { headers: ["x-answer: retry-after=0"], note: "at once" }),
  retried("/asked/fail/429", { headers: ["x-answer: retry-after=100"], note: "too late" }),
  ...[
    ["x-envoy-retry-on: 5xx"],
    ["x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3"],
    ["x-envoy-retry-on: gateway-error"],
    ["x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 500,418"],
    ["x-envoy-retry-on: retriable-headers", "x-envoy-retriable-header-names: x-again", again],
    ["x-envoy-max-retries: 3"],
    ["x-envoy-retry-grpc-on: unavailable"],
  ].flatMap((headers) =>
    (["inside", "plain"] as const).map((listener) =>
      retried("/plain/fail/500/2", { headers, listener, note: `${headers.join(", ")} at ${listener}` }),
    ),
  ),
  retried("/plain/late/900", {
    headers: ["x-envoy-upstream-rq-timeout-ms: 150"],
    listener: "inside",
    note: "a timeout asked",
  }),
  retried("/plain/late/900", {
    headers: ["x-envoy-retry-on: 5xx", "x-envoy-upstream-rq-per-try-timeout-ms: 150"],
    listener: "inside",
    note: "a try's timeout asked",
  }),
  ...(["inside", "plain"] as const).map((listener) =>
    retried("/plain/late/900", {
      headers: ["x-envoy-upstream-rq-timeout-ms: 150", "x-envoy-upstream-rq-timeout-alt-response: 1"],
      listener,
      note: `an empty answer asked at ${listener}`,
    }),
  ),
  retried("/plain/late/900", {
    headers: [
      "x-envoy-retry-on: 5xx",
      "x-envoy-max-retries: 0",
      "x-envoy-upstream-rq-per-try-timeout-ms: 150",
      "x-envoy-upstream-rq-timeout-alt-response: 1",
    ],
    listener: "inside",
    note: "an empty answer asked, by a try's timeout",
  }),
  retried("/try/late/300", {
    headers: ["x-envoy-hedge-on-per-try-timeout: true"],
    listener: "inside",
    note: "hedged as asked",
  }),
  ...["/inherit/fail/500", "/inherit/fail/500/2", "/own/fail/500", "/own/fail/409"].map((path) =>
    one("host-retries", path),
  ),
];

const clusters: readonly RoutingCase[] = [
  ...["0", "29", "30", "99", "100", "18446744073709551615"].map((value) =>
    one("clusters", "/by-value", { headers: [`x-random: ${value}`], note: value }),
  ),
  ...["0", "1"].map((value) => one("clusters", "/filters", { headers: [`x-random: ${value}`], note: value })),
  one("clusters", "/zero"),
  ...["0", "1", "2"].map((value) => one("clusters", "/staged", { headers: [`x-random: ${value}`], note: value })),
  one("clusters", "/few", { note: "of default priority" }),
  one("clusters", "/many", { note: "of high priority" }),
  ...["one", "two", "nowhere"].flatMap((name) =>
    ["/named", "/weighted-named"].map((path) => one("clusters", path, { headers: [`x-cluster: ${name}`], note: name })),
  ),
  one("clusters", "/named", { note: "nothing" }),
  ...["/header", "/rewritten", "/terminal", "/two", "/maglev"].flatMap((path) =>
    [["x-user: ann"], ["x-user: bob-7"], ["x-user: eve", "x-other: z"], ["x-user: a", "x-user: b"]].map((headers) =>
      one("hashes", path, { headers, note: headers.join(", ") }),
    ),
  ),
  ...["/query?user=ann", "/query?user=bob&x", "/source", "/made?x"].map((path) => one("hashes", path)),
  ...["/cookie", "/made", "/lasting"].map((path) =>
    one("hashes", path, { headers: ["cookie: a=b; session=abc"], note: "with one" }),
  ),
  one("hashes", "/lasting", { note: "made" }),
  one("hashes", "/unhashed", { note: "where nothing is hashed" }),
  one("hashes", "/unhashed", { headers: ["cookie: session=abc"], note: "where nothing is hashed, with one" }),
  ...["/suffix", "/same", "/rewritten/x"].map((path) => one("mirrors", path, { copies: 1 })),
  one("mirrors", "/suffix", { copies: 1, method: "POST", body: "copy me", note: "with a body" }),
  one("mirrors.example:81", "/suffix", { copies: 1, listener: "ported" }),
  one("mirrors", "/all", { copies: 2 }),
  one("mirrors", "/none", { copies: 0 }),
  one("mirrors", "/named", { copies: 1, headers: ["x-shadow: shadow"], note: "there" }),
  one("mirrors", "/named", { copies: 0, note: "nowhere" }),
];

const origin = "origin: http://ok.test";
const preflight = ["access-control-request-method: PUT"];
const filters: readonly RoutingCase[] = [
  one("limits", "/two", { times: 3 }),
  one("limits", "/tells", { times: 3 }),
  one("limits", "/status", { times: 2 }),
  one("limits", "/adds", { times: 2 }),
  one("limits", "/soft", { times: 2 }),
  one("limits", "/off", { times: 2 }),
  one("limits", "/grpc", { times: 2, headers: ["content-type: application/grpc"] }),
  one("limits", "/per-connection", { times: 2 }),
  one("limits", "/per-connection", { times: 2, apart: true, note: "apart" }),
  one("limits", "/described", { times: 2, headers: ["x-user: ann"], note: "ann" }),
  one("limits", "/described", { times: 2, headers: ["x-user: bob"], note: "bob" }),
  one("limits", "/host-described", { times: 2 }),
  one("limits", "/matched", { times: 2, method: "POST", body: "x", note: "by POST" }),
  one("limits", "/matched", { times: 2, note: "by GET" }),
  ...["/cors", "/cors-credentials", "/cors-strict", "/cors-off"].flatMap((path) => [
    one("filters", path, { headers: [origin], note: "a request" }),
    one("filters", path, { headers: [origin, ...preflight], method: "OPTIONS", note: "a preflight" }),
    one("filters", path, {
      headers: ["origin: http://bad.test", ...preflight],
      method: "OPTIONS",
      note: "of a stranger",
    }),
    one("filters", path, { headers: ["origin: http://bad.test"], note: "a stranger" }),
  ]),
  one("filters", "/cors", { headers: ["origin: http://a.ok.test"], note: "by regex" }),
  one("filters", "/cors", { headers: [origin], method: "OPTIONS", note: "OPTIONS that is no preflight" }),
  one("filters", "/cors-any", { headers: [origin, ...preflight], method: "OPTIONS", note: "a preflight" }),
  ...withHeaders("filters", "/abort-header", [
    ["x-envoy-fault-abort-request: 418"],
    ["x-envoy-fault-abort-request: 99"],
    ["x-envoy-fault-abort-grpc-request: 5"],
    ["x-envoy-fault-abort-request: 418", "x-envoy-fault-abort-request-percentage: 0"],
    ["x-other: 1"],
  ]),
  ...withHeaders("filters", "/abort-grpc", [["content-type: application/grpc"], ["content-type: text/plain"]]),
  ...withHeaders("filters", "/abort-some", [["x-fault: 1"], ["x-other: 1"]]),
  ...withHeaders("filters", "/delay-header", [["x-envoy-fault-delay-request: 20"], ["x-envoy-fault-delay-request: x"]]),
  ...paths("filters", [
    "/abort-upstream",
    "/abort-never",
    "/delay-none",
    "/mutate",
    "/mutate-off",
    "/optional",
    "/state?q",
    "/x",
  ]),
  one("filters", "/mutate", { headers: ["x-gone: 1"], note: "a header away" }),
  one("filters", "/buffer", { method: "POST", body: "short", note: "a short body" }),
  one("filters", "/buffer", { method: "POST", body: "much longer than ten", note: "a long body" }),
  one("filters", "/buffer-off", { method: "POST", body: "much longer than ten", note: "a long body" }),
  ...["/go", "/twice", "/not", "/cross", "/plain"].flatMap((path) => [
    one("followed", `${path}/status/302`, {
      headers: ["x-answer: location=http://followed.example/target?x"],
      note: "here",
    }),
    one("followed", `${path}/status/302`, {
      headers: ["x-answer: location=https://followed.example/target"],
      note: "by TLS",
    }),
  ]),
  one("followed", "/go/status/302", { headers: ["x-answer: location=/target"], note: "to a path" }),
  one("followed", "/go/status/302", { headers: ["x-answer: location=http://nobody.test/x"], note: "to nobody" }),
  one("followed", "/go/status/307", { headers: ["x-answer: location=http://followed.example/target"], note: "307" }),
  one("followed", "/twice/status/307", {
    headers: ["x-answer: location=http://followed.example/target"],
    method: "POST",
    body: "again",
    note: "307 of a POST",
  }),
  one("followed", "/twice/status/303", {
    headers: ["x-answer: location=http://followed.example/target"],
    method: "POST",
    body: "again",
    note: "303 of a POST",
  }),
  one("followed", "/twice/status/302", {
    headers: ["x-answer: location=http://followed.example/twice/status/302"],
    note: "for ever",
  }),
];

/** CONNECT that ends at the proxy, goes through it, or is refused; what is in the tunnel is a request of its own. */
const tunnels: readonly RoutingCase[] = [["x-end: 1"], ["x-through: 1"], []].map((headers) => ({
  name: `CONNECT ${headers.join("")}`,
  host: "in.example:80",
  path: "in.example:80",
  method: "CONNECT",
  headers,
  listener: "tunnels",
  ...(headers.includes("x-end: 1") ? { inside: "GET /inside HTTP/1.1\r\nHost: in.example\r\n\r\n" } : {}),
}));

/** The same by HTTP/2: pseudo headers are what matchers, rewrites, redirects and hashes look at. */
const byHttp2: readonly RoutingCase[] = [
  one("paths", "/sep/a?x"),
  one("order", "/a/e", { headers: ["x-h: 1"] }),
  one("headers", "/x", { headers: ["x-h: exact", "x-h: exact"] }),
  one("headers.example:81", "/x", { listener: "ported" }),
  one("domains.test", "/"),
  one("DEEP.domains.TEST", "/"),
  one("tls", "/x?y=1"),
  one("redirects", "/https?a"),
  one("redirects", "/port/x"),
  one("redirects.example:81", "/port", { listener: "ported" }),
  one("rewrites", "/prefix/a?q=1"),
  one("rewrites", "/host-literal"),
  one("rewrites", "/host-forwarded"),
  one("rewrites", "/auto-forwarded"),
  one("edits", "/actions", { headers: ["x-append: 1", "x-over: 1", "x-over: 1b", "x-gone: 1"] }),
  one("edits", "/formats?x=1"),
  one("edits", "/weighted", { headers: ["x-cluster-removes: 1"] }),
  one("retries", "/5xx/fail/503/2"),
  one("retries", "/5xx/fail/500", { method: "POST", body: "again" }),
  one("retries", "/gateway/fail/0"),
  one("retries", "/refused/x"),
  one("clusters", "/staged", { headers: ["x-random: 1"] }),
  one("clusters", "/by-value", { headers: ["x-random: 29"] }),
  one("clusters", "/named", { headers: ["x-cluster: two"] }),
  one("hashes", "/header", { headers: ["x-user: ann"] }),
  one("hashes", "/cookie", { headers: ["cookie: a=b; session=abc"] }),
  one("hashes", "/cookie", { headers: ["cookie: a=b", "cookie: session=abc"], note: "in two crumbs" }),
  one("mirrors", "/suffix", { copies: 1 }),
  one("filters", "/cors", { headers: [origin, ...preflight], method: "OPTIONS" }),
  one("filters", "/mutate"),
].map((each) => ({ ...each, name: `HTTP/2: ${each.name} ${each.method ?? ""}`.trimEnd(), http2: true }));

export const routingCases: readonly RoutingCase[] = [
  ...byHttp2,
  ...tunnels,
  ...matching,
  ...actions,
  ...retries,
  ...moreRetries,
  ...clusters,
  ...filters,
];
