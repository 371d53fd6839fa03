/** The server's half of etcd's messages, for tests. */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { EtcdKeyValue, EtcdRangeAnswer, EtcdWatchAnswer } from "../messages.ts";

const header = ({ clusterId, revision }: { readonly clusterId: string; readonly revision: number }): Uint8Array =>
  new BinaryWriter().uint32(0o10).uint64(clusterId).uint32(0o30).int64(revision).finish();

const keyValue = ({ key, value, modRevision, lease }: EtcdKeyValue): Uint8Array => {
  const writer = new BinaryWriter().uint32(0o12).bytes(key).uint32(0o20).int64(1);
  writer.uint32(0o30).int64(modRevision).uint32(0o52).bytes(value);
  if (lease !== 0n) writer.uint32(0o60).int64(lease);
  return writer.finish();
};

export const encodeRangeAnswer = (answer: EtcdRangeAnswer): Uint8Array => {
  const writer = new BinaryWriter().uint32(0o12).bytes(header(answer));
  for (const record of answer.records) writer.uint32(0o22).bytes(keyValue(record));
  return writer
    .uint32(0o30)
    .bool(answer.more)
    .uint32(0o40)
    .int64(answer.count ?? answer.records.length)
    .finish();
};

export const encodeWatchAnswer = (answer: EtcdWatchAnswer): Uint8Array => {
  const writer = new BinaryWriter().uint32(0o12).bytes(header(answer)).uint32(0o20).int64(0);
  writer.uint32(0o30).bool(answer.created).uint32(0o40).bool(answer.canceled);
  writer.uint32(0o50).int64(answer.compactRevision).uint32(0o62).string(answer.cancelReason);
  writer.uint32(0o70).bool(answer.fragment);
  for (const { kind, record, before } of answer.events) {
    const event = new BinaryWriter();
    if (kind === "delete") event.uint32(0o10).int32(1);
    event.uint32(0o22).bytes(keyValue(record));
    if (before) event.uint32(0o32).bytes(keyValue(before));
    writer.uint32(0o132).bytes(event.finish());
  }
  return writer.finish();
};

export const encodeLeaseTimeToLive = (seconds: number): Uint8Array =>
  new BinaryWriter()
    .uint32(0o20)
    .int64("7587862094834229762")
    .uint32(0o30)
    .int64(seconds)
    .uint32(0o40)
    .int64(60)
    .finish();

/** Fields of a message by number: numbers of varints, bytes of what has a length. */
export const readMessage = (bytes: Uint8Array): ReadonlyMap<number, number | Uint8Array> => {
  const fields = new Map<number, number | Uint8Array>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    fields.set(field, wireType === 2 ? reader.bytes() : Number(reader.int64()));
  }
  return fields;
};
