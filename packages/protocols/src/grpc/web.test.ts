import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HeaderList } from "../http/headers.ts";
import { Base64Stream, encodeTrailersFrame, GrpcWebBodies, grpcWebContentType, grpcWebType } from "./web.ts";

test("content types of gRPC-Web are told from all others", () => {
  assert.deepEqual(grpcWebType("application/grpc-web"), { text: false, suffix: "" });
  assert.deepEqual(grpcWebType("application/grpc-web+proto"), { text: false, suffix: "+proto" });
  assert.deepEqual(grpcWebType("application/grpc-web-text"), { text: true, suffix: "" });
  assert.deepEqual(grpcWebType("application/grpc-web-text+json; charset=utf-8"), { text: true, suffix: "+json" });
  for (const other of [
    undefined,
    "",
    "application/grpc",
    "application/grpc-webby",
    "text/grpc-web",
    "application/json",
  ]) {
    assert.equal(grpcWebType(other), undefined, String(other));
  }
  assert.equal(grpcWebContentType(true), "application/grpc-web-text+proto");
});

test("base64 in any cut, of one part or of several padded ones, is the bytes it was", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.array(fc.nat(60)), (parts, cuts) => {
      const text = Buffer.from(parts.map((part) => Buffer.from(part).toString("base64")).join(""), "latin1");
      const stream = new Base64Stream();
      const got: Buffer[] = [];
      let at = 0;
      for (const cut of [...cuts, text.length]) {
        const bytes = stream.receive(text.subarray(at, at + cut));
        assert.ok(bytes !== undefined);
        got.push(Buffer.from(bytes));
        at += cut;
      }
      assert.ok(stream.end());
      assert.deepEqual(Buffer.concat(got), Buffer.concat(parts));
    }),
  );
});

for (const bad of ["????", "ab=c", "a===", "====", "ab c", "abc\n", "YWJj\0AAA", "YWJ-"]) {
  test(`${JSON.stringify(bad)} is refused`, () => {
    assert.equal(new Base64Stream().receive(Buffer.from(bad)), undefined);
  });
}

test("base64 that ends in the middle is told", () => {
  const stream = new Base64Stream();
  assert.equal(stream.receive(Buffer.from("YWJjZ"))?.toString(), "abc");
  assert.equal(stream.end(), false);
});

test("trailers become the last frame of the body, in text where text was asked for", () => {
  const trailers = new HeaderList();
  trailers.add("grpc-status", "5");
  trailers.add("grpc-message", "gone");
  const text = "grpc-status:5\r\ngrpc-message:gone\r\n";
  const frame = Buffer.concat([Buffer.from([0x80, 0, 0, 0, text.length]), Buffer.from(text)]);
  assert.deepEqual(encodeTrailersFrame(trailers), frame);
  const binary = new GrpcWebBodies({ textRequest: false, textAnswer: false });
  assert.deepEqual(binary.trailers(trailers), frame);
  const asText = new GrpcWebBodies({ textRequest: true, textAnswer: true });
  assert.equal(asText.trailers(trailers)?.toString("latin1"), frame.toString("base64"));
  assert.equal(asText.response(Buffer.from("abc")).toString("latin1"), "YWJj");
  assert.equal(asText.request(Buffer.from("YWJj"))?.toString(), "abc");
});

test("an answer that is no gRPC passes as it is", () => {
  const bodies = new GrpcWebBodies({ textRequest: true, textAnswer: true });
  bodies.answersGrpc = false;
  assert.equal(bodies.response(Buffer.from("no")).toString(), "no");
  assert.equal(bodies.trailers(new HeaderList()), undefined);
});
