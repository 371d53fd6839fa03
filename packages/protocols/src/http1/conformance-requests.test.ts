/**
 * Requests that strict parsers agree on, and those on which they do not: what the public request cases of llhttp ask
 * of a parser in its strict mode, asked of ours. A case that ends otherwise here than there says why.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cutAt, decodeRequests } from "./recorder.ts";
import type { RequestDecoderOptions } from "./request-decoder.ts";

/** `takes` lists `METHOD path` of each request read; `refuses` the problem, after what was read before it. */
interface Case {
  readonly name: string;
  readonly bytes: string;
  readonly takes?: readonly string[];
  readonly refuses?: string;
  readonly body?: string;
  /** Why llhttp ends otherwise. */
  readonly differs?: string;
  readonly options?: RequestDecoderOptions;
}

const crlf = (...lines: readonly string[]): string => lines.join("\r\n");
const host = "Host: h.test";
const head = (line: string, ...fields: readonly string[]): string => crlf(line, host, ...fields, "", "");
const put = (...fields: readonly string[]): string => head("PUT /p HTTP/1.1", ...fields);
const chunked = "Transfer-Encoding: chunked";
const any = { options: { upgrades: "any" } } as const;

const connectionCases: readonly Case[] = [
  { name: "keep-alive said", bytes: put("Connection: keep-alive"), takes: ["PUT /p"] },
  { name: "keep-alive said twice over", bytes: put("Connection: keep-alive").repeat(2), takes: ["PUT /p", "PUT /p"] },
  {
    name: "a second request after HTTP/1.0",
    bytes: head("PUT /p HTTP/1.0") + put(),
    takes: ["PUT /p"],
    differs: "bytes after the last request are dropped, not an error",
  },
  {
    name: "one empty line between a body and the next request",
    bytes: `${head("POST / HTTP/1.1", "Content-Length: 4")}a=42\r\n${head("GET /next HTTP/1.1")}`,
    takes: ["POST /", "GET /next"],
    body: "a=42",
  },
  {
    name: "a carriage return inside keep-alive",
    bytes: put("Connection: keep\ralive"),
    refuses: "bare-cr",
  },
  { name: "close", bytes: put("Connection: close"), takes: ["PUT /p"] },
  { name: "close before a tab", bytes: put("Connection: close\t"), takes: ["PUT /p"] },
  {
    name: "an empty line and a request after close",
    bytes: `${head("POST / HTTP/1.1", "Content-Length: 4", "Connection: close")}a=42\r\n${put()}`,
    takes: ["POST /"],
    body: "a=42",
    differs: "bytes after the last request are dropped, not an error",
  },
  {
    name: "the same with a tab after close",
    bytes: `${head("POST / HTTP/1.1", "Content-Length: 4", "Connection: close\t")}a=42\r\n${put()}`,
    takes: ["POST /"],
    body: "a=42",
    differs: "bytes after the last request are dropped, not an error",
  },
  { name: "a list of tokens", bytes: put("Connection: close, own, upgrade, own, keep-alive"), takes: ["PUT /p"] },
  {
    name: "an upgrade among other tokens, and what comes behind it",
    bytes: `${put("Connection: keep-alive, upgrade", "Upgrade: WebSocket")}raw`,
    takes: ["PUT /p"],
    differs: "what follows is held until the server decides",
  },
  { name: "a space before the colon of Connection", bytes: put("Connection : upgrade"), refuses: "bad-header-name" },
  { name: "an upgrade to a protocol", bytes: put("Connection: upgrade", "Upgrade: own"), takes: ["PUT /p"], ...any },
  {
    name: "an upgrade with a body",
    bytes: `${put("Connection: upgrade", "Content-Length: 4", "Upgrade: own")}body`,
    takes: ["PUT /p"],
    body: "body",
    differs: "a request with a body is none to switch at: the upgrade is not heard",
    ...any,
  },
  {
    name: "an old WebSocket handshake",
    bytes: `${head("GET /chat HTTP/1.1", "Connection: Upgrade", "Sec-WebSocket-Key1: 1 @2  x%0l", "Upgrade: WebSocket")}k`,
    takes: ["GET /chat"],
  },
  {
    name: "an upgrade to HTTP/2 with a body",
    bytes: `${head("POST / HTTP/1.1", "Connection: Upgrade", "Upgrade: HTTP/2.0", "Content-Length: 2")}ok`,
    takes: ["POST /"],
    body: "ok",
    differs: "HTTP/2 is never switched to",
    ...any,
  },
];

const lengthCases: readonly Case[] = [
  { name: "a length with zeros before it", bytes: `${put("Content-Length: 003")}abc`, takes: ["PUT /p"], body: "abc" },
  { name: "another field after it", bytes: `${put("Content-Length: 003", "X: y")}abc`, takes: ["PUT /p"], body: "abc" },
  { name: "a length beyond 64 bits", bytes: put(`Content-Length: 1${"0".repeat(21)}`), refuses: "bad-content-length" },
  { name: "two lengths", bytes: put("Content-Length: 1", "Content-Length: 2"), refuses: "duplicate-content-length" },
  {
    name: "a length and the identity coding",
    bytes: put("Content-Length: 1", "Transfer-Encoding: identity"),
    refuses: "bad-transfer-encoding",
  },
  { name: "a space before the colon of the length", bytes: put("Content-Length : 4"), refuses: "bad-header-name" },
  {
    name: "a length in HTTP/1.0, oddly cased",
    bytes: `${head("GET /odd HTTP/1.0", "conTENT-Length: 5")}HELLO`,
    takes: ["GET /odd"],
    body: "HELLO",
  },
  { name: "spaces around a length", bytes: `${put("Content-Length:  2 ")}ab`, takes: ["PUT /p"], body: "ab" },
  { name: "tabs around a length", bytes: `${put("Content-Length:\t2\t  ")}ab`, takes: ["PUT /p"], body: "ab" },
  { name: "a space inside a length", bytes: put("Content-Length: 4 2"), refuses: "bad-content-length" },
  { name: "a wider gap inside a length", bytes: put("Content-Length: 13  37"), refuses: "bad-content-length" },
  { name: "an empty length", bytes: put("Content-Length:"), refuses: "bad-content-length" },
  { name: "a carriage return for the hyphen", bytes: put("Content\rLength: 3"), refuses: "bad-header-name" },
  {
    name: "a carriage return and bytes where the head should end",
    bytes: `${crlf("PUT /p HTTP/1.1", host, "Content-Length: 3", "\rabc")}\r\n`,
    refuses: "bare-cr",
  },
];

const invalidCases: readonly Case[] = [
  { name: "the ICE protocol", bytes: head("GET /music ICE/1.0"), refuses: "bad-version", differs: "not HTTP" },
  { name: "a name that only ends in HTTP", bytes: head("GET /music IHTTP/1.0"), refuses: "bad-version" },
  { name: "the RTSP protocol", bytes: head("PUT /music RTSP/1.0"), refuses: "bad-version" },
  {
    name: "a method of RTSP over HTTP",
    bytes: head("ANNOUNCE /music HTTP/1.0"),
    takes: ["ANNOUNCE /music"],
    differs: "a proxy passes any method that is a token",
  },
  { name: "fields divided by a carriage return", bytes: put("A: 1\rB: 2"), refuses: "bare-cr" },
  { name: "fields divided by a line feed", bytes: put(`x:x\n${chunked}`), refuses: "bare-lf" },
  {
    name: "a request hidden behind a carriage return and a letter",
    bytes: crlf("GET / HTTP/1.1", "Connection: close", host, "\rZGET /hidden: HTTP/1.1", host, "", ""),
    refuses: "bare-cr",
  },
  { name: "an empty field ended by a carriage return", bytes: put(`x:\r${chunked}`), refuses: "bare-cr" },
  { name: "an empty field ended by a line feed", bytes: put(`x:\n${chunked}`), refuses: "bare-lf" },
  { name: "an @ in a name", bytes: put("Na@me: v"), refuses: "bad-header-name" },
  { name: "a control byte in a name", bytes: put("Na\x01me: v"), refuses: "bad-header-name" },
  { name: "an empty name", bytes: put(": v"), refuses: "bad-header-name" },
  {
    name: "an unknown method",
    bytes: head("MKSODA / HTTP/1.1"),
    takes: ["MKSODA /"],
    differs: "a proxy passes any method that is a token",
  },
  { name: "a name whose colon is on the next line", bytes: put("name", " : v"), refuses: "bad-header-name" },
  {
    name: "garbage inside the Connection name",
    bytes: put("Connection\r\x1b5\xd5eep-Alive"),
    refuses: "bad-header-name",
  },
  { name: "garbage inside another name", bytes: put("X-Own\r\x1b5\xd5eep-Alive", "A: b"), refuses: "bad-header-name" },
  { name: "a length behind a line feed", bytes: put("X: y\nContent-Length: 23"), refuses: "bare-lf" },
  { name: "a version of the future", bytes: "GET / HTTP/5.6\r\n", refuses: "unsupported-version" },
  { name: "a space before the first field", bytes: `GET / HTTP/1.1\r\n ${host}\r\n`, refuses: "folded-line" },
  { name: "line feeds alone", bytes: `POST / HTTP/1.1\n${chunked}\n\n1\nA\n0\n\n`, refuses: "bad-version" },
  { name: "a length on a folded line", bytes: put("X: y", " Content-Length: 38"), refuses: "folded-line" },
  { name: "a form feed for a value", bytes: put("X: \f"), refuses: "bad-header-value" },
  { name: "a form feed in a value", bytes: put("X: a\fb"), refuses: "bad-header-value" },
];

const methodCases: readonly Case[] = [
  ...["REPORT", "PATCH", "PURGE", "SEARCH", "LINK", "UNLINK", "SOURCE", "QUERY", "HEAD"].map(
    (method): Case => ({ name: method, bytes: head(`${method} /m HTTP/1.1`, "X: y"), takes: [`${method} /m`] }),
  ),
  { name: "CONNECT and bytes behind it", bytes: `${head("CONNECT own.test:443 HTTP/1.0")}raw`, takes: ["CONNECT "] },
  { name: "CONNECT in capitals", bytes: head("CONNECT OWN.TEST:443 HTTP/1.0"), takes: ["CONNECT "] },
  { name: "CONNECT to a name with an underscore", bytes: head("CONNECT own_1.test:443 HTTP/1.0"), takes: ["CONNECT "] },
  {
    name: "CONNECT with a length",
    bytes: `${head("CONNECT own.test:443 HTTP/1.0", "Content-Length: 10")}0123456789`,
    refuses: "bad-content-length",
    differs: "CONNECT has no body to be measured",
  },
  {
    name: "a search for devices at *",
    bytes: head("M-SEARCH * HTTP/1.1", 'MAN: "ssdp:discover"'),
    refuses: "bad-target",
    differs: "only OPTIONS may ask for *",
  },
  { name: "SOURCE of ICE", bytes: head("SOURCE /m ICE/1.0"), refuses: "bad-version", differs: "not HTTP" },
  { name: "OPTIONS of RTSP", bytes: head("OPTIONS /m RTSP/1.0"), refuses: "bad-version", differs: "not HTTP" },
  { name: "ANNOUNCE of RTSP", bytes: head("ANNOUNCE /m RTSP/1.0"), refuses: "bad-version", differs: "not HTTP" },
  { name: "the HTTP/2 preface with a version of ours", bytes: head("PRI * HTTP/1.1"), refuses: "bad-method" },
];

const sampleCases: readonly Case[] = [
  { name: "fields with spaces and tabs", bytes: put("A: 1", "B:\t 2"), takes: ["PUT /p"] },
  {
    name: "no Host",
    bytes: crlf("GET /none HTTP/1.1", "Accept: */*", "", ""),
    refuses: "missing-host",
    differs: "RFC 9112 section 3.2 has it refused",
  },
  { name: "a Host with =", bytes: "GET / HTTP/1.1\r\nHost: 0=5\r\n\r\n", refuses: "bad-host", differs: "no authority" },
  { name: "no space after the colon", bytes: put("aaaa:++++"), takes: ["PUT /p"] },
  { name: "HTTP/1.0 with a Host", bytes: head("GET /ab HTTP/1.0", "Accept: */*"), takes: ["GET /ab"] },
  { name: "an empty line first", bytes: `\r\n${put()}`, takes: ["PUT /p"] },
  { name: "no version", bytes: "GET /\r\n\r\n", refuses: "bad-target", differs: "HTTP/0.9 is not spoken" },
  { name: "a value folded by line feeds", bytes: put("A: b\n\tc\n d"), refuses: "bare-lf" },
  { name: "a carriage return alone after the version", bytes: "GET / HTTP/1.1\rA: 1\r\n", refuses: "bad-version" },
  { name: "UTF-8 in a value", bytes: put("A: D\xc3\xbcren"), takes: ["PUT /p"] },
  { name: "a byte of 255 in a value", bytes: put("A: \xffb"), takes: ["PUT /p"] },
  {
    name: "three requests at once",
    bytes: ["aaa", "bbbb", "ccccc"].map((body) => put(`Content-Length: ${body.length}`) + body).join(""),
    takes: ["PUT /p", "PUT /p", "PUT /p"],
    body: "aaabbbbccccc",
  },
];

const post = (body: string, ...fields: readonly string[]): string => head("POST /c HTTP/1.1", ...fields) + body;
const taken = { takes: ["POST /c"] } as const;
const codingCases: readonly Case[] = [
  {
    name: "chunks with a small letter",
    bytes: post("a\r\n0123456789\r\n0\r\n\r\n", chunked),
    ...taken,
    body: "0123456789",
  },
  { name: "chunks with a capital", bytes: post("A\r\n0123456789\r\n0\r\n\r\n", chunked), ...taken, body: "0123456789" },
  { name: "a chunk of two digits", bytes: post(`1e\r\n${"x".repeat(30)}\r\n0\r\n\r\n`, chunked), ...taken },
  { name: "three zeros at the end", bytes: post("1\r\na\r\n1\r\nb\r\n000\r\n\r\n", chunked), ...taken, body: "ab" },
  { name: "trailers", bytes: post("1\r\na\r\n0\r\nVary: *\r\nX: y\r\n\r\n", chunked), ...taken, body: "a" },
  { name: "extensions", bytes: post("1;a;b=c;d=e\r\na\r\n1;f;g\r\nb\r\n0\r\n\r\n", chunked), ...taken, body: "ab" },
  {
    name: "extensions without a semicolon",
    bytes: post("2 ext\r\naa\r\n0 e\r\n\r\n", chunked),
    refuses: "bad-chunk-size",
  },
  {
    name: "nothing after the semicolon",
    bytes: post("2;\r\naa\r\n0\r\n\r\n", chunked),
    refuses: "bad-chunk-extension",
  },
  {
    name: "a quoted extension",
    bytes: post('1;a="b \\"c\\" \\\\d";e="f";g\r\nx\r\n0\r\n\r\n', chunked),
    ...taken,
    body: "x",
  },
  { name: "an open quote", bytes: post('1;a="b";c="d; e\r\nx\r\n0\r\n\r\n', chunked), refuses: "bad-chunk-extension" },
  { name: "an unknown coding", bytes: post("", "Transfer-Encoding: doves"), refuses: "bad-transfer-encoding" },
  {
    name: "the identity coding and a length",
    bytes: post("12345", "Transfer-Encoding: identity", "Content-Length: 5"),
    refuses: "bad-transfer-encoding",
  },
  {
    name: "empty codings and a length",
    bytes: post("2\r\nAA\r\n0\r\n", "Content-Length: 10", ...["", "", ""].map((v) => `Transfer-Encoding:${v}`)),
    refuses: "bad-transfer-encoding",
  },
  {
    name: "chunked before another",
    bytes: post("", "Transfer-Encoding: chunked, deflate"),
    refuses: "bad-transfer-encoding",
  },
  {
    name: "chunked, then another field",
    bytes: post("", chunked, "Transfer-Encoding: deflate"),
    refuses: "bad-transfer-encoding",
  },
  {
    name: "chunked after another",
    bytes: post("1\r\na\r\n0\r\n\r\n", "Transfer-Encoding: deflate, chunked"),
    refuses: "unsupported-transfer-encoding",
    differs: "a proxy that cannot decode it cannot say where the content ends for others",
  },
  {
    name: "chunked after another in a field of its own",
    bytes: post("1\r\na\r\n0\r\n\r\n", "Transfer-Encoding: deflate", chunked),
    refuses: "unsupported-transfer-encoding",
    differs: "the same",
  },
  { name: "chunkedchunked", bytes: post("", "Transfer-Encoding: chunkedchunked"), refuses: "bad-transfer-encoding" },
  { name: "no last chunk", bytes: post("3\r\nfoo\r\n\r\n", chunked), refuses: "bad-chunk-size" },
  { name: "a line feed in a size", bytes: post("3 \n  \r\nfoo", chunked), refuses: "bad-chunk-size" },
  {
    name: "two carriage returns after a size",
    bytes: post("5\r\r;ABCD\r\n34\r\n", chunked),
    refuses: "bad-chunk-size",
  },
  {
    name: "no line end after a chunk",
    bytes: post("5\r\nABCDE0\r\n\r\n", chunked),
    refuses: "bad-chunk-end",
    body: "ABCDE",
  },
  { name: "a space after a size", bytes: post("a \r\n0123456789\r\n", chunked), refuses: "bad-chunk-size" },
];

const get = (target: string): string => head(`GET ${target} HTTP/1.1`);
const targetCases: readonly Case[] = [
  { name: "quotes", bytes: get('/with_"own"_quotes?a="b"'), takes: ['GET /with_"own"_quotes?a="b"'] },
  { name: "two question marks", bytes: get("/t.cgi?a=b?c"), takes: ["GET /t.cgi?a=b?c"] },
  { name: "a host before a query", bytes: get("http://own.test?all"), takes: ["GET /?all"] },
  { name: "a port before a query", bytes: get("http://own.test:1234?all"), takes: ["GET /?all"] },
  { name: "a bar", bytes: get("/t.cgi?q=|"), takes: ["GET /t.cgi?q=|"] },
  { name: "a host and port alone", bytes: get("http://own.test:1234"), takes: ["GET /"] },
  { name: "UTF-8 in a path", bytes: get("/\xce\xb4/x"), refuses: "bad-target" },
  { name: "a space in a path", bytes: get("/a b/"), refuses: "bad-version" },
  { name: "a fragment", bytes: get("/f?p=1#x"), refuses: "bad-target", differs: "a fragment never goes over the wire" },
  {
    name: "user and password",
    bytes: get("http://a%12:b!@own.test/x"),
    refuses: "userinfo",
    differs: "RFC 9110 4.2.4",
  },
];

const finishCases: readonly (readonly [name: string, bytes: string, error: string])[] = [
  ["after a request", get("/"), ""],
  ["in a body", put("Content-Length: 100"), "closed-mid-message"],
  ["in a field", "PUT / HTTP/1.1\r\nContent-Leng", "closed-mid-message"],
];

const outcome = (each: Case, chunks: readonly Buffer[]) => {
  const lines = decodeRequests(chunks, each.options);
  const error = lines.find((line) => line.startsWith("error "));
  return {
    takes: lines
      .filter((line) => / 1\.[01] /.test(line))
      .map((line) => line.replace(/^(\S+) \S+ \S+ (\S*) .*$/, "$1 $2")),
    refuses: error?.split(" ")[2],
    body: lines
      .filter((line) => line.startsWith("body "))
      .map((line) => line.slice(5))
      .join(""),
  };
};

const all = { connectionCases, lengthCases, invalidCases, methodCases, sampleCases, codingCases, targetCases };
for (const [group, cases] of Object.entries(all)) {
  test(`${group.replace("Cases", "")}: every case is taken or refused as listed, whole and byte by byte`, () => {
    for (const each of cases) {
      const bytes = Buffer.from(each.bytes, "latin1");
      const whole = outcome(each, [bytes]);
      assert.deepEqual(outcome(each, cutAt(bytes, [...bytes.keys()])), whole, each.name);
      assert.equal(whole.refuses, each.refuses, each.name);
      if (each.takes !== undefined) assert.deepEqual(whole.takes, each.takes, each.name);
      if (each.body !== undefined) assert.equal(whole.body, each.body, each.name);
      assert.notEqual(each.takes === undefined, each.refuses === undefined, `${each.name}: taken or refused`);
    }
  });
}

test("the client's end is an error only in the middle of a request", () => {
  for (const [name, text, error] of finishCases) {
    const last = decodeRequests([Buffer.from(text)], { finish: true }).at(-1) ?? "";
    assert.equal(last.startsWith("error ") ? last.split(" ")[2] : "", error, name);
  }
});
