import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientHelloBytesMax, parseClientHello } from "./client-hello.ts";

const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const vector8 = (bytes: Buffer): Buffer => Buffer.concat([u8(bytes.length), bytes]);
const vector16 = (bytes: Buffer): Buffer => Buffer.concat([u16(bytes.length), bytes]);
const extension = (type: number, data: Buffer): Buffer => Buffer.concat([u16(type), vector16(data)]);

const serverName = (...names: string[]): Buffer =>
  extension(
    0,
    vector16(Buffer.concat(names.map((name) => Buffer.concat([u8(0), vector16(Buffer.from(name, "latin1"))])))),
  );
const alpn = (...protocols: string[]): Buffer =>
  extension(16, vector16(Buffer.concat(protocols.map((protocol) => vector8(Buffer.from(protocol))))));
const versions = (...numbers: number[]): Buffer => extension(43, vector8(Buffer.concat(numbers.map(u16))));

interface HelloParts {
  readonly legacy?: number;
  readonly extensions?: readonly Buffer[] | undefined;
  readonly tail?: Buffer;
}

const message = ({ legacy = 0x0303, extensions, tail = Buffer.alloc(0) }: HelloParts): Buffer => {
  const body = Buffer.concat([
    u16(legacy),
    Buffer.alloc(32, 7),
    vector8(Buffer.alloc(32, 9)),
    vector16(Buffer.from([0x13, 0x01, 0x13, 0x02])),
    vector8(u8(0)),
    extensions ? vector16(Buffer.concat(extensions)) : Buffer.alloc(0),
    tail,
  ]);
  return Buffer.concat([u8(1), u8(0), u16(body.length), body]);
};
const records = (handshake: Buffer, size = handshake.length): Buffer => {
  const parts: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += size) {
    parts.push(Buffer.from([22, 3, 1]), vector16(handshake.subarray(at, at + size)));
  }
  return Buffer.concat(parts);
};
const hello = (parts: HelloParts): Buffer => records(message(parts));

const usual = [
  extension(0x0a0a, Buffer.alloc(0)),
  serverName("Catalog.Default"),
  alpn("istio", "h2"),
  versions(0x1a1a, 0x0304, 0x0303),
];
const parsed = {
  kind: "client-hello",
  sni: "catalog.default",
  alpn: ["istio", "h2"],
  versions: ["TLSv1.3", "TLSv1.2"],
} as const;

test("a hello tells its server name, protocols and versions", () => {
  assert.deepEqual(parseClientHello(hello({ extensions: usual })), parsed);
});

test("a hello without extensions is one of an old version without a name", () => {
  assert.deepEqual(parseClientHello(hello({ legacy: 0x0302 })), {
    kind: "client-hello",
    sni: "",
    alpn: [],
    versions: ["TLSv1.1", "TLSv1"],
  });
});

test("every beginning of a hello needs more, the whole is enough, what follows does not matter", () => {
  const bytes = hello({ extensions: usual });
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(parseClientHello(bytes.subarray(0, length)).kind, "need-more", `${length} bytes`);
  }
  assert.deepEqual(parseClientHello(Buffer.concat([bytes, Buffer.from("anything")])), parsed);
});

test("a hello spread over records is read as one", () => {
  const handshake = message({ extensions: usual });
  for (const size of [6, 7, 50, handshake.length - 1]) {
    const bytes = records(handshake, size);
    assert.deepEqual(parseClientHello(bytes), parsed, `records of ${size}`);
    assert.equal(parseClientHello(bytes.subarray(0, -1)).kind, "need-more");
  }
});

test("more records than a client would use are refused", () => {
  assert.equal(parseClientHello(records(message({ extensions: usual }), 1)).kind, "not-tls");
});

test("a name that could not be a host is taken as none", () => {
  for (const name of ["a b", "a\0b", "a\nb", "caf\xe9", "", "x".repeat(255)]) {
    assert.deepEqual(
      { ...parseClientHello(hello({ extensions: [serverName(name)] })), versions: [] },
      {
        kind: "client-hello",
        sni: "",
        alpn: [],
        versions: [],
      },
    );
  }
});

test("a trailing dot of the name is dropped", () => {
  const result = parseClientHello(hello({ extensions: [serverName("a.b.")] }));
  assert.equal(result.kind === "client-hello" && result.sni, "a.b");
});

test("malformed hellos are not TLS", () => {
  const record = (bytes: number[]): Buffer => Buffer.from(bytes);
  const cases: readonly Buffer[] = [
    Buffer.from("GET / HTTP/1.1\r\n"),
    record([23, 3, 1]),
    record([22, 2]),
    record([22, 3, 1, 0, 0]),
    record([22, 3, 1, 0xff, 0xff]),
    record([22, 3, 1, 0, 4, 2, 0, 0, 0]),
    record([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]),
    hello({ legacy: 0x0200 }),
    hello({ extensions: usual, tail: u8(0) }),
    hello({ extensions: [serverName("a"), serverName("b")] }),
    hello({ extensions: [serverName("a", "b")] }),
    hello({ extensions: [extension(0, Buffer.alloc(0))] }),
    hello({ extensions: [extension(0, u16(5))] }),
    hello({ extensions: [alpn("")] }),
    hello({ extensions: [extension(16, u16(9))] }),
    hello({ extensions: [extension(43, u8(3))] }),
    hello({ extensions: [u16(16)] }),
    hello({ extensions: Array.from({ length: 200 }, (_, i) => extension(1000 + i, Buffer.alloc(0))) }),
  ];
  for (const [i, bytes] of cases.entries()) assert.equal(parseClientHello(bytes).kind, "not-tls", `case ${i}`);
});

test("a hello larger than the bound is refused, not waited for", () => {
  const large = hello({ extensions: [extension(0x1234, Buffer.alloc(clientHelloBytesMax))] });
  assert.equal(parseClientHello(large.subarray(0, clientHelloBytesMax)).kind, "not-tls");
});

test("changed bytes never throw", () => {
  const bytes = hello({ extensions: usual });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 }), (edits) => {
      const changed = Buffer.from(bytes);
      for (const [at, value] of edits) changed[at] = value;
      parseClientHello(changed);
    }),
    { numRuns: 2000 },
  );
});
