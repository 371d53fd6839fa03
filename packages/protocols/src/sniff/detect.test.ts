import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DetectedProtocol, detectBytesMax, detectProtocol } from "./detect.ts";

const cases: readonly (readonly [DetectedProtocol, string])[] = [
  ["tls", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"],
  ["http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00"],
  ["http1", "GET / HTTP/1.1\r\n"],
  ["http1", "PROPFIND /x HTTP/1.0\r\n"],
  ["http1", "M-SEARCH * HTTP/1.1\r\n"],
  ["http1", "CONNECT a:443 HTTP/1.1\r\n"],
  ["http1", "GET http://a/ HTTP/1.1\r\n"],
  ["http1", `GET /${"x".repeat(200)}`],
  ["other", "\x16\x03\x01\x00\xa5\x02\x00"],
  ["other", "\x16\x02"],
  ["other", "\x16\x03\x09"],
  ["other", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"],
  ["other", "PING\r\n"],
  ["other", "*1\r\n$4\r\nPING\r\n"],
  ["other", "EHLO a.b\r\n"],
  ["other", "CONNECT {}\r\n"],
  ["other", "SSH-2.0-OpenSSH_9\r\n"],
  ["other", "get / http/1.1\r\n"],
  ["other", "GET / HTTP/3"],
  ["other", "GET /\r\n"],
  ["other", "\x00\x00\x00\x00"],
  ["other", "A".repeat(40)],
];

test("protocols are told by their first bytes", () => {
  for (const [expected, text] of cases) {
    assert.equal(detectProtocol(Buffer.from(text, "latin1")), expected, JSON.stringify(text.slice(0, 30)));
  }
});

test("a decision is never taken back: every beginning needs more or says the same", () => {
  for (const [expected, text] of cases) {
    const bytes = Buffer.from(text, "latin1");
    for (let length = 0; length < bytes.length; length++) {
      const early = detectProtocol(bytes.subarray(0, length));
      assert.ok(early === "need-more" || early === expected, `${JSON.stringify(text.slice(0, length))}: ${early}`);
    }
  }
});

test("any bytes are decided within the bound, and more of them change nothing", () => {
  const words = fc.constantFrom(
    "GET ",
    "PRI * HTTP/2.0\r\n",
    "/",
    "x",
    " HTTP/1.1",
    "\r\n",
    "\x16\x03\x01",
    "A",
    "\x00",
  );
  const bytes = fc.array(words, { maxLength: 80 }).map((parts) => Buffer.from(parts.join(""), "latin1"));
  fc.assert(
    fc.property(bytes, fc.nat(200), (whole, length) => {
      const early = detectProtocol(whole.subarray(0, length));
      if (early !== "need-more") assert.equal(detectProtocol(whole), early);
      else assert.ok(Math.min(length, whole.length) < detectBytesMax);
    }),
  );
});
