import assert from "node:assert/strict";
import { test } from "node:test";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { eachField } from "./messages.ts";
import { encodeRangeAnswer, readMessage } from "./testing/server-messages.ts";
import {
  decodeLeaseAnswer,
  decodeTxnAnswer,
  decodeTxnGroupAnswer,
  encodeLeaseGrant,
  encodeLeaseId,
  encodeTxn,
  encodeTxnGroup,
} from "./writes.ts";

const [key, value] = [Buffer.from("/a"), Buffer.from("text")];
const part = (bytes: unknown, field: number): ReadonlyMap<number, unknown> =>
  readMessage(readMessage(bytes as Uint8Array).get(field) as Uint8Array);

test("a transaction has the fields of etcd's protocol, zero told as zero", () => {
  const txn = readMessage(
    encodeTxn({ compares: [{ key, modRevision: 0 }], puts: [{ key, value, lease: 7n }], deletes: [] }),
  );
  const compare = readMessage(txn.get(1) as Uint8Array);
  assert.deepEqual(
    [compare.get(2), Buffer.from(compare.get(3) as Uint8Array).toString(), compare.get(6)],
    [2, "/a", 0],
  );
  const put = part(txn.get(2), 2);
  assert.deepEqual([Buffer.from(put.get(2) as Uint8Array).toString(), put.get(3)], ["text", 7]);
  assert.equal(Buffer.from(part(txn.get(3), 1).get(1) as Uint8Array).toString(), "/a");
  const deletion = readMessage(encodeTxn({ compares: [], puts: [], deletes: [key] }));
  assert.equal(Buffer.from(part(deletion.get(2), 3).get(1) as Uint8Array).toString(), "/a");
  assert.equal(readMessage(encodeLeaseGrant(30)).get(1), 30);
  assert.equal(readMessage(encodeLeaseId(2n ** 40n)).get(1), 2 ** 40);
});

test("a transaction that is refused tells what was found in place of what was compared", () => {
  const record = { key, value, modRevision: 9, lease: 0n };
  const range = encodeRangeAnswer({ clusterId: "1", revision: 12, records: [record], more: false });
  const operation = new BinaryWriter().uint32(0o12).bytes(range).finish();
  const header = new BinaryWriter().uint32(0o10).uint64(5).uint32(0o30).int64(12).finish();
  const bytes = new BinaryWriter().uint32(0o12).bytes(header).uint32(0o32).bytes(operation).finish();
  const { succeeded, revision, clusterId, found } = decodeTxnAnswer(bytes);
  assert.deepEqual([succeeded, revision, clusterId], [false, 12, "5"]);
  assert.deepEqual(
    found.map(({ modRevision }) => modRevision),
    [9],
  );
});

test("several transactions are operations of one, and each is answered for itself", () => {
  const one = { compares: [{ key, modRevision: 3 }], puts: [{ key, value }], deletes: [] };
  const two = { compares: [], puts: [], deletes: [value] };
  const operations: Buffer[] = [];
  eachField(encodeTxnGroup([one, two]), (field, reader) => {
    assert.equal(field, 2);
    operations.push(Buffer.from(readMessage(reader.bytes()).get(4) as Uint8Array));
    return true;
  });
  assert.deepEqual(operations, [Buffer.from(encodeTxn(one)), Buffer.from(encodeTxn(two))]);
  const header = new BinaryWriter().uint32(0o10).uint64(5).uint32(0o30).int64(12).finish();
  const nested = (succeeded: boolean): Uint8Array =>
    new BinaryWriter().uint32(0o42).bytes(new BinaryWriter().uint32(0o20).bool(succeeded).finish()).finish();
  const bytes = new BinaryWriter().uint32(0o12).bytes(header).uint32(0o20).bool(true);
  for (const succeeded of [true, false]) bytes.uint32(0o32).bytes(nested(succeeded));
  const { revision, answers } = decodeTxnGroupAnswer(bytes.finish());
  assert.deepEqual([revision, answers.map(({ succeeded }) => succeeded)], [12, [true, false]]);
});

test("a lease's answer is read, and any bytes are read or refused", () => {
  const bytes = new BinaryWriter()
    .uint32(0o20)
    .int64(2n ** 62n)
    .uint32(0o30)
    .int64(30)
    .finish();
  assert.deepEqual(decodeLeaseAnswer(bytes), { id: 2n ** 62n, ttlSeconds: 30, error: "" });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
      for (const decode of [decodeTxnAnswer, decodeTxnGroupAnswer, decodeLeaseAnswer]) {
        try {
          decode(noise);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});
