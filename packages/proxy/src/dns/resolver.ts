/** Looks names up as the machine's files say: hosts file, search list, servers by turns, UDP with TCP where it is cut. */
import type { SocketAddress } from "@weft/core/address";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { Random } from "@weft/core/world";
import type { AskDns } from "@weft/net/dns/exchange";
import { decodeDns, dnsHeaderBytes } from "@weft/protocols/dns/decode";
import { encodeDns } from "@weft/protocols/dns/encode";
import { createQuery, type DnsMessage, internetClass, recordType, responseCode } from "@weft/protocols/dns/message";
import { isDnsName, nameKey } from "@weft/protocols/dns/name";
import { FairQueue } from "./fair-queue.ts";
import { parseHosts, parseResolvConf, type ResolvConf, searchedNames } from "./resolv-conf.ts";
import type { FoundAddress, NameQuestion, ResolveName, ResolverSettings } from "./resolve-name.ts";

/** Questions on their way to servers at once; more wait. */
export const questionsMax = 256;
/** Aliases that lead to each other are followed so far. */
const aliasesMax = 16;
/** Fits into what passes every path without being cut to pieces. */
const udpBytes = 1232;
const edns = { udpBytes, version: 0, dnssecOk: false };

export interface ResolverTools {
  readonly udp: AskDns;
  readonly tcp: AskDns;
  /** A number that nobody can foresee, of 16 bits. */
  readonly id: () => number;
  readonly random: Random;
  /** Throws where there is no such file. */
  readonly readText: (path: string) => string;
}

const resolvConfPath = "/etc/resolv.conf";
const hostsPath = "/etc/hosts";

/** Reads a file when asked, and makes sense of it only when its text has changed. */
const following = <T>(readText: (path: string) => string, path: string, parse: (text: string) => T): (() => T) => {
  let seen: { readonly text: string; readonly value: T } | undefined;
  return () => {
    let text = "";
    try {
      text = readText(path);
    } catch {
      // A machine without the file is as one with an empty one.
    }
    if (seen?.text !== text) seen = { text, value: parse(text) };
    return seen.value;
  };
};

/** The addresses an answer tells for the name, by way of its aliases; none where there are none. */
export const readAddresses = (reply: DnsMessage, name: string, type: number): readonly FoundAddress[] => {
  const byName = Map.groupBy(
    reply.answers.filter((record) => record.class === internetClass),
    (record) => nameKey(record.name),
  );
  let key = nameKey(name);
  let ttl = Number.POSITIVE_INFINITY;
  for (let aliases = 0; aliases <= aliasesMax; aliases++) {
    const own = byName.get(key) ?? [];
    const found = own.flatMap(({ type: each, data, ttl: own }) =>
      each === type && data.kind === "address" ? [{ address: data.address, ttl: Math.min(ttl, own) }] : [],
    );
    if (found.length > 0) return found;
    const alias = own.find((record) => record.type === recordType.cname);
    if (alias?.data.kind !== "name") return [];
    key = nameKey(alias.data.name);
    ttl = Math.min(ttl, alias.ttl);
  }
  return [];
};

/** The servers know that there is no such name. Whoever had addresses for it keeps them: names that flap come back. */
class UnknownName extends Error {}

type Outcome = readonly FoundAddress[] | Error;

/** One name, one type, at the servers of a configuration in turn. */
interface Lookup {
  readonly name: string;
  readonly type: number;
  readonly conf: ResolvConf;
}

const isAnswerTo = (message: DnsMessage, { id, name, type }: { id: number; name: string; type: number }): boolean => {
  const [question] = message.questions;
  if (!message.response || message.id !== id || message.opcode !== 0) return false;
  // Servers that cannot read the question do not repeat it.
  if (question === undefined) return message.code === responseCode.formatError;
  return message.questions.length === 1 && question.type === type && nameKey(question.name) === nameKey(name);
};

/** As c-ares tells: nobody named a server if all there is is this very machine. */
const hasServers = ({ servers }: ResolvConf): boolean => servers.length !== 1 || servers[0]?.host !== "127.0.0.1";

/** A reply that was cut in the middle of a record cannot be read, but says that it was cut. */
const saysCut = (bytes: Buffer): boolean => (bytes.readUInt16BE(2) & 0x8200) === 0x8200;

class Resolver {
  private readonly tools: ResolverTools;
  private readonly machine: () => ResolvConf;
  private readonly hosts: () => ReadonlyMap<string, readonly string[]>;
  private readonly queue = new FairQueue(questionsMax);
  private turn = 0;

  constructor(tools: ResolverTools) {
    this.tools = tools;
    this.machine = following(tools.readText, resolvConfPath, parseResolvConf);
    this.hosts = following(tools.readText, hostsPath, parseHosts);
    this.turn = Math.floor(tools.random() * questionsMax);
  }

  async resolve({ name, family, resolver }: NameQuestion): Promise<readonly FoundAddress[]> {
    const conf = this.confOf(resolver);
    const of = (type: number): Promise<readonly FoundAddress[]> => this.addresses(name, type, conf);
    const { a, aaaa } = recordType;
    if (family === "v4") return of(a);
    if (family === "v6") return of(aaaa);
    if (family === "all") {
      const [four, six] = await Promise.allSettled([of(a), of(aaaa)]);
      const found = [four, six].flatMap((each) => (each.status === "fulfilled" ? each.value : []));
      const failed = [four, six].find((each) => each.status === "rejected");
      if (found.length === 0 && failed !== undefined) throw failed.reason;
      return found;
    }
    const [first, second] = family === "auto" ? [aaaa, a] : [a, aaaa];
    let failure: unknown;
    try {
      const found = await of(first);
      if (found.length > 0) return found;
    } catch (error) {
      failure = error;
    }
    const found = await of(second);
    if (found.length === 0 && failure !== undefined) throw failure;
    return found;
  }

  private confOf(settings: ResolverSettings): ResolvConf {
    const machine = this.machine();
    const own = settings.servers.length > 0 && !(settings.fallbackOnly && hasServers(machine));
    return {
      servers: own ? settings.servers : machine.servers,
      search: settings.noSearch ? [] : machine.search,
      ndots: machine.ndots,
      timeoutMs: settings.timeoutMs ?? machine.timeoutMs,
      attempts: settings.attempts ?? machine.attempts,
      rotate: settings.rotate || machine.rotate,
      useTcp: settings.useTcp || machine.useTcp,
    };
  }

  private async addresses(name: string, type: number, conf: ResolvConf): Promise<readonly FoundAddress[]> {
    const isFamily = type === recordType.a ? isIPv4 : isIPv6;
    if (isIPv4(name) || isIPv6(name)) return isFamily(name) ? [{ address: name, ttl: 0 }] : [];
    const key = nameKey(name);
    const local = this.hosts().get(key) ?? (/(^|\.)localhost$/.test(key) ? ["127.0.0.1", "::1"] : []);
    const found = local.filter(isFamily);
    if (found.length > 0) return found.map((address) => ({ address, ttl: 0 }));
    let [known, failure] = [false, new UnknownName(`there is no name "${name}"`)];
    for (const each of searchedNames(name, conf)) {
      if (!isDnsName(each)) continue;
      const outcome = await this.queue.run(() => this.ask({ name: each, type, conf }));
      if (!(outcome instanceof Error)) {
        if (outcome.length > 0) return outcome;
        known = true;
      } else if (!(outcome instanceof UnknownName)) failure = outcome;
    }
    if (!known || !(failure instanceof UnknownName)) throw failure;
    return [];
  }

  private async ask({ name, type, conf }: Lookup): Promise<Outcome> {
    const { servers, attempts, rotate } = conf;
    const first = rotate ? this.turn++ % servers.length : 0;
    let failure = new Error("no name server is configured");
    for (let attempt = 0; attempt < attempts; attempt++) {
      for (let index = 0; index < servers.length; index++) {
        const server = servers[(first + index) % servers.length] as SocketAddress;
        try {
          return await this.askServer(server, { name, type, conf });
        } catch (error) {
          failure = error instanceof Error ? error : new Error(String(error));
        }
      }
    }
    return failure;
  }

  private async askServer(server: SocketAddress, lookup: Lookup): Promise<Outcome> {
    let reply = await this.exchange(server, lookup, true);
    // A server that has never heard of EDNS (RFC 6891 §7).
    const { formatError, notImplemented } = responseCode;
    if (reply.code === formatError || reply.code === notImplemented) reply = await this.exchange(server, lookup, false);
    if (reply.code === responseCode.nameError) return new UnknownName(`there is no name "${lookup.name}"`);
    if (reply.code === responseCode.noError) {
      const found = readAddresses(reply, lookup.name, lookup.type);
      const aliased = reply.answers.some(({ type }) => type === recordType.cname);
      if (found.length === 0 && aliased) throw new Error(`the aliases of "${lookup.name}" lead nowhere`);
      return found;
    }
    throw new Error(`the server at ${server.host} answered with code ${reply.code}`);
  }

  private async exchange(server: SocketAddress, { name, type, conf }: Lookup, extended: boolean): Promise<DnsMessage> {
    const { tools } = this;
    const id = tools.id();
    const query = createQuery(id, { name, type, class: internetClass }, extended ? edns : undefined);
    let reply: DnsMessage | undefined;
    let cut = false;
    const accept = (bytes: Buffer): boolean => {
      if (bytes.length < dnsHeaderBytes || bytes.readUInt16BE(0) !== id) return false;
      try {
        const message = decodeDns(bytes);
        if (!isAnswerTo(message, { id, name, type })) return false;
        reply = message;
        cut = message.truncated;
        return true;
      } catch {
        cut = saysCut(bytes);
        return cut;
      }
    };
    const exchange = { server, message: encodeDns(query), timeoutMs: conf.timeoutMs, accept };
    if (!conf.useTcp) await tools.udp(exchange);
    if (conf.useTcp || cut) await tools.tcp(exchange);
    if (cut || reply === undefined) throw new Error("the answer is cut short over TCP too");
    return reply;
  }
}

/** Questions for the same that are under way are asked once; nothing is kept when the answer is there. */
export const createResolver = (tools: ResolverTools): ResolveName => {
  const resolver = new Resolver(tools);
  const underWay = new Map<string, Promise<readonly FoundAddress[]>>();
  return (question) => {
    const key = JSON.stringify([nameKey(question.name), question.family, question.resolver]);
    const known = underWay.get(key);
    if (known !== undefined) return known;
    const made = resolver.resolve(question).finally(() => underWay.delete(key));
    underWay.set(key, made);
    return made;
  };
};
