import assert from "node:assert/strict";
import { test } from "node:test";
import { cutAt, decodeRequests } from "./recorder.ts";
import type { RequestDecoderOptions } from "./request-decoder.ts";

const start = "POST / HTTP/1.1\r\n";
const host = "Host: a\r\n";
const withFields = (fields: string): string => `${start}${host}${fields}\r\n`;

/** Decoded whole, byte by byte and in two halves: always the same single error, and nothing before it. */
const refusal = (text: string, options: RequestDecoderOptions = {}): string => {
  const bytes = Buffer.from(text, "latin1");
  const whole = decodeRequests([bytes], options);
  for (const cuts of [[...bytes.keys()].slice(1), [bytes.length >> 1]]) {
    assert.deepEqual(decodeRequests(cutAt(bytes, cuts), options), whole, JSON.stringify(text));
  }
  assert.equal(whole.length, 1, JSON.stringify([text, whole]));
  return whole[0] ?? "";
};

const refuses = (cases: readonly (readonly [problem: string, text: string])[]): void => {
  for (const [problem, text] of cases) assert.equal(refusal(text), `error ${problem}`, JSON.stringify(text));
};

test("request lines with any other shape than three words are refused", () => {
  refuses([
    ["400 bad-method", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"],
    ["400 bad-method", " GET / HTTP/1.1\r\n"],
    ["400 bad-method", "G@T / HTTP/1.1\r\n"],
    ["400 bad-method", "PRI / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["400 bad-method", "GET\t/ HTTP/1.1\r\n"],
    ["400 bad-method", "GET\r\n"],
    ["400 bad-method", "\n"],
    ["400 bad-method", "\rGET / HTTP/1.1\r\n"],
    ["400 bad-target", "GET  / HTTP/1.1\r\n"],
    ["400 bad-target", "GET /\r\n"],
    ["400 bad-target", "GET /\t HTTP/1.1\r\n"],
    ["400 bad-target", "GET /a\0b HTTP/1.1\r\n"],
    ["400 bad-target", "GET /caf\xe9 HTTP/1.1\r\n"],
    ["400 bad-target", "GET /public#/../admin HTTP/1.1\r\n"],
    ["400 bad-target", "GET /a\rb HTTP/1.1\r\n"],
    ["400 bad-version", "GET / x HTTP/1.1\r\n"],
    ["400 bad-version", "GET /  HTTP/1.1\r\n"],
    ["400 bad-version", "GET / HTTP/1.1 \r\n"],
    ["400 bad-version", "GET / HTTP/1.1\n"],
    ["400 bad-version", "GET / HTTP/1.1\r\r\n"],
    ["426 unsupported-version", "GET / HTTP/1.2\r\n"],
    ["426 unsupported-version", "GET / HTTP/0.9\r\n"],
    ["426 unsupported-version", "GET / HTTP/2.0\r\n"],
    ["426 unsupported-version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["400 bad-version", "GET / HTTP/1.10\r\n"],
    ["400 bad-version", "GET / HTTP/01.1\r\n"],
    ["400 bad-version", "GET / http/1.1\r\n"],
    ["400 bad-version", "GET / ICE/1.0\r\n"],
    ["400 bad-version", "GET / \r\n"],
  ]);
});

test("targets in a form their method does not have are refused", () => {
  const at = (line: string): string => `${line} HTTP/1.1\r\n${host}\r\n`;
  refuses([
    ["400 bad-target", at("GET *")],
    ["400 bad-target", at("GET svc/Method")],
    ["400 bad-target", at("GET a:80")],
    ["400 bad-target", at("GET ?x")],
    ["400 bad-target", at("GET ftp://a/")],
    ["400 bad-target", at("GET http:///x")],
    ["400 bad-target", at("GET http:/a/x")],
    ["400 bad-target", at("GET http://a:/x")],
    ["400 bad-target", at("GET http://a:99999/x")],
    ["400 bad-target", at("GET http://a\\b/x")],
    ["400 bad-target", at("GET http://a%00b/x")],
    ["400 userinfo", at("GET http://u@a/x")],
    ["400 userinfo", at("GET http://u:p@a:80/x")],
    ["400 bad-target", at("CONNECT a")],
    ["400 bad-target", at("CONNECT /a")],
    ["400 bad-target", at("CONNECT a:")],
    ["400 bad-target", at("CONNECT http://a:80/")],
    ["400 userinfo", at("CONNECT u@a:80")],
    ["400 bad-content-length", `CONNECT a:80 HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\n`],
    ["400 bad-transfer-encoding", `CONNECT a:80 HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`],
  ]);
});

test("a Host that is missing, doubled or has two readings is refused", () => {
  refuses([
    ["400 missing-host", "GET / HTTP/1.1\r\n\r\n"],
    ["400 missing-host", "GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n"],
    ["400 duplicate-host", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
    ["400 duplicate-host", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"],
    ...[
      "",
      "a b",
      "a,b",
      "a/b",
      "a:",
      "a:x",
      "a:65536",
      "a:80:80",
      "a\\b",
      "[::1",
      "[::1]]",
      "[1]",
      "[]",
      "[:::]",
      "[1:2]",
      "[::1.2.3.256]",
      "[1:2:3:4:5:6:7:8:9]",
      "[::1]x",
      "[fe80::1%25e]",
      "a%2eb",
    ].map((value) => ["400 bad-host", `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`] as const),
    ["400 bad-host", "GET http://a/ HTTP/1.1\r\nHost: \r\n\r\n"],
    ["400 missing-host", "GET / HTTP/1.0\r\n\r\n"],
    ["400 missing-host", "OPTIONS * HTTP/1.0\r\n\r\n"],
    ["400 missing-host", "GET /x://a HTTP/1.0\r\n\r\n"],
    ["400 userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"],
  ]);
});

test("lengths that are malformed, repeated or beside a transfer coding are refused", () => {
  refuses([
    ...["", "+5", "-1", "0x5", "5 5", "5,5", "5, 5", "5a", "1e1", "٥", "9007199254740993", "5;"].map(
      (value) => ["400 bad-content-length", withFields(`Content-Length: ${value}\r\n`)] as const,
    ),
    ["400 duplicate-content-length", withFields("Content-Length: 5\r\nContent-Length: 6\r\n")],
    ["400 duplicate-content-length", withFields("Content-Length: 5\r\ncontent-length: 5\r\n")],
    ["400 length-and-transfer-encoding", withFields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")],
    ["400 length-and-transfer-encoding", withFields("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")],
  ]);
});

test("any transfer coding but one chunked is refused", () => {
  refuses([
    ...["", "identity", "chunked, gzip", "chunked,chunked", "xchunked", "chunked;q=1", "\x0bchunked", '"chunked"'].map(
      (value) =>
        [
          value.startsWith("\x0b") ? "400 bad-header-value" : "400 bad-transfer-encoding",
          withFields(`Transfer-Encoding: ${value}\r\n`),
        ] as const,
    ),
    ["501 unsupported-transfer-encoding", withFields("Transfer-Encoding: gzip\r\n")],
    ["501 unsupported-transfer-encoding", withFields("Transfer-Encoding: Deflate , chunked\r\n")],
    ["400 bad-transfer-encoding", withFields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")],
    ["400 bad-transfer-encoding", withFields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")],
    ["400 bad-transfer-encoding", `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n`],
  ]);
});

test("field lines with any other shape are refused", () => {
  refuses([
    ["400 bad-header-name", withFields("X : y\r\n")],
    ["400 bad-header-name", withFields("Transfer-Encoding : chunked\r\n")],
    ["400 bad-header-name", withFields("Content-Length\t: 5\r\n")],
    ["400 bad-header-name", withFields(": y\r\n")],
    ["400 bad-header-name", withFields("X\r\n")],
    ["400 bad-header-name", withFields("X\xe9: y\r\n")],
    ["400 bad-header-name", withFields("X\0: y\r\n")],
    ["400 bad-header-name", withFields("X(y): y\r\n")],
    ["400 bad-header-name", withFields("X\ry: y\r\n")],
    ["400 folded-line", withFields("X: y\r\n z\r\n")],
    ["400 folded-line", `${start} Host: a\r\n\r\n`],
    ["400 folded-line", withFields("\tX: y\r\n")],
    ["400 bad-header-value", withFields("X: a\0b\r\n")],
    ["400 bad-header-value", withFields("X: a\x7fb\r\n")],
    ["400 bad-header-value", withFields("X: a\x0bb\r\n")],
    ["400 bare-cr", withFields("X: a\rb\r\n")],
    ["400 bare-cr", withFields("X: a\r\r\n")],
    ["400 bare-cr", withFields("X: a\rContent-Length: 5\r\n")],
    ["400 bare-lf", withFields("X: a\nY: b\r\n")],
    ["400 bare-lf", withFields("X\n: a\r\n")],
    ["400 bare-lf", `${start}${host}\n`],
    ["400 bare-cr", `${start}${host}\rX\r\n\r\n`],
    ["400 bare-cr", `${start}${host}\r\rX\n`],
    ["400 bad-connection", withFields(`Connection: ${"a,".repeat(40)}\r\n`)],
  ]);
});

test("a head over a limit is refused with the status of that limit", () => {
  const limits = { headBytesMax: 200, startLineBytesMax: 100, headersMax: 4 };
  const cases: readonly (readonly [string, string])[] = [
    ["414 start-line-too-long", `GET /${"x".repeat(100)} HTTP/1.1\r\n${host}\r\n`],
    ["414 start-line-too-long", "x".repeat(101)],
    ["414 start-line-too-long", `GET /#${"x".repeat(100)} HTTP/1.1\r\n${host}\r\n`],
    ["431 head-too-large", `${start}${host}X: ${"y".repeat(200)}\r\n\r\n`],
    ["431 head-too-large", `${start}${host}X: ${"y".repeat(200)}`],
    ["431 head-too-large", `${start}${host}X: \0${"y".repeat(200)}\r\n\r\n`],
    ["431 too-many-headers", `${start}${host}A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n`],
  ];
  for (const [problem, text] of cases) assert.equal(refusal(text, { limits }), `error ${problem}`, text);
});

test("a head of exactly its limits is taken", () => {
  const head = `${start}${host}X: y\r\n\r\n`;
  const limits = { headBytesMax: head.length, startLineBytesMax: start.length, headersMax: 2 };
  assert.equal(decodeRequests([Buffer.from(head)], { limits }).at(-1), "end");
  assert.equal(refusal(head, { limits: { ...limits, headBytesMax: head.length - 1 } }), "error 431 head-too-large");
  assert.equal(
    refusal(head, { limits: { ...limits, startLineBytesMax: start.length - 1 } }),
    "error 414 start-line-too-long",
  );
});

test("HTTP/1.0 is refused with 426 when it is not accepted", () => {
  assert.equal(refusal("GET / HTTP/1.0\r\n\r\n", { acceptHttp10: false }), "error 426 http10-refused");
});

const chunkedHead = `${start}${host}Transfer-Encoding: chunked\r\n\r\n`;

test("chunks with any other shape end the message with an error, at the same byte however it is cut", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["bad-chunk-size", "\r\nx"],
    ["bad-chunk-size", "5 \r\nhello\r\n"],
    ["bad-chunk-size", " 5\r\nhello\r\n"],
    ["bad-chunk-size", "0x5\r\nhello\r\n"],
    ["bad-chunk-size", "-1\r\nhello\r\n"],
    ["bad-chunk-size", "+5\r\nhello\r\n"],
    ["bad-chunk-size", "5\nhello\r\n"],
    ["bad-chunk-size", "5\rhello\r\n"],
    ["bad-chunk-size", "00000000000005\r\nhello\r\n"],
    ["bad-chunk-size", "ffffffffffffffff\r\n"],
    ["bad-chunk-extension", "5;\r\nhello\r\n"],
    ["bad-chunk-extension", "5;;a\r\nhello\r\n"],
    ["bad-chunk-extension", "5; a\r\nhello\r\n"],
    ["bad-chunk-extension", "5;a =b\r\nhello\r\n"],
    ["bad-chunk-extension", "5;a=\r\nhello\r\n"],
    ["bad-chunk-extension", "5;=b\r\nhello\r\n"],
    ["bad-chunk-extension", '5;a="b\r\nhello\r\n'],
    ["bad-chunk-extension", '5;a="b\\"\r\nhello\r\n'],
    ["bad-chunk-extension", '5;a="b"c\r\nhello\r\n'],
    ["bad-chunk-extension", '5;a="\x7f"\r\nhello\r\n'],
    ["bad-chunk-extension", "5;a\nhello\r\n"],
    ["bad-chunk-extension", "5;a\rb\r\nhello\r\n"],
    ["bad-chunk-extension", "5;a\0b\r\nhello\r\n"],
    ["chunk-extension-too-large", `5;${"a".repeat(16 * 1024)}\r\nhello\r\n`],
    ["chunk-extension-too-large", `5;${"a".repeat(17 * 1024)}`],
    ["chunk-extension-too-large", `5 ${"a".repeat(17 * 1024)}\r\nhello\r\n`],
    ["bad-trailer", "0\r\nContent-Length: 5\r\n\r\n"],
    ["bad-trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["bad-trailer", "0\r\nHost: b\r\n\r\n"],
    ["bad-header-name", "0\r\nX : y\r\n\r\n"],
    ["bare-lf", "0\r\n\n"],
    ["bare-cr", "0\r\n\rX\r\n"],
  ];
  for (const [problem, body] of cases) {
    const bytes = Buffer.from(chunkedHead + body, "latin1");
    const whole = decodeRequests([bytes]);
    assert.deepEqual(whole.slice(1), [`error 400 ${problem}`], JSON.stringify(body).slice(0, 60));
    if (bytes.length < 1000) {
      for (let cut = 1; cut < bytes.length; cut++) assert.deepEqual(decodeRequests(cutAt(bytes, [cut])), whole);
    }
  }
});

test("a chunk that goes on past its size is refused after its bytes", () => {
  for (const end of ["X\r\n", "\rX\n", "\rX", "\n", "\n\r\n"]) {
    const bytes = Buffer.from(`${chunkedHead}5\r\nhello${end}`);
    const expected = ["body hello", "error 400 bad-chunk-end"];
    assert.deepEqual(decodeRequests([bytes]).slice(1), expected, JSON.stringify(end));
    assert.deepEqual(decodeRequests(cutAt(bytes, [...bytes.keys()])).slice(1), expected, JSON.stringify(end));
  }
});

test("chunk extensions are bounded over the whole message", () => {
  const chunk = `1;${"a".repeat(1022)}\r\nx\r\n`;
  const lines = decodeRequests([Buffer.from(chunkedHead + chunk.repeat(16))]);
  assert.equal(lines.at(-1), "body xxxxxxxxxxxxxxxx");
  const over = decodeRequests([Buffer.from(chunkedHead + chunk.repeat(17))]);
  assert.equal(over.at(-1), "error 400 chunk-extension-too-large");
});

test("trailers have the limits of a head", () => {
  const many = `0\r\n${"X: y\r\n".repeat(101)}\r\n`;
  assert.equal(decodeRequests([Buffer.from(chunkedHead + many)]).at(-1), "error 431 too-many-headers");
  const large = `0\r\nX: ${"y".repeat(61_440)}\r\n\r\n`;
  assert.equal(decodeRequests([Buffer.from(chunkedHead + large)]).at(-1), "error 431 head-too-large");
});

test("an expectation that nobody knows is refused, in HTTP/1.0 it is not heard", () => {
  for (const value of ["", "200-ok", "100-continue, x", "100"]) {
    assert.equal(refusal(withFields(`Expect: ${value}\r\n`)), "error 417 unknown-expectation");
  }
  assert.equal(refusal(withFields("Expect: 100-continue\r\nExpect: x\r\n")), "error 417 unknown-expectation");
  assert.deepEqual(decodeRequests([Buffer.from(`GET / HTTP/1.0\r\n${host}Expect: x\r\n\r\n`)]), [
    "GET http a / 1.0 none close []",
    "end",
  ]);
});

test("Connection may not name what others decide by, nor what is no name", () => {
  for (const value of [": close", "keep alive", "close; x", '"close"', "\xe9"]) {
    assert.equal(refusal(withFields(`Connection: ${value}\r\n`)), "error 400 bad-connection");
  }
  for (const name of ["X-Forwarded-For", "x-forwarded-client-cert", "X-Envoy-Internal", "Authorization"]) {
    assert.equal(refusal(withFields(`Connection: close, ${name}\r\n`)), "error 400 bad-connection");
  }
});
