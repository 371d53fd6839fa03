/** What a DNS question is answered: from the table, by the machine's name servers, or with what is wrong with it. */
import type { DnsQuery } from "@weft/net/dns/serve";
import { decodeDns, dnsHeaderBytes } from "@weft/protocols/dns/decode";
import { dnsMessageBytesMax, encodeDns } from "@weft/protocols/dns/encode";
import {
  createReply,
  type DnsMessage,
  type DnsQuestion,
  type DnsRecord,
  internetClass,
  recordType,
  responseCode,
} from "@weft/protocols/dns/message";
import { nameKey } from "@weft/protocols/dns/name";
import type { Stats } from "../observe/stats.ts";
import type { CompiledDnsListener } from "./compile-dns-listener.ts";
import { type Forwarder, fitReply } from "./forwarder.ts";
import type { NamedAddresses } from "./name-table.ts";

/** What a client without EDNS takes over UDP (RFC 1035 §4.2.1), and what no client is sent more than. */
const udpBytesMin = 512;
const udpBytesMost = 4_096;
/** What we take ourselves. */
const udpBytesTaken = 1_232;

const [httpsType, svcbType] = [65, 64];
const transfers: ReadonlySet<number> = new Set([251, 252]);

export const dnsCounters = (stats: Stats) => ({
  queries: stats.counter("dns.queries"),
  answered: stats.counter("dns.answered"),
  forwarded: stats.counter("dns.forwarded"),
  failed: stats.counter("dns.failed"),
  malformed: stats.counter("dns.malformed"),
  refused: stats.counter("dns.refused"),
  truncated: stats.counter("dns.truncated"),
  overflow: stats.counter("dns.overflow"),
  loops: stats.counter("dns.loops"),
});

export interface AnswerTools {
  readonly counters: ReturnType<typeof dnsCounters>;
  readonly forwarder: Forwarder;
  /** Whether an address is this machine's. */
  readonly isLocal: (host: string) => boolean;
  /** The machine's search list: domains that its name servers know. */
  readonly search: () => readonly string[];
}

/** Records that a question may bring besides itself: options, cookies, signatures. */
const extraRecordsMax = 8;

/** A reply to what is not read: its id, and what is wrong with it. */
const headOnly = (bytes: Buffer, code: number): Buffer => {
  const reply = Buffer.alloc(dnsHeaderBytes);
  bytes.copy(reply, 0, 0, 4);
  reply.writeUInt16BE(0x8000 | (bytes.readUInt16BE(2) & 0x7900) | code, 2);
  return reply;
};

const bytesMaxOf = ({ edns }: DnsMessage, tcp: boolean): number =>
  tcp ? dnsMessageBytesMax : Math.min(udpBytesMost, Math.max(udpBytesMin, edns?.udpBytes ?? 0));

const isBelow = (key: string, suffix: string): boolean => key === suffix || key.endsWith(`.${suffix}`);

/** One listener's answers; its configuration may change between questions. */
export class DnsAnswers {
  config: CompiledDnsListener;
  private readonly tools: AnswerTools;
  private turn = 0;

  constructor(config: CompiledDnsListener, tools: AnswerTools) {
    this.config = config;
    this.tools = tools;
  }

  /** The reply's bytes; `undefined` where there is to be none. Never rejects. */
  async answer({ bytes, from, tcp }: DnsQuery): Promise<Buffer | undefined> {
    const { counters, isLocal } = this.tools;
    counters.queries.add(1);
    if (!isLocal(from.host)) {
      counters.refused.add(1);
      return undefined;
    }
    // Answering answers would have two servers talk to each other for ever.
    if (bytes.length < dnsHeaderBytes || (bytes.readUInt16BE(2) & 0x8000) !== 0) {
      counters.malformed.add(1);
      return undefined;
    }
    const unread = this.refuseUnread(bytes);
    if (unread !== undefined) return unread;
    let query: DnsMessage;
    try {
      query = decodeDns(bytes);
    } catch {
      counters.malformed.add(1);
      return headOnly(bytes, responseCode.formatError);
    }
    const bytesMax = bytesMaxOf(query, tcp);
    const reply = this.refuse(query) ?? this.fromTable(query) ?? (await this.forwarded(query, bytes, tcp));
    if (Buffer.isBuffer(reply)) return this.counted(fitReply(reply, query, bytesMax));
    return this.counted(this.encode(query, reply, bytesMax));
  }

  private encode(query: DnsMessage, parts: Partial<DnsMessage>, bytesMax: number): Buffer {
    const edns = query.edns && { udpBytes: udpBytesTaken, version: 0, dnssecOk: query.edns.dnssecOk };
    return encodeDns(createReply(query, { ...parts, edns }), bytesMax);
  }

  private counted(reply: Buffer): Buffer {
    if ((reply.readUInt16BE(2) & 0x0200) !== 0) this.tools.counters.truncated.add(1);
    return reply;
  }

  /** Judged by its head alone: a message with thousands of names is never read, nor sent back. */
  private refuseUnread(bytes: Buffer): Buffer | undefined {
    const { counters } = this.tools;
    if ((bytes.readUInt16BE(2) & 0x7800) !== 0) {
      counters.refused.add(1);
      return headOnly(bytes, responseCode.notImplemented);
    }
    const [questions, answers] = [bytes.readUInt16BE(4), bytes.readUInt16BE(6)];
    const others = bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
    if (questions === 1 && answers === 0 && others <= extraRecordsMax) return undefined;
    counters.malformed.add(1);
    return headOnly(bytes, responseCode.formatError);
  }

  /** Questions that nobody is asked. */
  private refuse(query: DnsMessage): Partial<DnsMessage> | undefined {
    const { counters } = this.tools;
    const question = query.questions[0] as DnsQuestion;
    if (query.edns !== undefined && query.edns.version > 0) {
      counters.refused.add(1);
      return { code: responseCode.badVersion };
    }
    if (transfers.has(question.type)) {
      counters.refused.add(1);
      return { code: responseCode.refused };
    }
    return undefined;
  }

  private fromTable(query: DnsMessage): Partial<DnsMessage> | undefined {
    const { table, forward } = this.config;
    const question = query.questions[0] as DnsQuestion;
    if (question.class !== internetClass) return undefined;
    const { counters } = this.tools;
    const found = table.lookup(question.name);
    const own = this.isOwn(question.name);
    if (found === undefined) {
      if (!own && forward !== undefined) return undefined;
      counters.answered.add(1);
      return { authoritative: own, code: responseCode.nameError };
    }
    const addresses = this.addressesOf(found, question.type);
    // What else there is to know of a name of the world outside, the world knows.
    if (addresses === undefined && !own && forward !== undefined) return undefined;
    counters.answered.add(1);
    return { authoritative: true, answers: recordsOf(question, addresses ?? [], found.ttl) };
  }

  /** `undefined` for types that say nothing of addresses. Hints of addresses would lead past those of the table. */
  private addressesOf({ v4, v6 }: NamedAddresses, type: number): readonly string[] | undefined {
    switch (type) {
      case recordType.a:
        return this.rotated(v4);
      case recordType.aaaa:
        return this.rotated(v6);
      case recordType.any:
        return [...this.rotated(v4), ...this.rotated(v6)];
      case httpsType:
      case svcbType:
        return [];
      default:
        return undefined;
    }
  }

  /** Each question gets another one first: most programs take that. */
  private rotated(addresses: readonly string[]): readonly string[] {
    if (addresses.length < 2) return addresses;
    const first = this.turn++ % addresses.length;
    return [...addresses.slice(first), ...addresses.slice(0, first)];
  }

  /** A suffix of ours that the machine searches is one its name servers know too, and perhaps more of. */
  private isOwn(name: string): boolean {
    const { ownSuffixes } = this.config.table;
    if (ownSuffixes.length === 0) return false;
    const key = nameKey(name);
    const suffix = ownSuffixes.find((one) => isBelow(key, one));
    return suffix !== undefined && !this.tools.search().some((domain) => isBelow(domain, suffix));
  }

  private async forwarded(query: DnsMessage, bytes: Buffer, tcp: boolean): Promise<Buffer | Partial<DnsMessage>> {
    const { counters, forwarder } = this.tools;
    const { forward } = this.config;
    if (forward === undefined) {
      counters.refused.add(1);
      return { code: responseCode.refused };
    }
    const outcome = await forwarder.forward({ query, bytes, tcp }, forward);
    if (outcome.kind === "answer") {
      counters.forwarded.add(1);
      return outcome.bytes;
    }
    if (outcome.kind === "loop") counters.loops.add(1);
    if (outcome.kind === "overflow") counters.overflow.add(1);
    counters.failed.add(1);
    return { code: responseCode.serverFailure };
  }
}

const recordsOf = ({ name }: DnsQuestion, addresses: readonly string[], ttl: number): readonly DnsRecord[] =>
  addresses.map((address) => ({
    name,
    type: address.includes(":") ? recordType.aaaa : recordType.a,
    class: internetClass,
    ttl,
    data: { kind: "address", address },
  }));
