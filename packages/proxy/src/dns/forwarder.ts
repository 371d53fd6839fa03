/** Passes questions on to the machine's name servers as they came, and their answers back as they are. */
import type { SocketAddress } from "@weft/core/address";
import type { Clock } from "@weft/core/world";
import type { AskDns } from "@weft/net/dns/exchange";
import { decodeDns, dnsHeaderBytes } from "@weft/protocols/dns/decode";
import { encodeDns } from "@weft/protocols/dns/encode";
import { createReply, type DnsMessage, responseCode } from "@weft/protocols/dns/message";
import { nameKey } from "@weft/protocols/dns/name";
import type { ForwardSettings } from "./compile-dns-listener.ts";
import type { ResolvConf } from "./resolv-conf.ts";

export interface ForwarderTools {
  readonly udp: AskDns;
  readonly tcp: AskDns;
  /** A number that nobody can foresee, of 16 bits. */
  readonly id: () => number;
  readonly clock: Clock;
  /** The machine's `resolv.conf` as it is now. */
  readonly machine: () => ResolvConf;
  /** Whether asking there would be asking ourselves. */
  readonly isOwn: (server: SocketAddress) => boolean;
}

/** `loop`: the question is one of ours that came back; `overflow`: too many are under way; `failed`: nobody answered. */
export type ForwardOutcome =
  | { readonly kind: "answer"; readonly bytes: Buffer }
  | { readonly kind: "loop" | "overflow" | "failed" };

export interface ForwardRequest {
  readonly query: DnsMessage;
  readonly bytes: Buffer;
  readonly tcp: boolean;
}

/** A server that has so little time left is not asked any more. */
const attemptMsMin = 20;

const keyOf = (id: number, { questions: [question] }: DnsMessage): string =>
  `${id} ${question?.type} ${nameKey(question?.name ?? "")}`;

/** A server that would not or could not: the next one may. */
const isRefusal = (code: number): boolean =>
  code === responseCode.serverFailure || code === responseCode.refused || code === responseCode.notImplemented;

const codeOf = (reply: Buffer): number => reply.readUInt16BE(2) & 15;

/** A reply to the question with this id: whole, or cut in the middle of a record and saying so. */
const isReply = (reply: Buffer, id: number, query: DnsMessage): boolean => {
  if (reply.length < dnsHeaderBytes || reply.readUInt16BE(0) !== id) return false;
  const flags = reply.readUInt16BE(2);
  if ((flags & 0x8000) === 0) return false;
  try {
    const message = decodeDns(reply);
    if (message.questions.length === 0) return message.code === responseCode.formatError;
    return message.questions.length === 1 && keyOf(id, message) === keyOf(id, query);
  } catch {
    return (flags & 0x0200) !== 0;
  }
};

export class Forwarder {
  private readonly tools: ForwarderTools;
  /** Questions under way, as they would look if they came back to us. */
  private readonly underWay = new Set<string>();
  private count = 0;

  constructor(tools: ForwarderTools) {
    this.tools = tools;
  }

  get inFlight(): number {
    return this.count;
  }

  /** Never rejects. */
  async forward(request: ForwardRequest, settings: ForwardSettings): Promise<ForwardOutcome> {
    if (this.underWay.has(keyOf(request.query.id, request.query))) return { kind: "loop" };
    if (this.count >= settings.questionsMax) return { kind: "overflow" };
    this.count++;
    try {
      return await this.askAll(request, settings);
    } finally {
      this.count--;
    }
  }

  private async askAll(request: ForwardRequest, settings: ForwardSettings): Promise<ForwardOutcome> {
    const { clock, machine, isOwn } = this.tools;
    const conf = machine();
    const { resolver } = settings;
    const named = resolver.servers.length > 0 && !(resolver.fallbackOnly && conf.servers.length > 0);
    const servers = (named ? resolver.servers : conf.servers).filter((server) => !isOwn(server));
    const attempts = Math.max(1, resolver.attempts ?? conf.attempts);
    const overTcp = request.tcp || resolver.useTcp || conf.useTcp;
    const deadlineMs = clock.nowMs() + settings.timeoutMs;
    let refusal: Buffer | undefined;
    let left = attempts * servers.length;
    for (let attempt = 0; attempt < attempts; attempt++) {
      for (const server of servers) {
        // Whoever comes later in the list has to have his turn too.
        const share = (deadlineMs - clock.nowMs()) / left--;
        const timeoutMs = Math.min(resolver.timeoutMs ?? conf.timeoutMs, share);
        if (timeoutMs < attemptMsMin) break;
        const bytes = await this.ask(server, request, { overTcp, timeoutMs });
        if (bytes !== undefined && !isRefusal(codeOf(bytes))) return { kind: "answer", bytes };
        refusal ??= bytes;
      }
    }
    return refusal === undefined ? { kind: "failed" } : { kind: "answer", bytes: refusal };
  }

  private async ask(
    server: SocketAddress,
    { query, bytes }: ForwardRequest,
    { overTcp, timeoutMs }: { readonly overTcp: boolean; readonly timeoutMs: number },
  ): Promise<Buffer | undefined> {
    const id = this.tools.id();
    const key = keyOf(id, query);
    const message = Buffer.from(bytes);
    message.writeUInt16BE(id);
    this.underWay.add(key);
    try {
      const ask = overTcp ? this.tools.tcp : this.tools.udp;
      const accept = (reply: Buffer): boolean => isReply(reply, id, query);
      const reply = Buffer.from(await ask({ server, message, timeoutMs, accept }));
      reply.writeUInt16BE(query.id);
      return reply;
    } catch {
      return undefined;
    } finally {
      this.underWay.delete(key);
    }
  }
}

/** What fits: an answer that is too long, or was cut in the middle, becomes one that tells to ask over TCP. */
export const fitReply = (reply: Buffer, query: DnsMessage, bytesMax: number): Buffer => {
  const cut = (reply.readUInt16BE(2) & 0x0200) !== 0;
  if (reply.length <= bytesMax && !(cut && !canRead(reply))) return reply;
  return encodeDns(createReply(query, { truncated: true, code: codeOf(reply) }), bytesMax);
};

const canRead = (reply: Buffer): boolean => {
  try {
    decodeDns(reply);
    return true;
  } catch {
    return false;
  }
};
