import assert from "node:assert/strict";
import { test } from "node:test";
import { cutAt, decodeResponses, Recorder, type ResponseCase } from "./recorder.ts";
import { ResponseDecoder } from "./response-decoder.ts";

const decode = (text: string, options: ResponseCase = {}): string[] => {
  const bytes = Buffer.from(text, "latin1");
  const whole = decodeResponses([bytes], options);
  assert.deepEqual(decodeResponses(cutAt(bytes, [...bytes.keys()].slice(1)), options), whole, JSON.stringify(text));
  return whole;
};

test("a body is delimited by length, chunks or close", () => {
  assert.deepEqual(decode("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), [
    "200 1.1 length 2 keep [content-length: 2]",
    "body hi",
    "end",
  ]);
  assert.deepEqual(decode("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n"), [
    "200 1.1 chunked keep []",
    "body hi",
    "trailers [x-sum: 1]",
    "end",
  ]);
  const close = "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhi";
  assert.deepEqual(decode(close), ["200 1.1 close close [server: x]", "body hi"]);
  assert.deepEqual(decode(close, { finish: true }), ["200 1.1 close close [server: x]", "body hi", "end"]);
});

test("responses to HEAD, 204 and 304 have no body, whatever they announce", () => {
  const two = (first: string): string => `${first}\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`;
  const cases: readonly (readonly [string, string, string])[] = [
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9", "200 1.1 none keep [content-length: 9]"],
    ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "200 1.1 none keep []"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9", "304 1.1 none keep [content-length: 9]"],
    ["GET", "HTTP/1.1 204 No Content\r\nX: y", "204 1.1 none keep [x: y]"],
  ];
  for (const [method, first, expected] of cases) {
    const lines = decode(two(first), { methods: [method, "GET"] });
    assert.deepEqual(lines.slice(0, 2), [expected, "end"]);
    assert.deepEqual(lines.slice(2), ["200 1.1 none keep [content-length: 0]", "end"], first);
  }
});

test("a 204 that announces a body ends the connection", () => {
  for (const field of ["Content-Length: 3", "Transfer-Encoding: chunked"]) {
    assert.equal(decode(`HTTP/1.1 204 No Content\r\n${field}\r\n\r\nabc`)[0], "204 1.1 none close []");
  }
});

test("interim responses come before the final one, each by itself", () => {
  const text =
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  assert.deepEqual(decode(text), [
    "interim 100 []",
    "interim 103 [link: </a>]",
    "200 1.1 none keep [content-length: 0]",
    "end",
  ]);
});

test("interim responses without end are refused", () => {
  const lines = decode("HTTP/1.1 100 Continue\r\n\r\n".repeat(17));
  assert.equal(lines.length, 17);
  assert.equal(lines[16], "error 502 too-many-interim");
});

test("a switch is a tunnel only when it was asked for", () => {
  const text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw\r\n";
  assert.deepEqual(decode(text, { methods: ["GET+upgrade"], finish: true }), [
    "101 1.1 tunnel close [upgrade: websocket]",
    "body raw\r\n",
    "end",
  ]);
  assert.deepEqual(decode(text), ["error 502 unexpected-upgrade"]);
  assert.deepEqual(decode("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nraw", { methods: ["CONNECT"] }), [
    "200 1.1 tunnel close []",
    "body raw",
  ]);
  assert.deepEqual(decode("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", { methods: ["CONNECT"] }), [
    "403 1.1 length 2 keep [content-length: 2]",
    "body no",
    "end",
  ]);
});

test("keep-alive follows the version and Connection", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "close"],
    ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "close"],
    ["HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "keep"],
  ];
  for (const [text, expected] of cases) assert.match(decode(text)[0] ?? "", new RegExp(` none ${expected} `));
});

test("a reason phrase may be empty, missing or odd", () => {
  for (const line of ["HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.1 200 \xe9t\xe9 (ok)\t!"]) {
    assert.equal(decode(`${line}\r\nContent-Length: 0\r\n\r\n`).at(-1), "end", line);
  }
});

test("status lines with any other shape are refused", () => {
  const lines = [
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 OK",
    "HTTP/1.1 2x0 OK",
    "HTTP/1.1  200 OK",
    "HTTP/1.1\t200 OK",
    "HTTP/1.2 200 OK",
    "HTTP/2 200 OK",
    "HTTP/1.1 200\tOK",
    "HTTP/1.1 200 O\0K",
    "HTTP/1.1 200 O\rK",
    "ICY 200 OK",
    "http/1.1 200 OK",
    "",
  ];
  for (const line of lines) assert.match(decode(`${line}\r\n\r\n\r\n`).join(), /^error 502 /, JSON.stringify(line));
});

test("responses with two framings are refused", () => {
  const cases = [
    "Content-Length: 1\r\nTransfer-Encoding: chunked",
    "Content-Length: 1\r\nContent-Length: 1",
    "Content-Length: 1, 1",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding : chunked",
    "Content-Length: -1",
  ];
  for (const fields of cases)
    assert.match(decode(`HTTP/1.1 200 OK\r\n${fields}\r\n\r\n`).join(), /^error 502 /, fields);
});

test("bytes that answer no request are refused", () => {
  const text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  assert.equal(decode(text + text).at(-1), "error 502 unexpected-response");
  assert.deepEqual(decode("x", { methods: [] }), ["error 502 unexpected-response"]);
  assert.deepEqual(decode("\r\n", { methods: [] }), ["error 502 unexpected-response"]);
});

test("the server's end in the middle of a response is an error, never a shorter body", () => {
  const cases = [
    "HTTP/1.1 2",
    "HTTP/1.1 200 OK\r\nX: y\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
  ];
  for (const text of cases) assert.equal(decode(text, { finish: true }).at(-1), "error 502 closed-mid-message", text);
});

test("requests waiting for responses are bounded", () => {
  const decoder = new ResponseDecoder(new Recorder(), { limits: { expectedMax: 2 } });
  assert.deepEqual([decoder.expect("GET"), decoder.expect("GET"), decoder.expect("GET")], [true, true, false]);
  assert.equal(decoder.expected, 2);
});
