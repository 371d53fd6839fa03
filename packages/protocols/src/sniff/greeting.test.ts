import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DetectedGreeting, detectGreeting, greetingBytesMax } from "./greeting.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const ascii = (text: string): Buffer => Buffer.from(text, "latin1");

const cases: readonly (readonly [string, DetectedGreeting, Buffer])[] = [
  ["MySQL", "greeting", hex("4a 00 00 00 0a 38 2e 30 2e 33 36")],
  ["SMTP", "greeting", ascii("220 mail.example ESMTP\r\n")],
  ["FTP in lower case", "greeting", ascii("220 http ready\r\n")],
  ["NATS", "greeting", ascii('INFO {"server_id":"x"}\r\n')],
  ["SSH", "greeting", ascii("SSH-2.0-OpenSSH_9.6\r\n")],
  ["IMAP", "greeting", ascii("* OK IMAP4rev1\r\n")],
  ["Redis", "greeting", ascii("-DENIED Redis is running in protected mode\r\n")],
  ["one byte", "greeting", ascii("x")],
  ["HTTP by another name", "greeting", ascii("HTTP/3 is not this")],
  ["an HTTP/1 timeout", "http", ascii("HTTP/1.1 408 Request Timeout\r\n\r\n")],
  ["an empty SETTINGS frame", "http", hex("000000 04 00 00000000")],
  ["a SETTINGS frame of three settings", "http", hex("000012 04 00 00000000 0003 00000064")],
  ["a SETTINGS frame of a length that none has", "greeting", hex("000013 04 00 00000000")],
  ["a SETTINGS frame that acknowledges", "greeting", hex("000000 04 01 00000000")],
  ["a SETTINGS frame of a stream", "greeting", hex("000000 04 00 00000001")],
  ["another frame", "greeting", hex("000000 06 00 00000000")],
];

test("a server that greets is told from one that speaks HTTP", () => {
  for (const [name, expected, bytes] of cases) assert.equal(detectGreeting(bytes), expected, name);
});

test("a decision is never taken back, wherever the network cuts the greeting", () => {
  for (const [name, expected, bytes] of cases) {
    for (let length = 0; length < bytes.length; length++) {
      const early = detectGreeting(bytes.subarray(0, length));
      assert.ok(early === "need-more" || early === expected, `${name} cut at ${length}: ${early}`);
    }
  }
});

test("any bytes are decided within the bound", () => {
  const bytes = fc.array(fc.constantFrom(0, 4, 6, 18, 72, 84, 80, 47, 49, 46, 255), { maxLength: 20 });
  fc.assert(
    fc.property(bytes, fc.nat(20), (values, length) => {
      const whole = Buffer.from(values);
      const early = detectGreeting(whole.subarray(0, length));
      if (early === "need-more") assert.ok(Math.min(length, whole.length) < greetingBytesMax);
      else assert.equal(detectGreeting(whole), early);
    }),
  );
});
