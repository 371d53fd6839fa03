/** The messages of etcd's v3 API that writing takes: transactions that compare first, and leases (etcdserverpb/rpc.proto). */
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { decodeHeader, decodeRangeAnswer, type EtcdKeyValue, eachField, encodeRange, noHeader } from "./messages.ts";

export const etcdWriteMethods = {
  txn: "/etcdserverpb.KV/Txn",
  leaseGrant: "/etcdserverpb.Lease/LeaseGrant",
  leaseRevoke: "/etcdserverpb.Lease/LeaseRevoke",
  leaseKeepAlive: "/etcdserverpb.Lease/LeaseKeepAlive",
} as const;

/** A key must have been changed last at this revision; 0: there must be none. */
export interface EtcdCompare {
  readonly key: Uint8Array;
  readonly modRevision: number;
}

export interface EtcdPut {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The lease it goes with; absent: it stays. */
  readonly lease?: bigint | undefined;
}

export interface EtcdTxn {
  readonly compares: readonly EtcdCompare[];
  readonly puts: readonly EtcdPut[];
  readonly deletes: readonly Uint8Array[];
}

export interface EtcdTxnAnswer {
  readonly clusterId: string;
  readonly revision: number;
  /** Everything was as compared, and all of it is done; else nothing is. */
  readonly succeeded: boolean;
  /** Of what was compared, as it was there, where nothing is done. */
  readonly found: readonly EtcdKeyValue[];
}

const compareTargetMod = 2;

/** All puts and deletions, or none of them where a comparison does not hold. */
export const encodeTxn = ({ compares, puts, deletes }: EtcdTxn): Uint8Array => {
  const writer = new BinaryWriter();
  for (const { key, modRevision } of compares) {
    const compare = new BinaryWriter().uint32(0o20).int32(compareTargetMod).uint32(0o32).bytes(key);
    writer.uint32(0o12).bytes(compare.uint32(0o60).int64(modRevision).finish());
    writer.uint32(0o32).bytes(new BinaryWriter().uint32(0o12).bytes(encodeRange({ key })).finish());
  }
  for (const { key, value, lease } of puts) {
    const put = new BinaryWriter().uint32(0o12).bytes(key).uint32(0o22).bytes(value);
    if (lease !== undefined) put.uint32(0o30).int64(lease);
    writer.uint32(0o22).bytes(new BinaryWriter().uint32(0o22).bytes(put.finish()).finish());
  }
  for (const key of deletes) {
    const deletion = new BinaryWriter().uint32(0o12).bytes(key).finish();
    writer.uint32(0o22).bytes(new BinaryWriter().uint32(0o32).bytes(deletion).finish());
  }
  return writer.finish();
};

/** Throws for what is not such a message, as the others do. */
export const decodeTxnAnswer = (bytes: Uint8Array): EtcdTxnAnswer => {
  const answer = { ...noHeader, succeeded: false, found: [] as EtcdKeyValue[] };
  eachField(bytes, (field, reader) => {
    if (field === 1) Object.assign(answer, decodeHeader(reader.bytes()));
    else if (field === 2) answer.succeeded = reader.bool();
    else if (field === 3) answer.found.push(...recordsIn(reader.bytes()));
    else return false;
    return true;
  });
  return answer;
};

/**
 * Several transactions as one: each is done or not by its own comparisons, all at one revision, and kept by one write of
 * the server's. No key may be written by two of them.
 */
export const encodeTxnGroup = (txns: readonly EtcdTxn[]): Uint8Array => {
  const writer = new BinaryWriter();
  for (const txn of txns) writer.uint32(0o22).bytes(new BinaryWriter().uint32(0o42).bytes(encodeTxn(txn)).finish());
  return writer.finish();
};

export interface EtcdTxnGroupAnswer {
  readonly revision: number;
  /** In the order of what was asked; their own revisions are not told. */
  readonly answers: readonly EtcdTxnAnswer[];
}

export const decodeTxnGroupAnswer = (bytes: Uint8Array): EtcdTxnGroupAnswer => {
  const answer = { ...noHeader, answers: [] as EtcdTxnAnswer[] };
  eachField(bytes, (field, reader) => {
    if (field === 1) Object.assign(answer, decodeHeader(reader.bytes()));
    else if (field === 3) answer.answers.push(...txnsIn(reader.bytes()));
    else return false;
    return true;
  });
  return answer;
};

/** Of one operation's answer, where it was a transaction. */
const txnsIn = (bytes: Uint8Array): readonly EtcdTxnAnswer[] => {
  const answers: EtcdTxnAnswer[] = [];
  eachField(bytes, (field, reader) => {
    if (field !== 4) return false;
    answers.push(decodeTxnAnswer(reader.bytes()));
    return true;
  });
  return answers;
};

/** Of one operation's answer, where it was a reading. */
const recordsIn = (bytes: Uint8Array): readonly EtcdKeyValue[] => {
  const records: EtcdKeyValue[] = [];
  eachField(bytes, (field, reader) => {
    if (field !== 1) return false;
    records.push(...decodeRangeAnswer(reader.bytes()).records);
    return true;
  });
  return records;
};

/** A lease of so many seconds, its id chosen by the server. */
export const encodeLeaseGrant = (ttlSeconds: number): Uint8Array =>
  new BinaryWriter().uint32(0o10).int64(ttlSeconds).finish();

/** Both what a revocation and what a renewal ask. */
export const encodeLeaseId = (id: bigint): Uint8Array => new BinaryWriter().uint32(0o10).int64(id).finish();

export interface EtcdLeaseAnswer {
  readonly id: bigint;
  /** Seconds it has; 0: there is no such lease any more. */
  readonly ttlSeconds: number;
  /** Empty: none. */
  readonly error: string;
}

/** The answer to a grant and to a renewal. */
export const decodeLeaseAnswer = (bytes: Uint8Array): EtcdLeaseAnswer => {
  const answer = { id: 0n, ttlSeconds: 0, error: "" };
  eachField(bytes, (field, reader) => {
    if (field === 2) answer.id = BigInt(reader.int64());
    else if (field === 3) answer.ttlSeconds = Number(reader.int64());
    else if (field === 4) answer.error = reader.string();
    else return false;
    return true;
  });
  return answer;
};
