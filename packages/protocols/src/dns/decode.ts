import { type DnsData, type DnsMessage, type DnsQuestion, type DnsRecord, type Edns, recordType } from "./message.ts";
import { DnsFormatError, type KnownNames, readName } from "./name.ts";

export const dnsHeaderBytes = 12;

interface Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly names: KnownNames;
  at: number;
}

const need = (cursor: Cursor, bytes: number): void => {
  if (cursor.at + bytes > cursor.bytes.length) throw new DnsFormatError("the message is cut short");
};
const u16 = (cursor: Cursor): number => {
  need(cursor, 2);
  const value = cursor.view.getUint16(cursor.at);
  cursor.at += 2;
  return value;
};
const u32 = (cursor: Cursor): number => {
  need(cursor, 4);
  const value = cursor.view.getUint32(cursor.at);
  cursor.at += 4;
  return value;
};
const nameAt = (cursor: Cursor): string => {
  const { name, next } = readName(cursor.bytes, cursor.at, cursor.names);
  cursor.at = next;
  return name;
};

const ipv6Text = (bytes: Uint8Array): string => {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  let [best, bestLength] = [-1, 1];
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > bestLength) [best, bestLength] = [start, length];
  }
  const hex = (from: number, to?: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  return best < 0 ? hex(0) : `${hex(0, best)}::${hex(best + bestLength)}`;
};

const readSoa = (cursor: Cursor): DnsData => {
  const primary = nameAt(cursor);
  const mailbox = nameAt(cursor);
  const numbers = {
    serial: u32(cursor),
    refresh: u32(cursor),
    retry: u32(cursor),
    expire: u32(cursor),
    minimum: u32(cursor),
  };
  return { kind: "soa", primary, mailbox, numbers };
};

/** Names inside data may lead back into the message, so those that may be compressed are read here. */
const readData = (cursor: Cursor, type: number, length: number): DnsData => {
  const end = cursor.at + length;
  need(cursor, length);
  const raw = cursor.bytes.subarray(cursor.at, end);
  let data: DnsData;
  switch (type) {
    case recordType.a:
      if (length !== 4) throw new DnsFormatError(`an IPv4 address of ${length} bytes`);
      data = { kind: "address", address: raw.join(".") };
      cursor.at = end;
      break;
    case recordType.aaaa:
      if (length !== 16) throw new DnsFormatError(`an IPv6 address of ${length} bytes`);
      data = { kind: "address", address: ipv6Text(raw) };
      cursor.at = end;
      break;
    case recordType.cname:
    case recordType.ns:
    case recordType.ptr:
      data = { kind: "name", name: nameAt(cursor) };
      break;
    case recordType.soa:
      data = readSoa(cursor);
      break;
    default:
      data = { kind: "bytes", bytes: Uint8Array.from(raw) };
      cursor.at = end;
  }
  if (cursor.at !== end) throw new DnsFormatError("a record is longer or shorter than it says");
  return data;
};

/** A TTL with the upper bit set is 0 (RFC 2181 §8). */
const ttlOf = (value: number): number => (value > 0x7fff_ffff ? 0 : value);

const readRecord = (cursor: Cursor): DnsRecord => {
  const name = nameAt(cursor);
  const type = u16(cursor);
  const cls = u16(cursor);
  const ttl = u32(cursor);
  const length = u16(cursor);
  // What reads like a TTL is something else in an OPT record.
  return {
    name,
    type,
    class: cls,
    ttl: type === recordType.opt ? ttl : ttlOf(ttl),
    data: readData(cursor, type, length),
  };
};

const ednsOf = ({ name, class: udpBytes, ttl }: DnsRecord): Edns => {
  if (name !== "") throw new DnsFormatError("an OPT record with a name");
  return { udpBytes, version: (ttl >>> 16) & 0xff, dnssecOk: (ttl & 0x8000) !== 0 };
};

const times = <T>(count: number, read: () => T): readonly T[] => {
  const list: T[] = [];
  for (let i = 0; i < count; i++) list.push(read());
  return list;
};

/** Reads a whole message; throws DnsFormatError for one that is not well formed to its last byte. */
export const decodeDns = (bytes: Uint8Array): DnsMessage => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const cursor: Cursor = { bytes, view, names: new Map(), at: 0 };
  const id = u16(cursor);
  const flags = u16(cursor);
  const [questionCount, answerCount, authorityCount, additionalCount] = [0, 0, 0, 0].map(() => u16(cursor)) as [
    number,
    number,
    number,
    number,
  ];
  const questions = times(
    questionCount,
    (): DnsQuestion => ({ name: nameAt(cursor), type: u16(cursor), class: u16(cursor) }),
  );
  const record = (): DnsRecord => readRecord(cursor);
  const answers = times(answerCount, record);
  const authorities = times(authorityCount, record);
  const additionals = times(additionalCount, record);
  if (cursor.at !== bytes.length) throw new DnsFormatError("bytes follow the message");
  const options = additionals.filter(({ type }) => type === recordType.opt);
  if (options.length > 1) throw new DnsFormatError("two OPT records");
  const [option] = options;
  return {
    id,
    response: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 15,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    code: (flags & 15) | (option === undefined ? 0 : (option.ttl >>> 24) << 4),
    questions,
    answers,
    authorities,
    additionals: option === undefined ? additionals : additionals.filter((each) => each !== option),
    edns: option && ednsOf(option),
  };
};
