/** The requests of the differential test, as bytes. What both proxies answer must agree in what `compare` names. */
export interface SharedRequest {
  readonly name: string;
  readonly bytes: string;
  /** Send to the TCP listener instead of the HTTP one. */
  readonly tcp?: boolean;
  /** Bodies of answers that the proxy itself makes differ in wording where the request was not HTTP at all. */
  readonly ignoreBody?: boolean;
}

const lines = (...parts: readonly string[]): string => `${parts.join("\r\n")}\r\n\r\n`;
const get = (name: string, path: string, ...headers: readonly string[]): SharedRequest => ({
  name,
  bytes: lines(
    `GET ${path} HTTP/1.1`,
    ...(headers.some((header) => /^host:/i.test(header)) ? [] : ["Host: any.example"]),
    ...headers,
  ),
});
const raw = (name: string, ...parts: readonly string[]): SharedRequest => ({
  name,
  bytes: lines(...parts),
  ignoreBody: true,
});

export const sharedRequests: readonly SharedRequest[] = [
  get("a plain request", "/hello"),
  get("an exact path with a header added", "/exact"),
  get("an exact path with a query", "/exact?x=1"),
  get("an exact path does not match a longer one", "/exact/more"),
  get("a prefix rewrite", "/rewrite/a/b?c=d"),
  get("a regex rewrite", "/items/42"),
  get("a regex that must match whole", "/items/42/x"),
  get("a host rewrite", "/host-rewrite"),
  get("a redirect to another host over https", "/redirect-host?q=1"),
  get("a redirect to another path", "/redirect-path?q=1"),
  get("a redirect that swaps a prefix", "/redirect-prefix/x?q=1"),
  get("a direct response", "/direct"),
  get("a header that picks the route", "/by-header", "x-kind: two"),
  get("a missing header that picks the route", "/by-header"),
  get("neither header rule holds", "/by-header", "x-kind: three"),
  get("a query parameter that picks the route", "/by-query?a=b&v=21"),
  get("a query parameter that does not match", "/by-query?v=12"),
  get("a separated prefix", "/separated/x"),
  get("a separated prefix is not a string prefix", "/separatedness"),
  get("a prefix in any case", "/case/x"),
  get("a cluster that is not there", "/no-cluster"),
  get("a cluster that is not there, as 404", "/no-cluster-404"),
  get("a cluster without hosts", "/empty"),
  get("a host that refuses connections", "/refused"),
  get("a failure that a retry mends", "/flaky"),
  get("a failure that a retry does not mend", "/status/503"),
  get("an upstream that never answers", "/hang"),
  get("an upstream that breaks the connection", "/reset"),
  get("a destination of weight zero", "/zero-weight"),
  get("headers removed both ways", "/remove/headers", "x-secret: 1", "x-open: 2"),
  get("an injected abort", "/abort"),
  get("header formats", "/formats?a=b", "user-agent: tests"),
  get("a forbidden path", "/forbidden/x"),
  get("a forbidden path in disguise", "/a/../forbidden"),
  get("a forbidden path with an encoded dot", "/a/%2e%2e/forbidden"),
  get("a path with double slashes", "//exact"),
  get("another virtual host", "/x", "Host: two.example"),
  get("another virtual host with a port", "/x", "Host: two.example:8080"),
  get("another virtual host in capitals", "/x", "Host: TWO.example"),
  get("a wildcard virtual host", "/x", "Host: deep.two.example"),
  get("a virtual host without a route", "/x", "Host: none.example"),
  get("a not-found upstream", "/status/404"),
  get("an empty answer", "/status/204"),
  get("a not-modified answer", "/status/304"),
  get("a server error", "/status/500"),
  get("a chunked answer", "/chunked"),
  get("an upstream that closes after answering", "/close"),
  get("repeated response headers", "/headers"),
  get("connection: close is obeyed", "/x", "Connection: close"),
  get("hop-by-hop headers are dropped", "/x", "Connection: x-hop", "x-hop: 1", "Keep-Alive: timeout=5"),
  get("forwarded headers are extended", "/x", "x-forwarded-for: 10.0.0.1", "x-forwarded-proto: https"),
  get("a request id from outside", "/x", "x-request-id: abc"),
  get("an absolute target", "http://two.example/x", "Host: any.example"),
  get(
    "expected headers from outside are not believed",
    "/x",
    "x-envoy-internal: true",
    "x-envoy-expected-rq-timeout-ms: 5",
  ),
  { name: "a HEAD request", bytes: lines("HEAD /hello HTTP/1.1", "Host: any.example") },
  { name: "an OPTIONS * request", bytes: lines("OPTIONS * HTTP/1.1", "Host: any.example") },
  { name: "a body with a length", bytes: `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello` },
  {
    name: "a chunked body",
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  },
  { name: "an empty body", bytes: `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n` },
  { name: "a denied method on a protected path", bytes: lines("DELETE /protected/1 HTTP/1.1", "Host: a") },
  {
    name: "an allowed method on a protected path",
    bytes: lines("PUT /protected/1 HTTP/1.1", "Host: a", "Content-Length: 0"),
  },
  { name: "TCP passes bytes as they are", bytes: lines("GET /through-tcp HTTP/1.1", "Host: tcp"), tcp: true },
  raw("two lengths that disagree", "POST /x HTTP/1.1", "Host: a", "Content-Length: 5", "Content-Length: 6"),
  raw("a length that is no number", "POST /x HTTP/1.1", "Host: a", "Content-Length: five"),
  raw("a length and chunks", "POST /x HTTP/1.1", "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"),
  raw("a space before the colon", "GET /x HTTP/1.1", "Host: a", "x-bad : 1"),
  raw("a header line without a colon", "GET /x HTTP/1.1", "Host: a", "bad"),
  raw("a NUL in a header", "GET /x HTTP/1.1", "Host: a", "x-bad: a\u0000b"),
  raw("no Host", "GET /x HTTP/1.1", "x: 1"),
  raw("a version that is none", "GET /x HTTP/9.9", "Host: a"),
  raw("not HTTP at all", "\u0016\u0003\u0001 hello"),
  {
    name: "a head over the limit",
    bytes: lines("GET /x HTTP/1.1", "Host: a", `x-big: ${"a".repeat(70_000)}`),
    ignoreBody: true,
  },
  {
    name: "too many headers",
    bytes: lines("GET /x HTTP/1.1", "Host: a", ...Array.from({ length: 120 }, (_, i) => `x-${i}: 1`)),
    ignoreBody: true,
  },
];
