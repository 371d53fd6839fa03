import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeRequests, feedWiped, Recorder } from "./recorder.ts";
import { RequestDecoder, type RequestDecoderOptions } from "./request-decoder.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const decode = (text: string, options: RequestDecoderOptions & { finish?: boolean } = {}): string[] =>
  decodeRequests([bytes(text)], options);

const start = "GET / HTTP/1.1\r\n";
const host = "Host: a\r\n";

test("a request is told as head and end", () => {
  assert.deepEqual(decode("GET /x?y=1 HTTP/1.1\r\nHost: a.b:80\r\nAccept: */*\r\nX-Own:  v w \t\r\n\r\n"), [
    "GET http a.b:80 /x?y=1 1.1 none keep [accept: */*|x-own: v w]",
    "end",
  ]);
});

test("a request with a length is told with its body", () => {
  assert.deepEqual(decode(`POST / HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`), [
    "POST http a / 1.1 length 5 keep [content-length: 5]",
    "body hello",
    "end",
  ]);
});

test("a chunked request is told without its framing, extensions dropped, trailers kept", () => {
  const text =
    `PUT / HTTP/1.1\r\n${host}Transfer-Encoding: Chunked\r\n\r\n` +
    `5;a=b;c="d"\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nX-Sum: 1\r\n\r\n`;
  assert.deepEqual(decode(text), [
    "PUT http a / 1.1 chunked keep []",
    "body hello, world!!!",
    "trailers [x-sum: 1]",
    "end",
  ]);
});

test("pipelined requests come one after the other", () => {
  const text = `${start}${host}\r\nPOST /2 HTTP/1.1\r\n${host}Content-Length: 2\r\n\r\nab${start}${host}\r\n`;
  assert.deepEqual(decode(text), [
    "GET http a / 1.1 none keep []",
    "end",
    "POST http a /2 1.1 length 2 keep [content-length: 2]",
    "body ab",
    "end",
    "GET http a / 1.1 none keep []",
    "end",
  ]);
});

test("one empty line before a request is ignored, two are not", () => {
  assert.deepEqual(decode(`\r\n${start}${host}\r\n`), ["GET http a / 1.1 none keep []", "end"]);
  assert.deepEqual(decode(`\r\n\r\n${start}${host}\r\n`), ["error 400 empty-lines"]);
});

test("keep-alive follows the version and Connection", () => {
  const cases: readonly (readonly [string, string])[] = [
    [`GET / HTTP/1.1\r\n${host}\r\n`, "1.1 none keep"],
    [`GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\n`, "1.1 none close"],
    [`GET / HTTP/1.1\r\n${host}Connection: Keep-Alive, CLOSE\r\n\r\n`, "1.1 none close"],
    [`GET / HTTP/1.0\r\n${host}\r\n`, "1.0 none close"],
    [`GET / HTTP/1.0\r\n${host}Connection: keep-alive\r\n\r\n`, "1.0 none keep"],
    [`GET / HTTP/1.0\r\n${host}Connection: keep-alive\r\nConnection: close\r\n\r\n`, "1.0 none close"],
  ];
  for (const [text, expected] of cases) assert.ok(decode(text)[0]?.includes(expected), text);
});

test("bytes after a request that closes the connection are ignored", () => {
  const text = `GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\nGET /smuggled HTTP/1.1\r\n${host}\r\n`;
  assert.deepEqual(decode(text, { finish: true }), ["GET http a / 1.1 none close []", "end"]);
});

test("connection-specific fields and those Connection names are not in the list", () => {
  const text =
    `${start}${host}Keep-Alive: timeout=5\r\nProxy-Connection: close\r\n` +
    "Connection: X-Drop, keep-alive\r\nX-Drop: 1\r\n" +
    "HTTP2-Settings: AAMAAABkAAQAAP__\r\nTE: trailers, gzip;q=0.5\r\nUpgrade: h2c\r\nX-Keep: 2\r\n\r\n";
  assert.deepEqual(decode(text), ["GET http a / 1.1 none keep [te: trailers|x-keep: 2]", "end"]);
});

test("Connection cannot take away what frames a message", () => {
  const fields = "Connection: content-length, host, te\r\nTE: trailers\r\nContent-Length: 1\r\n";
  const text = `POST / HTTP/1.1\r\n${host}${fields}\r\nx`;
  assert.deepEqual(decode(text), ["POST http a / 1.1 length 1 keep [te: trailers|content-length: 1]", "body x", "end"]);
});

test("a client that waits for 100 Continue says so, unless it speaks HTTP/1.0", () => {
  const head = (version: string): string =>
    `POST / HTTP/${version}\r\n${host}Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n`;
  assert.match(decode(head("1.1"))[0] ?? "", / 100-continue /);
  assert.doesNotMatch(decode(head("1.0"))[0] ?? "", /close 100-continue/);
});

test("the authority of an absolute-form target replaces Host", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["GET http://b:81/x HTTP/1.1", "GET http b:81 /x"],
    ["GET HTTPS://b HTTP/1.1", "GET https b /"],
    ["GET http://b?q HTTP/1.1", "GET http b /?q"],
    ["OPTIONS http://b HTTP/1.1", "OPTIONS http b *"],
    ["OPTIONS * HTTP/1.1", "OPTIONS http a *"],
    ["GET http://[::1]:80/ HTTP/1.1", "GET http [::1]:80 /"],
  ];
  for (const [line, expected] of cases)
    assert.ok(decode(`${line}\r\n${host}\r\n`)[0]?.startsWith(`${expected} 1.1`), line);
});

test("a name that begins as the one in its place did before is itself", () => {
  const first = `${start}Accept: 1\r\nHost: a\r\nX-Request-Id: 2\r\n\r\n`;
  const second = `${start}Accept-Encoding: 3\r\nHost: a\r\nX-Request-Identity: 4\r\n\r\n`;
  const third = `${start}ACCEPT: 5\r\nhost: a\r\nX-REQUEST-ID: 6\r\n\r\n`;
  assert.deepEqual(
    decode(first + second + third).filter((line) => line !== "end"),
    [
      "GET http a / 1.1 none keep [accept: 1|x-request-id: 2]",
      "GET http a / 1.1 none keep [accept-encoding: 3|x-request-identity: 4]",
      "GET http a / 1.1 none keep [accept: 5|x-request-id: 6]",
    ],
  );
  assert.deepEqual(decode(`${first}${start}Accept : 1\r\nHost: a\r\n\r\n`).at(-1), "error 400 bad-header-name");
});

test("names of objects' own members are ordinary names", () => {
  const text = `${start}${host}__proto__: 1\r\nconstructor: 2\r\ntoString: 3\r\nhasOwnProperty: 4\r\n\r\n`;
  assert.deepEqual(decode(text), [
    "GET http a / 1.1 none keep [__proto__: 1|constructor: 2|tostring: 3|hasownproperty: 4]",
    "end",
  ]);
});

test("names with an underscore are accepted, dropped or refused as asked", () => {
  const text = `${start}${host}X_Mine: 1\r\nA: 2\r\n\r\n`;
  assert.match(decode(text)[0] ?? "", /x_mine: 1\|a: 2/);
  assert.match(decode(text, { underscoreNames: "drop" })[0] ?? "", /\[a: 2\]/);
  assert.deepEqual(decode(text, { underscoreNames: "refuse" }), ["error 400 underscore-header"]);
});

test("names that only their underscores keep from being a field the proxy vouches for are dropped", () => {
  const twins = [
    "X_Forwarded-For",
    "x-envoy_internal",
    "content_length",
    "Transfer_Encoding",
    "X-Real_IP",
    "keep_alive",
  ];
  const fields = twins.map((name) => `${name}: 1\r\n`).join("");
  const chunked = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n${fields}\r\n0\r\n${fields}A: 1\r\n\r\n`;
  assert.deepEqual(decode(chunked), ["POST http a / 1.1 chunked keep []", "trailers [a: 1]", "end"]);
  const refused = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\na_b: 1\r\n\r\n`;
  assert.equal(decode(refused, { underscoreNames: "refuse" }).at(-1), "error 400 bad-trailer");
  assert.equal(decode(refused, { underscoreNames: "drop" }).at(-1), "end");
});

test("a length goes on without leading zeros", () => {
  assert.match(
    decode(`POST / HTTP/1.1\r\n${host}Content-Length: 0010\r\n\r\n`)[0] ?? "",
    /length 10 .*content-length: 10\]/,
  );
  assert.match(decode(`POST / HTTP/1.1\r\n${host}Content-Length: 000\r\n\r\n`)[0] ?? "", /none .*content-length: 0\]/);
});

test("bytes above 0x7f stay in values as they are", () => {
  assert.match(decode(`${start}${host}X: caf\xe9\r\n\r\n`)[0] ?? "", /x: caf\xe9/);
});

test("an accepted upgrade holds the bytes until it is decided, then passes them raw", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder);
  decoder.receive(bytes(`${start}${host}Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nearly`));
  assert.deepEqual(recorder.lines, ["GET http a / =>websocket 1.1 tunnel keep [upgrade: WebSocket]"]);
  decoder.receive(bytes("more"));
  decoder.acceptUpgrade();
  decoder.receive(bytes("GET / HTTP/1.1\r\n"));
  decoder.finish();
  assert.deepEqual(recorder.lines.slice(1), ["body earlymoreGET / HTTP/1.1\r\n", "end"]);
  assert.equal(decoder.ended, true);
});

test("a declined upgrade goes on with the next request", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder);
  decoder.receive(bytes(`${start}${host}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n${start}${host}\r\n`));
  decoder.declineUpgrade();
  assert.deepEqual(recorder.lines.slice(1), ["end", "GET http a / 1.1 none keep []", "end"]);
});

test("an upgrade is ignored without Connection, with a body, in HTTP/1.0, or to a protocol not accepted", () => {
  const upgrade = "Upgrade: websocket\r\n";
  const cases = [
    `${start}${host}${upgrade}\r\n`,
    `${start}${host}Connection: upgrade\r\nContent-Length: 1\r\n${upgrade}\r\nx`,
    `GET / HTTP/1.0\r\n${host}Connection: upgrade\r\n${upgrade}\r\n`,
    `${start}${host}Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n`,
  ];
  for (const text of cases) {
    const lines = decode(text);
    assert.equal(lines.at(-1), "end", text);
    assert.doesNotMatch(lines[0] ?? "", /tunnel|upgrade/, text);
  }
});

test("any protocol but HTTP/2 is heard where the server refuses what it does not take", () => {
  const asked = (upgrade: string): string =>
    decode(`${start}${host}Connection: upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`, { upgrades: "any" })[0] ?? "";
  assert.match(asked("Foo"), /=>foo 1\.1 tunnel/);
  assert.match(asked("h2c, bar/2"), /=>bar\/2 1\.1 tunnel/);
  for (const value of ["h2c", "H2C", "HTTP/2.0", "", ","]) assert.doesNotMatch(asked(value), /tunnel|upgrade/, value);
});

test("what is kept back is counted, and handed on without another copy for each message", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder, { limits: { heldBytesMax: 1 << 20 } });
  recorder.hook = (line) => line === "end" && decoder.pause();
  const one = bytes(`${start}${host}\r\n`);
  decoder.receive(Buffer.concat(Array.from({ length: 5000 }, () => one)));
  let left = 4999;
  for (; decoder.heldBytes > 0; left--) {
    assert.equal(decoder.heldBytes, left * one.length);
    decoder.resume();
  }
  assert.equal(left, 0);
  assert.equal(recorder.lines.length, 10_000);
});

test("CONNECT takes its authority from the target and ends the connection when it is declined", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder);
  decoder.receive(bytes(`CONNECT b:443 HTTP/1.1\r\n${host}\r\nGET /smuggled HTTP/1.1\r\n${host}\r\n`));
  decoder.declineUpgrade();
  assert.deepEqual(recorder.lines, ["CONNECT http b:443  1.1 tunnel close []", "end"]);
  assert.equal(decoder.ended, true);
});

test("a decision within onHead takes effect for the bytes behind the head", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder);
  recorder.hook = (line) => line.startsWith("CONNECT") && decoder.acceptUpgrade();
  decoder.receive(bytes(`CONNECT b:443 HTTP/1.1\r\n${host}\r\nraw`));
  recorder.flushBody();
  assert.deepEqual(recorder.lines.slice(1), ["body raw"]);
});

test("a paused decoder stops between messages and goes on where it was", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder);
  recorder.hook = (line) => line === "end" && decoder.pause();
  feedWiped((chunk) => decoder.receive(chunk), bytes(`${start}${host}\r\n`.repeat(3)));
  feedWiped((chunk) => decoder.receive(chunk), bytes("GET /last HTTP/1.1\r\nHo"));
  assert.equal(recorder.lines.length, 2);
  decoder.resume();
  assert.equal(recorder.lines.length, 4);
  decoder.resume();
  decoder.resume();
  decoder.receive(bytes("st: a\r\n\r\n"));
  assert.equal(recorder.lines.length, 8);
  assert.match(recorder.lines[6] ?? "", /^GET http a \/last /);
});

test("the peer's end while paused is acted on after what it sent", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder);
  recorder.hook = (line) => line === "end" && decoder.pause();
  decoder.receive(bytes(`${start}${host}\r\n${start}${host}\r\nGET /cut`));
  decoder.finish();
  assert.equal(recorder.lines.length, 2);
  decoder.resume();
  decoder.resume();
  assert.deepEqual(recorder.lines.slice(3), ["end", "error 400 closed-mid-message"]);
});

test("a paused decoder keeps no more than its bound", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder, { limits: { heldBytesMax: 100 } });
  decoder.pause();
  decoder.receive(Buffer.alloc(80, 65));
  decoder.receive(Buffer.alloc(20, 65));
  assert.deepEqual(recorder.lines, []);
  decoder.receive(Buffer.alloc(1, 65));
  assert.deepEqual(recorder.lines, ["error 400 held-bytes-exceeded"]);
});

test("a stopped decoder says nothing more, also when stopped by its own sink", () => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder);
  recorder.hook = () => decoder.stop();
  decoder.receive(bytes(`POST / HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\nx${start}${host}\r\n`));
  decoder.finish();
  assert.equal(recorder.lines.length, 1);
});

test("the peer's end between messages is no error, within one it is", () => {
  assert.deepEqual(decode("", { finish: true }), []);
  assert.deepEqual(decode(`${start}${host}\r\n`, { finish: true }).length, 2);
  const partial = ["G", `${start}Ho`, `POST / HTTP/1.1\r\n${host}Content-Length: 2\r\n\r\nx`];
  for (const text of partial) assert.equal(decode(text, { finish: true }).at(-1), "error 400 closed-mid-message");
});
