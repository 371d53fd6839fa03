import { parseIPv4, parseIPv6 } from "@weft/core/ip";
import { type DnsData, type DnsMessage, type DnsRecord, recordType } from "./message.ts";
import { DnsFormatError, nameKey, nameLabels } from "./name.ts";

export const dnsMessageBytesMax = 65_535;
const pointerMax = 0x3fff;

class Writer {
  readonly bytes: Buffer;
  at = 0;
  /** Where names stand that later ones may lead back to. */
  private readonly names = new Map<string, number>();

  constructor(bytesMax: number) {
    this.bytes = Buffer.allocUnsafe(bytesMax);
  }
  private reserve(bytes: number): number {
    const { at } = this;
    if (at + bytes > this.bytes.length) throw full;
    this.at += bytes;
    return at;
  }
  u8(value: number): void {
    this.bytes[this.reserve(1)] = value;
  }
  u16(value: number): void {
    this.bytes.writeUInt16BE(value, this.reserve(2));
  }
  u32(value: number): void {
    this.bytes.writeUInt32BE(value, this.reserve(4));
  }
  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.reserve(bytes.length));
  }
  name(name: string): void {
    const labels = nameLabels(name);
    const texts = nameKey(name).split(".");
    for (const [index, label] of labels.entries()) {
      const rest = texts.slice(index).join(".");
      const known = this.names.get(rest);
      if (known !== undefined) {
        this.u16(0xc000 | known);
        return;
      }
      if (this.at <= pointerMax) this.names.set(rest, this.at);
      this.u8(label.length);
      this.raw(label);
    }
    this.u8(0);
  }
  /** Takes back what was written since; names that stood there are forgotten. */
  rewind(at: number): void {
    this.at = at;
    for (const [name, place] of this.names) if (place >= at) this.names.delete(name);
  }
}

const full = new DnsFormatError("the message is too long");

const addressBytes = (type: number, address: string): Uint8Array => {
  const bytes = type === recordType.aaaa ? parseIPv6(address) : parseIPv4(address);
  if (bytes === undefined) throw new DnsFormatError(`"${address}" is no address of record type ${type}`);
  return bytes;
};

const writeData = (writer: Writer, type: number, data: DnsData): void => {
  switch (data.kind) {
    case "address":
      writer.raw(addressBytes(type, data.address));
      return;
    case "name":
      writer.name(data.name);
      return;
    case "soa": {
      writer.name(data.primary);
      writer.name(data.mailbox);
      const { serial, refresh, retry, expire, minimum } = data.numbers;
      for (const number of [serial, refresh, retry, expire, minimum]) writer.u32(number);
      return;
    }
    case "bytes":
      writer.raw(data.bytes);
  }
};

const writeRecord = (writer: Writer, { name, type, class: cls, ttl, data }: DnsRecord): void => {
  writer.name(name);
  writer.u16(type);
  writer.u16(cls);
  writer.u32(ttl);
  const lengthAt = writer.at;
  writer.u16(0);
  writeData(writer, type, data);
  writer.bytes.writeUInt16BE(writer.at - lengthAt - 2, lengthAt);
};

const optionBytes = 11;

const writeOption = (writer: Writer, { edns, code }: DnsMessage): void => {
  if (edns === undefined) return;
  writer.u8(0);
  writer.u16(recordType.opt);
  writer.u16(edns.udpBytes);
  writer.u32((((code >>> 4) << 24) | (edns.version << 16) | (edns.dnssecOk ? 0x8000 : 0)) >>> 0);
  writer.u16(0);
};

/** As many of the records as there is room for; false when some are left out. */
const writeSection = (writer: Writer, records: readonly DnsRecord[], reserved: number): readonly [number, boolean] => {
  let count = 0;
  for (const record of records) {
    const before = writer.at;
    try {
      writeRecord(writer, record);
    } catch (error) {
      if (error !== full) throw error;
      writer.rewind(before);
      return [count, false];
    }
    if (writer.at + reserved > writer.bytes.length) {
      writer.rewind(before);
      return [count, false];
    }
    count++;
  }
  return [count, true];
};

/**
 * The message's bytes, `bytesMax` at most: records for which there is no room are left out, and where answers or
 * authorities are among them the message says that it is truncated. Throws DnsFormatError for names and addresses that
 * are none.
 */
export const encodeDns = (message: DnsMessage, bytesMax: number = dnsMessageBytesMax): Buffer => {
  const writer = new Writer(Math.min(bytesMax, dnsMessageBytesMax));
  for (let i = 0; i < 6; i++) writer.u16(0);
  for (const { name, type, class: cls } of message.questions) {
    writer.name(name);
    writer.u16(type);
    writer.u16(cls);
  }
  const reserved = message.edns === undefined ? 0 : optionBytes;
  const [answers, allAnswers] = writeSection(writer, message.answers, reserved);
  const [authorities, allAuthorities] = allAnswers
    ? writeSection(writer, message.authorities, reserved)
    : ([0, false] as const);
  const [additionals] = allAuthorities ? writeSection(writer, message.additionals, reserved) : [0];
  writeOption(writer, message);
  const { bytes } = writer;
  const truncated = message.truncated || !allAnswers || !allAuthorities;
  const flags =
    (message.response ? 0x8000 : 0) |
    (message.opcode << 11) |
    (message.authoritative ? 0x0400 : 0) |
    (truncated ? 0x0200 : 0) |
    (message.recursionDesired ? 0x0100 : 0) |
    (message.recursionAvailable ? 0x0080 : 0) |
    (message.code & 15);
  const options = message.edns === undefined ? 0 : 1;
  const head = [message.id, flags, message.questions.length, answers, authorities, additionals + options];
  for (const [index, value] of head.entries()) bytes.writeUInt16BE(value, 2 * index);
  return bytes.subarray(0, writer.at);
};
