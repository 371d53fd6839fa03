import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatGroups } from "./addresses.ts";
import { crc32c } from "./crc32c.ts";
import { type DecodedProxyHeader, decodeProxyHeader } from "./decode.ts";
import { encodeProxyV1, encodeProxyV2 } from "./encode.ts";
import { v2Signature } from "./header.ts";

const text = (line: string): Buffer => Buffer.from(line, "latin1");
const v2 = (command: number, family: number, rest: Buffer | readonly number[], length = rest.length): Buffer =>
  Buffer.concat([v2Signature, Buffer.from([command, family, length >> 8, length & 0xff]), Buffer.from(rest)]);
const inetRest = [10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 0, 80];
const reasonOf = (bytes: Buffer): string => {
  const decoded = decodeProxyHeader(bytes);
  assert.equal(decoded.kind, "error", `${bytes.toString("latin1")} gave ${decoded.kind}`);
  return decoded.kind === "error" ? decoded.reason : "";
};
const headerOf = (bytes: Buffer) => {
  const decoded = decodeProxyHeader(bytes);
  assert.ok(decoded.kind === "header", `${bytes.toString("latin1")} gave ${JSON.stringify(decoded)}`);
  return decoded;
};

/** Any prefix either wants more or says what the whole says. */
const assertEveryCutAgrees = (bytes: Buffer): void => {
  const whole = decodeProxyHeader(bytes);
  for (let cut = 0; cut < bytes.length; cut++) {
    const part = decodeProxyHeader(bytes.subarray(0, cut));
    if (part.kind !== "need-more") assert.deepEqual(part, whole, `cut at ${cut}`);
  }
};

const port = fc.integer({ min: 0, max: 65_535 });
const host4 = fc.ipV4();
const host6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => formatGroups(Buffer.from(bytes), 0));
const addressesOf = (host: fc.Arbitrary<string>) =>
  fc.tuple(host, port, host, port).map(([from, fromPort, to, toPort]) => ({
    source: { host: from, port: fromPort },
    destination: { host: to, port: toPort },
  }));
const addresses = fc.oneof(addressesOf(host4), addressesOf(host6));
const tlvs = fc.array(
  fc
    .tuple(
      fc.integer({ min: 0, max: 255 }).filter((type) => type !== 3 && type !== 4),
      fc.uint8Array({ maxLength: 300 }),
    )
    .map(([type, bytes]) => ({ type, value: Buffer.from(bytes) })),
  { maxLength: 6 },
);

test("version 1 tells both ends", () => {
  const line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
  assert.deepEqual(headerOf(text(`${line}GET /`)), {
    kind: "header",
    header: {
      version: "v1",
      addresses: {
        source: { host: "192.168.0.1", port: 56_324 },
        destination: { host: "192.168.0.11", port: 443 },
      },
      tlvs: [],
    },
    length: line.length,
  });
  const six = headerOf(text("PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 2\r\n"));
  assert.deepEqual(six.header.addresses?.source, { host: "2001:db8::1", port: 1 });
});

test("version 1 UNKNOWN keeps the connection's own addresses whatever stands behind it", () => {
  for (const line of ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 anything at all\r\n"]) {
    const { header, length } = headerOf(text(line));
    assert.deepEqual([header.addresses, length], [undefined, line.length]);
  }
});

test("a line of version 1 may have 107 bytes and no more", () => {
  const longest = `PROXY UNKNOWN ${"x".repeat(91)}\r\n`;
  assert.equal(longest.length, 107);
  assert.equal(headerOf(text(longest)).length, 107);
  assert.match(reasonOf(text(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`)), /no line end/);
  assert.equal(decodeProxyHeader(text(`PROXY UNKNOWN ${"x".repeat(92)}`)).kind, "need-more");
});

test("version 1 lines that are not to the letter are refused", () => {
  const lines = [
    "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
    "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
    "PROXY TCP4 1.2.3.4\t5.6.7.8 1 2\r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 1e3 2\r\n",
    "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
    "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
    "PROXY TCP4 ::1 ::2 1 2\r\n",
    "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
    "PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
    "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
    "PROXY UNKNOWNS\r\n",
    "PROXY \r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\0\r\n",
  ];
  for (const line of lines) reasonOf(text(line));
});

test("version 2 tells both ends and its extensions, and no bytes behind its length", () => {
  const bytes = v2(0x21, 0x11, [...inetRest, 0xea, 0, 2, 1, 2, 0x04, 0, 1, 9]);
  const { header, length } = headerOf(Buffer.concat([bytes, text("rest")]));
  assert.equal(length, bytes.length);
  assert.deepEqual(header.addresses, {
    source: { host: "10.0.0.1", port: 8080 },
    destination: { host: "10.0.0.2", port: 80 },
  });
  assert.deepEqual(header.tlvs, [{ type: 0xea, value: Buffer.from([1, 2]) }]);
});

test("version 2 without addresses to tell keeps the connection's own", () => {
  for (const bytes of [
    v2(0x20, 0x11, inetRest),
    v2(0x20, 0xff, [1, 2, 3]),
    v2(0x21, 0x00, []),
    v2(0x21, 0x31, Buffer.alloc(216)),
  ]) {
    assert.equal(headerOf(bytes).header.addresses, undefined);
  }
});

test("version 2 headers that contradict themselves are refused", () => {
  const refused: readonly (readonly [Buffer, RegExp])[] = [
    [v2(0x11, 0x11, inetRest), /version/],
    [v2(0x22, 0x11, inetRest), /command/],
    [v2(0x21, 0x41, inetRest), /family/],
    [v2(0x21, 0x13, inetRest), /transport/],
    [v2(0x21, 0x12, inetRest), /datagrams/],
    [v2(0x21, 0x11, inetRest, 11), /length/],
    [v2(0x21, 0x21, inetRest), /length/],
    [v2(0x21, 0x31, Buffer.alloc(215)), /length/],
    [v2(0x21, 0x11, [...inetRest, 1]), /cut off/],
    [v2(0x21, 0x11, [...inetRest, 1, 0]), /cut off/],
    [v2(0x21, 0x11, [...inetRest, 1, 0, 2, 0]), /longer/],
    [v2(0x21, 0x11, [...inetRest, 3, 0, 4, 1, 2, 3, 4]), /checksum/],
    [v2(0x21, 0x11, [...inetRest, 3, 0, 1, 1]), /checksum/],
  ];
  for (const [bytes, reason] of refused) assert.match(reasonOf(bytes), reason);
});

test("a right checksum is taken", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  const bytes = v2(0x21, 0x11, [...inetRest, 3, 0, 4, 0, 0, 0, 0]);
  bytes.writeUInt32BE(crc32c(bytes), bytes.length - 4);
  assert.equal(headerOf(bytes).header.tlvs.length, 1);
  bytes[20] = 99;
  assert.match(reasonOf(bytes), /checksum/);
});

test("what does not begin like a header is none, and a version that is not looked for is none", () => {
  for (const bytes of [text("GET / HTTP/1.1\r\n"), text("P4"), text("PROXIES"), text("\r\n\r\n\0\r\nQUIT\r")]) {
    assert.equal(decodeProxyHeader(bytes).kind, "none");
  }
  assert.equal(decodeProxyHeader(v2(0x21, 0x11, inetRest), ["v1"]).kind, "none");
  assert.equal(decodeProxyHeader(text("PROXY UNKNOWN\r\n"), ["v2"]).kind, "none");
  assert.equal(decodeProxyHeader(text("PROXY UNKNOWN\r\n"), []).kind, "none");
});

test("what is written is read back, in both versions", () => {
  fc.assert(
    fc.property(addresses, tlvs, (both, list) => {
      const one = encodeProxyV1(both);
      assert.ok(one.length <= 107);
      assert.deepEqual(headerOf(one).header.addresses, both);
      const two = encodeProxyV2(both, list);
      assert.deepEqual(headerOf(two), {
        kind: "header",
        header: { version: "v2", addresses: both, tlvs: list },
        length: two.length,
      });
    }),
  );
  assert.deepEqual(headerOf(encodeProxyV2(undefined)).header.addresses, undefined);
  assert.deepEqual(headerOf(encodeProxyV1(undefined)).header.addresses, undefined);
});

test("ends of two families are told as unknown, and extensions that do not fit are left out", () => {
  const mixed = { source: { host: "::1", port: 1 }, destination: { host: "10.0.0.1", port: 2 } };
  assert.equal(encodeProxyV1(mixed).toString(), "PROXY UNKNOWN\r\n");
  assert.equal(headerOf(encodeProxyV2(mixed)).header.addresses, undefined);
  const both = { source: { host: "10.0.0.1", port: 1 }, destination: { host: "10.0.0.2", port: 2 } };
  const big = { type: 0xe0, value: Buffer.alloc(40_000) };
  assert.equal(headerOf(encodeProxyV2(both, [big, big])).header.tlvs.length, 1);
});

test("wherever the bytes are cut, the result is the same", () => {
  const nearHeader = fc
    .tuple(
      fc.oneof(
        addresses.map(encodeProxyV1),
        fc.tuple(addresses, tlvs).map(([a, t]) => encodeProxyV2(a, t)),
      ),
    )
    .chain(([bytes]) =>
      fc
        .tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 20 }))
        .map(([at, byte, more]) => {
          const changed = Buffer.concat([bytes, more]);
          changed[at] = byte;
          return changed;
        }),
    );
  fc.assert(fc.property(nearHeader, assertEveryCutAgrees), { numRuns: 300 });
});

test("random bytes never throw, and only a header's signature makes a header of them", () => {
  const signed = fc
    .tuple(fc.constantFrom(v2Signature, text("PROXY "), text("")), fc.uint8Array({ maxLength: 300 }))
    .map(([signature, bytes]) => Buffer.concat([signature, bytes]));
  fc.assert(
    fc.property(signed, (bytes) => {
      const decoded: DecodedProxyHeader = decodeProxyHeader(bytes);
      if (decoded.kind !== "header") return;
      assert.ok(decoded.length <= bytes.length);
      assert.ok(bytes.subarray(0, 6).equals(text("PROXY ")) || bytes.subarray(0, 12).equals(v2Signature));
    }),
    { numRuns: 3000 },
  );
});
