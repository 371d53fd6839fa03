import assert from "node:assert/strict";
import { isIPv6 as nodeIsIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { isIPv4, isIPv6, parseIPv4, parseIPv6 } from "./ip.ts";

test("IPv4 is four octets without leading zeros", () => {
  for (const text of ["0.0.0.0", "255.255.255.255", "10.1.2.3"]) assert.ok(isIPv4(text), text);
  for (const text of ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "a.b.c.d"])
    assert.ok(!isIPv4(text), text);
  assert.deepEqual(parseIPv4("10.1.2.3"), Uint8Array.of(10, 1, 2, 3));
});

test("IPv6 is read in all its forms", () => {
  assert.deepEqual(parseIPv6("::1")?.at(-1), 1);
  assert.deepEqual([...(parseIPv6("2001:db8::a:b") ?? [])].slice(0, 4), [0x20, 1, 0x0d, 0xb8]);
  assert.deepEqual([...(parseIPv6("::ffff:1.2.3.4") ?? [])].slice(-4), [1, 2, 3, 4]);
});

test("IPv6 agrees with the platform on generated and damaged addresses", () => {
  const damaged = fc
    .tuple(fc.ipV6(), fc.nat(40), fc.constantFrom("", ":", "g", ".", "::", "0"))
    .map(([text, at, put]) => text.slice(0, at) + put + text.slice(at + 1));
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), damaged), (text) => assert.equal(isIPv6(text), nodeIsIPv6(text), text)),
    { numRuns: 2000 },
  );
});
