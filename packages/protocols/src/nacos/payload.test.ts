import assert from "node:assert/strict";
import { test } from "node:test";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { decodePayload, encodePayload, type NacosPayload, payloadHeadersMax, payloadTypeCharsMax } from "./payload.ts";

const text = fc.string({ unit: "grapheme", maxLength: 20 });
const payload: fc.Arbitrary<NacosPayload> = fc.record({
  type: fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
  clientIp: text,
  headers: fc.array(fc.tuple(text, text), { maxLength: payloadHeadersMax }).map((entries) => new Map(entries)),
  body: fc.uint8Array({ maxLength: 100 }),
});
const plain = ({ body, ...rest }: NacosPayload): unknown => ({ ...rest, body: [...body] });

test("payloads are read as they were written", () => {
  fc.assert(fc.property(payload, (one) => assert.deepEqual(plain(decodePayload(encodePayload(one))), plain(one))));
});

test("a payload has the bytes that Nacos' own clients send", () => {
  const body = Buffer.from("{}");
  const bytes = encodePayload({ type: "A", clientIp: "1", headers: new Map([["k", "v"]]), body });
  assert.equal(Buffer.from(bytes).toString("hex"), "120e1a01413a060a016b120176420131" + "1a0412027b7d");
});

test("a payload that was cut anywhere, and any other bytes, are read or refused, never worse", () => {
  const read = (from: Uint8Array): void => {
    try {
      decodePayload(from);
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  };
  fc.assert(
    fc.property(payload, (one) => {
      const bytes = encodePayload(one);
      for (let at = 0; at < bytes.length; at++) read(bytes.subarray(0, at));
    }),
    { numRuns: 30 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), read));
});

test("fields that are unknown, or of another wire type, are passed over", () => {
  const metadata = new BinaryWriter().uint32(0o32).string("T").uint32(0o70).int32(5).uint32(0o12).string("x").finish();
  const bytes = new BinaryWriter()
    .uint32(0o22)
    .bytes(metadata)
    .uint32(0o30)
    .int32(7)
    .uint32(0o172)
    .string("y")
    .finish();
  assert.deepEqual(plain(decodePayload(bytes)), { type: "T", clientIp: "", headers: new Map(), body: [] });
});

test("a payload without a type, with too long a one, or with too many headers is refused", () => {
  const none = { clientIp: "", headers: new Map<string, string>(), body: new Uint8Array(0) };
  assert.throws(() => decodePayload(new Uint8Array(0)), /names no type/);
  assert.throws(() => decodePayload(encodePayload({ ...none, type: "" })), /names no type/);
  assert.throws(
    () => decodePayload(encodePayload({ ...none, type: "x".repeat(payloadTypeCharsMax + 1) })),
    /a type of/,
  );
  const headers = new Map(Array.from({ length: payloadHeadersMax + 1 }, (_, at) => [`h${at}`, ""]));
  assert.throws(() => decodePayload(encodePayload({ ...none, type: "T", headers })), /more than 64 headers/);
});
