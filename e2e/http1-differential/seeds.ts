/** Requests as they are and as attackers bend them: what mutations start from. */

export interface RequestSeed {
  readonly name: string;
  readonly text: string;
}

const host = "Host: h.test";
const head = (line: string, ...fields: readonly string[]): string => [line, ...fields, "", ""].join("\r\n");
const get = (...fields: readonly string[]): string => head("GET /g?q=1 HTTP/1.1", host, ...fields);
const post = (body: string, ...fields: readonly string[]): string => head("POST /p HTTP/1.1", host, ...fields) + body;
const chunked = "Transfer-Encoding: chunked";
const length = (n: number | string): string => `Content-Length: ${n}`;
const last = "0\r\n\r\n";
const hidden = head("GET /hidden HTTP/1.1", host);

const ordinary: Readonly<Record<string, string>> = {
  get: get("User-Agent: x", "Accept: */*"),
  "get with many fields": get(...Array.from({ length: 20 }, (_, i) => `X-F${i}: v${i}`)),
  "no space after the colon": get("X:y"),
  "white space around a value": get("X: \t y \t"),
  "an empty value": get("X:"),
  head: head("HEAD /h HTTP/1.1", host),
  options: head("OPTIONS * HTTP/1.1", host),
  "options of a path": head("OPTIONS /o HTTP/1.1", host),
  delete: head("DELETE /d HTTP/1.1", host),
  "an own method": head("PURGE /x HTTP/1.1", host),
  "a small method": head("get /x HTTP/1.1", host),
  post: post("hello", length(5)),
  "post of nothing": post("", length(0)),
  "get with a body": `${get(length(5))}hello`,
  chunks: post(`5\r\nhello\r\n6\r\n world\r\n${last}`, chunked),
  "chunks with trailers": post("5\r\nhello\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\n", chunked, "Trailer: X-T"),
  "chunks with extensions": post(`5;a=b;c="d;e"\r\nhello\r\n0;x\r\n\r\n`, chunked),
  "three in a row": get() + post("abc", length(3)) + get(),
  "an empty line between": `${post("abc", length(3))}\r\n${get()}`,
  "an expectation": post("hello", "Expect: 100-continue", length(5)),
  "another expectation": post("hello", "Expect: 200-ok", length(5)),
  close: get("Connection: close") + get(),
  "keep-alive": get("Connection: keep-alive") + get(),
  "HTTP/1.0": head("GET /1.0 HTTP/1.0", host),
  "HTTP/1.0 kept alive": head("GET /1.0 HTTP/1.0", host, "Connection: keep-alive") + get(),
  "HTTP/1.0 without Host": head("GET /1.0 HTTP/1.0"),
  "HTTP/1.0 with a body": `${head("POST /1.0 HTTP/1.0", host, length(5))}hello`,
  websocket: get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: k", "Sec-WebSocket-Version: 13"),
  "an own upgrade": `${get("Connection: upgrade", "Upgrade: own")}early`,
  h2c: get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
  te: get("TE: trailers, gzip;q=0.5"),
  "cookies twice": get("Cookie: a=1", "Cookie: b=2"),
  "bytes above ASCII": get("X: caf\xe9 \xf0\x9f\x98\x80"),
};

const targets: Readonly<Record<string, string>> = Object.fromEntries(
  [
    "/",
    "//",
    "/a/../b",
    "/%2e%2e/x",
    "/a%00b",
    "/a%0d%0ab",
    "/a;b=c",
    "/a#b",
    "/a?b?c#d",
    "/a|b",
    '/"',
    "/a\\b",
    "/%zz",
    "/caf\xe9",
    "/a\tb",
    "/a b",
    "*",
    "a",
    "?",
    "http://h.test/abs",
    "http://other.test/abs",
    "http://h.test:81/abs",
    "http://u:p@h.test/",
    "https://h.test/s",
    "HTTP://h.test",
    "http://h.test?q",
    "http:///x",
    "ftp://h.test/",
    "http://h.test:99999/",
    "http://[::1]/",
    "h.test:80",
    `/${"x".repeat(3000)}`,
  ].map((target) => [`target ${target.slice(0, 30)}`, head(`GET ${target} HTTP/1.1`, host)]),
);

const hosts: Readonly<Record<string, string>> = Object.fromEntries(
  [
    "",
    "a b",
    "a,b",
    "a/b",
    "u@h.test",
    "h.test:",
    "h.test:80",
    "h.test:x",
    "h.test:65536",
    "h.test:80:80",
    "h.test.",
    "H.TEST",
    "[::1]",
    "[::1]:80",
    "[::1",
    "a_b",
    "1.2.3.4",
    "a%2eb",
    "a\\b",
    "h.test\r\nHost: b",
    "h.test\r\nhost: h.test",
    "caf\xe9",
  ].map((value) => [`host ${JSON.stringify(value)}`, head("GET /host HTTP/1.1", `Host: ${value}`)]),
);

const smuggling: Readonly<Record<string, string>> = {
  "no Host": head("GET / HTTP/1.1"),
  "CL.TE": post(`${last}${hidden}`, length(6), chunked),
  "TE.CL": post(`5c\r\n${hidden}\r\n${last}`, chunked, length(4)),
  "TE.TE": post(last, chunked, "Transfer-Encoding: identity"),
  "chunked twice": post(last, chunked, chunked),
  ...Object.fromEntries(
    [
      "xchunked",
      "chunked, identity",
      "identity, chunked",
      "gzip, chunked",
      "gzip",
      "Chunked",
      "chunked;q=1",
      '"chunked"',
      "",
      "\x0bchunked",
      "chunked\x00",
      "chunked,",
      ",chunked",
      "chun\tked",
    ].map((value) => [`coding ${JSON.stringify(value)}`, post(last + hidden, `Transfer-Encoding: ${value}`)]),
  ),
  "a space before the colon of the coding": post(last, "Transfer-Encoding : chunked"),
  "a tab before the coding": post(last, "\tTransfer-Encoding: chunked"),
  "a folded coding": post(last, "Transfer-Encoding:\r\n chunked"),
  "an underscore for the hyphen": post("", "Transfer_Encoding: chunked", "content_length: 4"),
  "a line feed before the coding": post(last, "X: y\nTransfer-Encoding: chunked"),
  "a carriage return before the coding": post(last, "X: y\rTransfer-Encoding: chunked"),
  ...Object.fromEntries(
    ["", "+5", "-5", "0x5", "5 5", "5,5", "5a", "05", "1e1", "99999999999999999999", "5;", "\x0b5", "5\x00"].map(
      (value) => [`length ${JSON.stringify(value)}`, post("hello", length(value))],
    ),
  ),
  "two lengths": post("hello", length(5), length(6)),
  "the same length twice": post("hello", length(5), length(5)),
  "a length of nothing before a request": post(hidden, length(0)),
  "a space before the colon of the length": post("hello", "Content-Length : 5"),
  "a name ended by a carriage return": post("hello", "Content-Length\r: 5"),
  "an empty name": get(": y"),
  "a name with a space": get("X Y: z"),
  "a name above ASCII": get("X\xe9: z"),
  "a name with NUL": get("X\x00: z"),
  "a value with NUL": get("X: a\x00b"),
  "a value with DEL": get("X: a\x7fb"),
  "no colon": get("nonsense"),
  "a folded line": get("X: a\r\n b"),
  "the end by CR and a letter": `GET / HTTP/1.1\r\n${host}\r\n\rX\r\n\r\n`,
  "the end by line feeds": `GET / HTTP/1.1\n${host}\n\n`,
  "a head that ends by one line feed": `GET / HTTP/1.1\r\n${host}\r\n\n`,
  "a size with a space": post(`5 \r\nhello\r\n${last}`, chunked),
  "a size with 0x": post(`0x5\r\nhello\r\n${last}`, chunked),
  "a size with a sign": post(`+5\r\nhello\r\n${last}`, chunked),
  "a size over 64 bits": post(`10000000000000005\r\nhello\r\n${last}`, chunked),
  "a size ended by a line feed": post(`5\nhello\r\n${last}`, chunked),
  "a size ended by a carriage return": post(`5\rhello\r\n${last}`, chunked),
  "an extension with a line feed": post(`5;a\nhello\r\n${last}`, chunked),
  "an extension of nothing": post(`5;\r\nhello\r\n${last}`, chunked),
  "a chunk that goes on": post(`5\r\nhelloX\r\n${last}`, chunked),
  "a chunk ended by a line feed": post(`5\r\nhello\n${last}`, chunked),
  "no end of the trailers": post(`0\r\nX: y\r\n`, chunked),
  "a framing trailer": post("0\r\nContent-Length: 5\r\n\r\n", chunked),
  "a routing trailer": post("0\r\nHost: b\r\n\r\n", chunked),
  "a trailer with a space before the colon": post("0\r\nX : y\r\n\r\n", chunked),
  "chunks in HTTP/1.0": head("POST /1.0 HTTP/1.0", host, chunked) + last,
  "a length named by Connection": post("hello", "Connection: content-length", length(5)),
  "an address named by Connection": get("X-Forwarded-For: 1.2.3.4", "Connection: close, x-forwarded-for"),
};

const versions: Readonly<Record<string, string>> = Object.fromEntries(
  [
    "HTTP/1.2",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/3.7",
    "HTTP/1.10",
    "HTTP/01.1",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP /1.1",
    "ICE/1.0",
    "",
  ].map((version) => [`version ${JSON.stringify(version)}`, head(`GET / ${version}`, host)]),
);

const all = { ...ordinary, ...targets, ...hosts, ...smuggling, ...versions };

export const requestSeeds: readonly RequestSeed[] = Object.entries(all).map(([name, text]) => ({ name, text }));
