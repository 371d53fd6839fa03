/** The messages of etcd's v3 API that reading a registry takes (etcdserverpb/rpc.proto, mvccpb/kv.proto). */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

export const etcdMethods = {
  range: "/etcdserverpb.KV/Range",
  watch: "/etcdserverpb.Watch/Watch",
  authenticate: "/etcdserverpb.Auth/Authenticate",
  leaseTimeToLive: "/etcdserverpb.Lease/LeaseTimeToLive",
} as const;

export interface EtcdRange {
  readonly key: Uint8Array;
  /** The first key that is not of the range; absent: `key` alone. */
  readonly rangeEnd?: Uint8Array;
  readonly limit?: number;
  /** The store as of this revision; 0 is now. */
  readonly revision?: number;
}

export interface EtcdKeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly modRevision: number;
  /** Goes when this lease ends; 0: with none. */
  readonly lease: bigint;
}

export interface EtcdRangeAnswer {
  readonly clusterId: string;
  readonly revision: number;
  readonly records: readonly EtcdKeyValue[];
  readonly more: boolean;
  /** Keys in the range, whatever the limit. */
  readonly count?: number;
}

export interface EtcdEvent {
  readonly kind: "put" | "delete";
  /** Of a deletion: the key and the revision of the deletion. */
  readonly record: EtcdKeyValue;
  /** What was there before, where it was asked for and is not compacted. */
  readonly before: EtcdKeyValue | undefined;
}

export interface EtcdWatchAnswer {
  readonly clusterId: string;
  readonly revision: number;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Above 0: history before it is gone, and the watch with it. */
  readonly compactRevision: number;
  readonly cancelReason: string;
  /** More of the same revision follows. */
  readonly fragment: boolean;
  readonly events: readonly EtcdEvent[];
}

/** The end of the range of all keys that begin so: the prefix with its last byte that can grow one greater. */
export const prefixEnd = (prefix: Uint8Array): Uint8Array => {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const byte = prefix[at] ?? 0;
    if (byte < 0xff) return Uint8Array.from([...prefix.subarray(0, at), byte + 1]);
  }
  return Uint8Array.of(0);
};

/** The least key after this one. */
export const keyAfter = (key: Uint8Array): Uint8Array => Uint8Array.from([...key, 0]);

export const encodeRange = ({ key, rangeEnd, limit = 0, revision = 0 }: EtcdRange): Uint8Array => {
  const writer = new BinaryWriter().uint32(0o12).bytes(key);
  if (rangeEnd) writer.uint32(0o22).bytes(rangeEnd);
  if (limit > 0) writer.uint32(0o30).int64(limit);
  if (revision > 0) writer.uint32(0o40).int64(revision);
  return writer.finish();
};

/** Watches a range from a revision on, with what was there before each change, in pieces where an answer is large. */
export const encodeWatch = (watch: {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
  readonly startRevision: number;
}): Uint8Array => {
  const create = new BinaryWriter().uint32(0o12).bytes(watch.key).uint32(0o22).bytes(watch.rangeEnd);
  create.uint32(0o30).int64(watch.startRevision);
  create.uint32(0o40).bool(true).uint32(0o60).bool(true).uint32(0o100).bool(true);
  return new BinaryWriter().uint32(0o12).bytes(create.finish()).finish();
};

/** Asks a watch's server how far it is, which it answers where nothing is on its way. */
export const encodeProgressRequest = (): Uint8Array =>
  new BinaryWriter().uint32(0o32).bytes(new Uint8Array(0)).finish();

export const encodeAuthenticate = (name: string, password: string): Uint8Array =>
  new BinaryWriter().uint32(0o12).string(name).uint32(0o22).string(password).finish();

/** Throws for what is not such a message, as the others do. */
export const decodeRangeAnswer = (bytes: Uint8Array): EtcdRangeAnswer => {
  const answer = { ...noHeader, records: [] as EtcdKeyValue[], more: false, count: 0 };
  eachField(bytes, (field, reader) => {
    if (field === 1) Object.assign(answer, decodeHeader(reader.bytes()));
    else if (field === 2) answer.records.push(decodeKeyValue(reader.bytes()));
    else if (field === 3) answer.more = reader.bool();
    else if (field === 4) answer.count = Number(reader.int64());
    else return false;
    return true;
  });
  return answer;
};

export const decodeWatchAnswer = (bytes: Uint8Array): EtcdWatchAnswer => {
  const events: EtcdEvent[] = [];
  const answer = {
    ...noHeader,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment: false,
    events,
  };
  eachField(bytes, (field, reader) => {
    if (field === 1) Object.assign(answer, decodeHeader(reader.bytes()));
    else if (field === 3) answer.created = reader.bool();
    else if (field === 4) answer.canceled = reader.bool();
    else if (field === 5) answer.compactRevision = Number(reader.int64());
    else if (field === 6) answer.cancelReason = reader.string();
    else if (field === 7) answer.fragment = reader.bool();
    else if (field === 11) events.push(decodeEvent(reader.bytes()));
    else return false;
    return true;
  });
  return answer;
};

/** Whole seconds that a lease has at least; below 0: there is no such lease any more. */
export const decodeLeaseTimeToLive = (bytes: Uint8Array): number => {
  let seconds = 0;
  eachField(bytes, (field, reader) => {
    if (field !== 3) return false;
    seconds = Number(reader.int64());
    return true;
  });
  return seconds;
};

/** The token that later calls carry as `token`. */
export const decodeAuthenticateAnswer = (bytes: Uint8Array): string => {
  let token = "";
  eachField(bytes, (field, reader) => {
    if (field !== 2) return false;
    token = reader.string();
    return true;
  });
  return token;
};

/** What a header that is not there says. */
export const noHeader = { clusterId: "0", revision: 0 };

/** The store's id and revision, from an answer's header. */
export const decodeHeader = (bytes: Uint8Array): typeof noHeader => {
  const header = { ...noHeader };
  eachField(bytes, (field, reader) => {
    if (field === 1) header.clusterId = String(reader.uint64());
    else if (field === 3) header.revision = Number(reader.int64());
    else return false;
    return true;
  });
  return header;
};

const decodeKeyValue = (bytes: Uint8Array): EtcdKeyValue => {
  const none = new Uint8Array(0);
  const record: { -readonly [K in keyof EtcdKeyValue]: EtcdKeyValue[K] } = {
    ...{ key: none, value: none, modRevision: 0, lease: 0n },
  };
  eachField(bytes, (field, reader) => {
    if (field === 1) record.key = reader.bytes();
    else if (field === 3) record.modRevision = Number(reader.int64());
    else if (field === 5) record.value = reader.bytes();
    else if (field === 6) record.lease = BigInt(reader.int64());
    else return false;
    return true;
  });
  return record;
};

const decodeEvent = (bytes: Uint8Array): EtcdEvent => {
  let kind: EtcdEvent["kind"] = "put";
  let record: EtcdKeyValue | undefined;
  let before: EtcdKeyValue | undefined;
  eachField(bytes, (field, reader) => {
    if (field === 1) kind = reader.int32() === 1 ? "delete" : "put";
    else if (field === 2) record = decodeKeyValue(reader.bytes());
    else if (field === 3) before = decodeKeyValue(reader.bytes());
    else return false;
    return true;
  });
  if (!record) throw new Error("an event without a record");
  return { kind, record, before };
};

/** Calls for each field; what is not taken is skipped. */
export const eachField = (bytes: Uint8Array, take: (field: number, reader: BinaryReader) => boolean): void => {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!take(field, reader)) reader.skip(wireType, field);
  }
};
