import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HeaderList } from "../http/headers.ts";
import { encodeGrpcFrame, GrpcFrameDecoder, GrpcFrameError } from "./frames.ts";
import { fillTrailersOnly, isGrpcContentType } from "./local-reply.ts";
import { GrpcMessageCounter } from "./message-counter.ts";
import { decodeGrpcMessage, encodeGrpcMessage } from "./message-text.ts";
import { grpcStatusByName, grpcStatusName, grpcStatusOfHttp, httpStatusOfGrpc, parseGrpcStatus } from "./status.ts";
import { formatGrpcTimeout, parseGrpcTimeout } from "./timeout.ts";

const messages = [Buffer.from("hello"), Buffer.alloc(0), Buffer.alloc(300, "x"), Buffer.from("end")];
const stream = Buffer.concat(messages.map((message, i) => encodeGrpcFrame(message, i === 2)));

test("frames decode and count the same wherever the network cuts the bytes", () => {
  for (let cut = 0; cut <= stream.length; cut++) {
    const decoder = new GrpcFrameDecoder(1000);
    const counter = new GrpcMessageCounter();
    const chunks = [stream.subarray(0, cut), stream.subarray(cut)];
    const got = chunks.flatMap((chunk) => decoder.receive(chunk));
    for (const chunk of chunks) counter.receive(chunk);
    decoder.end();
    assert.deepEqual(
      got.map(({ bytes }) => bytes.toString()),
      messages.map(String),
      `cut at byte ${cut}`,
    );
    assert.deepEqual(
      got.map(({ compressed }) => compressed),
      [false, false, true, false],
    );
    assert.equal(counter.count, 4);
  }
});

test("any messages in any pieces come out as they went in", () => {
  const sizes = fc.array(fc.oneof(fc.nat(20), fc.nat(100_000)), { maxLength: 6 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 70_000 }), (lengths, piece) => {
      const sent = lengths.map((length, i) => Buffer.alloc(length, i + 1));
      const bytes = Buffer.concat(sent.map((message) => encodeGrpcFrame(message)));
      const decoder = new GrpcFrameDecoder(100_000);
      const counter = new GrpcMessageCounter();
      const got: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += piece) {
        const chunk = Buffer.from(bytes.subarray(at, at + piece));
        counter.receive(chunk);
        for (const message of decoder.receive(chunk)) got.push(message.bytes);
        chunk.fill(0xee);
      }
      decoder.end();
      assert.equal(counter.count, sent.length);
      assert.deepEqual(got, sent);
    }),
    { numRuns: 50 },
  );
});

test("a message above the limit is refused by its prefix, before its bytes", () => {
  const decoder = new GrpcFrameDecoder(10);
  assert.throws(() => decoder.receive(Buffer.from([0, 0, 0, 0, 11])), { name: "GrpcFrameError", status: 8 });
  assert.equal(new GrpcFrameDecoder(10).receive(encodeGrpcFrame(Buffer.alloc(10))).length, 1);
});

test("an unknown flag and an end inside a message are refused", () => {
  assert.throws(() => new GrpcFrameDecoder(10).receive(Buffer.from([2, 0, 0, 0, 0])), GrpcFrameError);
  for (let cut = 1; cut < 8; cut++) {
    const decoder = new GrpcFrameDecoder(10);
    decoder.receive(encodeGrpcFrame(Buffer.from("abc")).subarray(0, cut));
    assert.throws(() => decoder.end(), { status: 13 }, `cut at byte ${cut}`);
  }
});

test("a message of 4 GiB is counted without being believed", () => {
  const counter = new GrpcMessageCounter();
  counter.receive(Buffer.from("00ffffffff", "hex"));
  counter.receive(Buffer.alloc(100_000));
  assert.equal(counter.count, 1);
});

const timeouts: readonly (readonly [string, number | undefined])[] = [
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["3S", 3000],
  ["250m", 250],
  ["1500u", 2],
  ["1n", 1],
  ["0m", 0],
  ["99999999H", 99_999_999 * 3_600_000],
  ["", undefined],
  ["S", undefined],
  ["5", undefined],
  ["5s", undefined],
  ["-5S", undefined],
  ["5.5S", undefined],
  [" 5S", undefined],
  ["5S ", undefined],
  ["123456789S", undefined],
  ["5SS", undefined],
];
for (const [value, ms] of timeouts) {
  test(`grpc-timeout "${value}" is ${ms === undefined ? "refused" : `${ms} ms`}`, () => {
    assert.equal(parseGrpcTimeout(value), ms);
  });
}

test("a timeout that is passed on never grows and fits eight digits", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e15, noNaN: true }), (ms) => {
      const value = formatGrpcTimeout(ms);
      const parsed = parseGrpcTimeout(value)!;
      assert.ok(parsed <= ms && (ms > 3e14 || parsed >= ms * 0.96 - 1), `${ms} became ${value}`);
    }),
  );
  assert.equal(formatGrpcTimeout(-5), "0m");
});

test("status names, numbers and HTTP statuses are those of gRPC", () => {
  assert.equal(grpcStatusName(14), "UNAVAILABLE");
  assert.equal(grpcStatusName(99), "99");
  assert.deepEqual(["unavailable", "resource-exhausted", "CANCELLED", "nope"].map(grpcStatusByName), [
    14,
    8,
    1,
    undefined,
  ]);
  const mapped = [200, 400, 401, 403, 404, 429, 500, 502, 503, 504, 418].map(grpcStatusOfHttp);
  assert.deepEqual(mapped, [0, 13, 16, 7, 12, 14, 2, 14, 14, 14, 2]);
  assert.deepEqual([0, 4, 7, 14, 77].map(httpStatusOfGrpc), [200, 504, 403, 503, 500]);
  assert.deepEqual(["0", "16", "", "1x", "-1", "1234", "07"].map(parseGrpcStatus), [0, 16, -1, -1, -1, -1, 7]);
});

test("grpc-message carries any text in printable characters, and decoding never fails", () => {
  assert.equal(encodeGrpcMessage("no healthy upstream"), "no healthy upstream");
  assert.equal(encodeGrpcMessage("100% ☺\r\n"), "100%25 %E2%98%BA%0D%0A");
  assert.equal(encodeGrpcMessage(" a "), "%20a%20");
  assert.equal(decodeGrpcMessage("50%, %zz %e2%98%ba %"), "50%, %zz ☺ %");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const encoded = encodeGrpcMessage(text);
      assert.match(encoded, /^[\x20-\x7e]*$/);
      assert.equal(decodeGrpcMessage(encoded), text);
    }),
  );
});

test("a local reply to gRPC is trailers only", () => {
  const head = { status: 503, headers: new HeaderList() };
  head.headers.add("content-type", "text/plain");
  fillTrailersOnly(head, grpcStatusOfHttp(503), "upstream\nreset");
  assert.equal(head.status, 200);
  const fields = ["content-type", "grpc-status", "grpc-message"].map((name) => head.headers.get(name));
  assert.deepEqual(fields, ["application/grpc", "14", "upstream%0Areset"]);
  assert.equal(head.headers.size, 3);
});

test("only gRPC's own content types are gRPC", () => {
  for (const yes of ["application/grpc", "application/grpc+proto", "application/grpc;x=y"]) {
    assert.equal(isGrpcContentType(yes), true, yes);
  }
  for (const no of [undefined, "", "application/json", "application/grpc-web", "application/grpcx"]) {
    assert.equal(isGrpcContentType(no), false, String(no));
  }
});
