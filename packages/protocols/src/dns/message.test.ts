import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeDns } from "./decode.ts";
import { encodeDns } from "./encode.ts";
import { createQuery, createReply, type DnsMessage, type DnsRecord, recordType } from "./message.ts";
import { DnsFormatError, nameKey, nameLabels, readName } from "./name.ts";

const label = fc.uint8Array({ minLength: 1, maxLength: 12 });
const name = fc.array(label, { maxLength: 6 }).map((labels) => {
  const bytes = Buffer.concat([...labels.map((each) => Buffer.concat([Buffer.of(each.length), each])), Buffer.of(0)]);
  return readName(bytes, 0).name;
});
const u16 = fc.integer({ min: 0, max: 0xffff });
const ttl = fc.integer({ min: 0, max: 0x7fff_ffff });
const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => bytes.join("."));
const record: fc.Arbitrary<DnsRecord> = fc.oneof(
  fc.record({ name, ttl, address: ipv4 }).map(({ address, ...rest }) => ({
    ...rest,
    ...{ type: recordType.a, class: 1, data: { kind: "address", address } as const },
  })),
  fc.record({ name, ttl, other: name }).map(({ other, ...rest }) => ({
    ...rest,
    ...{ type: recordType.cname, class: 1, data: { kind: "name", name: other } as const },
  })),
  fc.record({ name, ttl, bytes: fc.uint8Array({ maxLength: 40 }) }).map(({ bytes, ...rest }) => ({
    ...rest,
    ...{ type: recordType.txt, class: 1, data: { kind: "bytes", bytes } as const },
  })),
  fc.record({ name, ttl, primary: name, mailbox: name }).map(({ primary, mailbox, ...rest }) => ({
    ...rest,
    type: recordType.soa,
    class: 1,
    data: {
      ...({ kind: "soa", primary, mailbox } as const),
      numbers: { serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 },
    },
  })),
);
const records = fc.array(record, { maxLength: 6 });
const message: fc.Arbitrary<DnsMessage> = fc.record({
  id: u16,
  response: fc.boolean(),
  opcode: fc.integer({ min: 0, max: 15 }),
  authoritative: fc.boolean(),
  truncated: fc.boolean(),
  recursionDesired: fc.boolean(),
  recursionAvailable: fc.boolean(),
  code: fc.integer({ min: 0, max: 15 }),
  questions: fc.array(fc.record({ name, type: u16, class: u16 }), { maxLength: 2 }),
  answers: records,
  authorities: records,
  additionals: records,
  edns: fc.option(fc.record({ udpBytes: u16, version: fc.integer({ min: 0, max: 255 }), dnssecOk: fc.boolean() }), {
    nil: undefined,
  }),
});

/** Compression does not keep the case of names that stood before. */
const sameCase = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_key, each) => (typeof each === "string" ? nameKey(each) : each));

test("what is written is read back", () => {
  fc.assert(
    fc.property(message, (each) => {
      assert.deepEqual(sameCase(decodeDns(encodeDns(each))), sameCase(each));
    }),
  );
});

test("bytes of any kind are read or refused, and nothing else happens", () => {
  const reads = (bytes: Uint8Array): void => {
    try {
      decodeDns(bytes);
    } catch (error) {
      assert.ok(error instanceof DnsFormatError, String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), reads));
  fc.assert(
    fc.property(message, fc.nat(), fc.integer({ min: 0, max: 255 }), (each, at, byte) => {
      const bytes = encodeDns(each);
      bytes[at % bytes.length] = byte;
      reads(bytes);
      reads(bytes.subarray(0, at % bytes.length));
    }),
  );
});

test("a message for which there is no room keeps whole records and says so", () => {
  const query = createQuery(7, { name: "a.test", type: 1, class: 1 }, { udpBytes: 1232, version: 0, dnssecOk: false });
  const answers = Array.from(
    { length: 100 },
    (_, i): DnsRecord => ({
      ...{ name: "a.test", type: 1, class: 1, ttl: 5, data: { kind: "address", address: `10.0.0.${i}` } },
    }),
  );
  const bytes = encodeDns(createReply(query, { answers }), 512);
  assert.ok(bytes.length <= 512);
  const read = decodeDns(bytes);
  assert.equal(read.truncated, true);
  assert.deepEqual(read.answers, answers.slice(0, read.answers.length));
  // A header, a question, an OPT record and as many addresses of 16 bytes as there is room for.
  assert.equal(read.answers.length, Math.floor((512 - 12 - 12 - 11) / 16));
  assert.deepEqual(read.edns, query.edns);
});

test("pointers that lead to themselves, forwards or nowhere are refused", () => {
  const head = Buffer.from([0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
  for (const pointer of [
    [0xc0, 12],
    [0xc0, 14],
    [0xff, 0xff],
    [1, 0x61, 0xc0, 12],
  ]) {
    assert.throws(() => decodeDns(Buffer.concat([head, Buffer.from(pointer), Buffer.of(0, 1, 0, 1)])), DnsFormatError);
  }
});

test("names of too many bytes and labels without any are refused", () => {
  assert.throws(() => nameLabels(`${"a".repeat(63)}.`.repeat(4)), DnsFormatError);
  assert.throws(() => nameLabels("a".repeat(64)), DnsFormatError);
  assert.throws(() => nameLabels("a..b"), DnsFormatError);
  assert.throws(() => nameLabels("ä€"), DnsFormatError);
  assert.equal(nameLabels("a.b.").length, 2);
});

test("addresses that are not as long as addresses are, and bytes behind the end, are refused", () => {
  const query = createQuery(1, { name: "a", type: 1, class: 1 });
  const odd: DnsRecord = {
    name: "a",
    type: 1,
    class: 1,
    ttl: 1,
    data: { kind: "bytes", bytes: Uint8Array.of(1, 2, 3) },
  };
  assert.throws(() => decodeDns(encodeDns(createReply(query, { answers: [odd] }))), /3 bytes/);
  assert.throws(() => decodeDns(Buffer.concat([encodeDns(query), Buffer.of(0)])), /follow/);
});

test("IPv6 addresses are written the shortest way", () => {
  const query = createQuery(1, { name: "a", type: 28, class: 1 });
  for (const address of ["::", "::1", "1::", "2001:db8::1", "1:0:2::3", "1:2:3:4:5:6:7:8", "::ffff:102:304"]) {
    const answers = [{ name: "a", type: 28, class: 1, ttl: 1, data: { kind: "address", address } as const }];
    assert.deepEqual(decodeDns(encodeDns(createReply(query, { answers }))).answers[0]?.data, {
      kind: "address",
      address,
    });
  }
});

test("pointers that lead on and on end, and names that share an end are read by it", () => {
  const chain = Buffer.alloc(16_000);
  for (let at = 2; at < chain.length; at += 2) chain.writeUInt16BE(0xc000 | (at - 2), at);
  assert.throws(() => readName(chain, chain.length - 2), DnsFormatError);
  assert.equal(readName(chain, 2 * 127).name, "");
  assert.throws(() => readName(chain, 2 * 128), DnsFormatError);
  const known = new Map();
  const text = Buffer.from("\x01c\x00\x01b\xc0\x00\x01A\xc0\x03\x01x\xc0\x03", "latin1");
  const names = [7, 11, 3, 0, 7].map((at) => readName(text, at, known));
  assert.deepEqual(
    names.map(({ name }) => name),
    ["A.b.c", "x.b.c", "b.c", "c", "A.b.c"],
  );
  assert.deepEqual(
    names.map(({ next }) => next),
    [11, 15, 7, 3, 11],
  );
});

test("an end that is long enough by itself makes no longer name", () => {
  const labels = Array.from({ length: 3 }, () => Buffer.concat([Buffer.of(63), Buffer.alloc(63, "a")]));
  const end = Buffer.concat([...labels, Buffer.concat([Buffer.of(61), Buffer.alloc(61, "a")]), Buffer.of(0)]);
  assert.equal(end.length, 255);
  const pointer = Buffer.of(0xc0, 0);
  assert.equal(readName(Buffer.concat([end, pointer]), end.length).name.length, 253);
  const longer = Buffer.concat([end, Buffer.from("\x01b"), pointer]);
  assert.throws(() => readName(longer, end.length), /too long/);
});

test("letters alone are alike in either case", () => {
  assert.deepEqual(["A.Test.", "a.TEST", "\\065", "İ.Test"].map(nameKey), ["a.test", "a.test", "\\065", "İ.test"]);
});
