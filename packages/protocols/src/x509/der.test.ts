import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  bitString,
  boolean,
  context,
  derTag,
  element,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  setOf,
  time,
} from "./der.ts";
import {
  bitNumbers,
  booleanValue,
  DerError,
  DerReader,
  enterOnly,
  oidText,
  smallInteger,
  timeMs,
  wholeBits,
} from "./der-reader.ts";

const bytes = (...values: number[]): Buffer => Buffer.from(values);
const content = (der: Buffer): Buffer => new DerReader(der).next().content;

test("lengths are written and read at every size", () => {
  for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 100_000]) {
    const der = octetString(Buffer.alloc(length, 1));
    assert.equal(content(der).length, length);
    assert.throws(() => new DerReader(der.subarray(0, -1)).next(), DerError);
  }
});

test("integers are written as short as they can be and never negative", () => {
  assert.deepEqual(integer(bytes(0, 0, 5)), bytes(2, 1, 5));
  assert.deepEqual(integer(bytes(0x80)), bytes(2, 2, 0, 0x80));
  assert.deepEqual(integer(bytes(0)), bytes(2, 1, 0));
  assert.deepEqual(integer(bytes()), bytes(2, 1, 0));
});

test("object identifiers are read back as written", () => {
  for (const dotted of [
    "1.2.840.113549.1.9.14",
    "2.5.29.17",
    "2.999.3",
    "0.9.2342.19200300.100.1.25",
    "1.3.6.1.5.5.7.3.1",
  ]) {
    assert.equal(oidText(content(oid(dotted))), dotted);
  }
});

test("named bits are read back as written", () => {
  for (const bits of [[], [0], [0, 2], [5, 6], [7], [8], [0, 8, 15]]) {
    assert.deepEqual([...bitNumbers(content(namedBits(...bits)))], bits);
  }
});

test("times are read back as written, before and after 2050", () => {
  for (const text of ["1999-12-31T23:59:59Z", "2026-02-28T00:00:00Z", "2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z"]) {
    assert.equal(timeMs(new DerReader(time(Date.parse(text))).next()), Date.parse(text));
  }
  assert.equal(time(Date.parse("2049-12-31T23:59:59Z"))[0], derTag.utcTime);
  assert.equal(time(Date.parse("2050-01-01T00:00:00Z"))[0], derTag.generalizedTime);
});

test("a set is written in the order of its elements' bytes", () => {
  assert.deepEqual(setOf(bytes(4, 1, 9), bytes(4, 1, 3)), bytes(0x31, 6, 4, 1, 3, 4, 1, 9));
});

test("what BER would let pass is refused", () => {
  const cases: readonly (() => unknown)[] = [
    () => new DerReader(bytes()).next(),
    () => new DerReader(bytes(4)).next(),
    () => new DerReader(bytes(4, 0x80, 0, 0)).next(),
    () => new DerReader(bytes(4, 0x81, 5, 1, 2, 3, 4, 5)).next(),
    () => new DerReader(Buffer.concat([bytes(4, 0x82, 0, 200), Buffer.alloc(200)])).next(),
    () => new DerReader(bytes(4, 0x85, 0, 0, 0, 0, 1, 0)).next(),
    () => new DerReader(bytes(4, 0xff)).next(),
    () => new DerReader(bytes(0x1f, 0x81, 0, 0)).next(),
    () => new DerReader(bytes(4, 0)).next(derTag.sequence),
    () => enterOnly(bytes(0x30, 0, 0)),
    () => booleanValue(bytes(1)),
    () => booleanValue(bytes()),
    () => smallInteger(bytes(0, 1)),
    () => smallInteger(bytes(0xff, 0x80)),
    () => smallInteger(bytes(0x80)),
    () => smallInteger(bytes()),
    () => smallInteger(bytes(1, 1, 1, 1, 1)),
    () => oidText(bytes()),
    () => oidText(bytes(0x80, 1)),
    () => oidText(bytes(0x2a, 0x86)),
    () => oidText(Buffer.alloc(20, 0xff)),
    () => oidText(Buffer.alloc(100, 1)),
    () => wholeBits(bytes(1, 2)),
    () => wholeBits(bytes()),
    () => bitNumbers(bytes()),
    () => bitNumbers(bytes(8, 0)),
    () => bitNumbers(bytes(1)),
    () => bitNumbers(bytes(1, 1)),
    () => timeMs(new DerReader(element(derTag.utcTime, Buffer.from("260230000000Z"))).next()),
    () => timeMs(new DerReader(element(derTag.utcTime, Buffer.from("2602280000Z"))).next()),
    () => timeMs(new DerReader(element(derTag.utcTime, Buffer.from("260228000000+0000"))).next()),
    () => timeMs(new DerReader(element(derTag.generalizedTime, Buffer.from("20260228000000.5Z"))).next()),
    () => timeMs(new DerReader(element(derTag.octetString, Buffer.from("260228000000Z"))).next()),
  ];
  for (const [i, read] of cases.entries()) assert.throws(read, DerError, `case ${i}`);
});

interface Tree {
  readonly leaf?: Uint8Array;
  readonly children?: readonly Tree[];
}
const write = (tree: Tree): Buffer =>
  tree.children ? sequence(...tree.children.map(write)) : octetString(tree.leaf ?? Buffer.alloc(0));
const read = (reader: DerReader): Tree => {
  const { tag, content: inner } = reader.next();
  if (tag === derTag.octetString) return { leaf: Uint8Array.from(inner) };
  const nested = new DerReader(inner);
  const children: Tree[] = [];
  while (!nested.done) children.push(read(nested));
  return { children };
};
const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small" },
    fc.uint8Array({ maxLength: 200 }).map((leaf) => ({ leaf })),
    fc.array(tie("tree"), { maxLength: 4 }).map((children) => ({ children })),
  ),
}));

test("what is written is read back", () => {
  fc.assert(
    fc.property(tree, (value) => {
      const reader = new DerReader(write(value));
      assert.deepEqual(read(reader), value);
      reader.end();
    }),
  );
});

test("one byte more or less, or another length, is never read the same", () => {
  fc.assert(
    fc.property(tree, fc.nat(), (value, seed) => {
      const der = write(value);
      assert.throws(() => enterOnly(Buffer.concat([der, bytes(0)]), der[0]), DerError);
      assert.throws(() => enterOnly(der.subarray(0, seed % der.length), der[0]), DerError);
    }),
  );
});

test("random bytes give an element or a DerError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (random) => {
      const reader = new DerReader(Buffer.from(random));
      try {
        while (!reader.done) reader.next();
      } catch (error) {
        assert.ok(error instanceof DerError);
      }
    }),
    { numRuns: 2000 },
  );
});

test("a context element and a bit string keep their bytes", () => {
  assert.deepEqual(context(6, "primitive", bytes(1)), bytes(0x86, 1, 1));
  assert.deepEqual(context(3, "constructed", boolean(true)), bytes(0xa3, 3, 1, 1, 0xff));
  assert.deepEqual(wholeBits(content(bitString(bytes(7, 8)))), bytes(7, 8));
});
