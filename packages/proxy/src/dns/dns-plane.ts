/** A data plane that also answers DNS: it takes the UDP listeners of a batch, the plane behind it everything else. */
import { randomInt } from "node:crypto";
import { isLoopback, type SocketAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import { formatError } from "@weft/core/error";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { createTcpAsk, createUdpAsk } from "@weft/net/dns/exchange";
import { type DnsSockets, serveDns } from "@weft/net/dns/serve";
import { localHosts } from "@weft/net/tcp/local-hosts";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { Stats } from "../observe/stats.ts";
import type { DataPlane, ListenerState, Rejection, ResourceChange } from "../runtime/data-plane.ts";
import { type CompiledDnsListener, compileDnsListener, isUdpListener } from "./compile-dns-listener.ts";
import { type AnswerTools, DnsAnswers, dnsCounters } from "./dns-answers.ts";
import { Forwarder } from "./forwarder.ts";
import { parseResolvConf, type ResolvConf } from "./resolv-conf.ts";

export interface DnsPlaneTools {
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly stats: Stats;
  readonly log: Logger;
  /** Throws where there is no such file. */
  readonly readText: (path: string) => string;
  /** The address may be shared with the process that this one takes over from, or that takes over from it. */
  readonly reusePort: boolean;
  /** This process takes over from another, which still has the address. */
  readonly takesOver: boolean;
}

const resolvConfPath = "/etc/resolv.conf";
/** How long what a file or the machine said is taken for what it says now. */
const freshMs = 1_000;
/** A socket that could not be had is tried for again after so long. */
const retryMs = 1_000;

const kept = <T>(clock: Clock, read: () => T): (() => T) => {
  let seen: { readonly value: T; readonly atMs: number } | undefined;
  return () => {
    if (seen === undefined || clock.nowMs() - seen.atMs >= freshMs) seen = { value: read(), atMs: clock.nowMs() };
    return seen.value;
  };
};

const isWild = (host: string): boolean => host === "0.0.0.0" || host === "::";
const plainHost = (host: string): string => host.replace(/^::ffff:/i, "");

/** One listener by name: its sockets outlive changes of its table. */
class DnsListener {
  private readonly answers: DnsAnswers;
  private readonly tools: DnsPlaneTools;
  private sockets: readonly DnsSockets[] = [];
  private key = "";
  private error: string | undefined = undefined;
  private logged: string | undefined = undefined;
  private retry: Disposable | undefined = undefined;
  bound: readonly SocketAddress[] = [];
  settled: Promise<void> = Promise.resolve();

  constructor(config: CompiledDnsListener, tools: DnsPlaneTools, answerTools: AnswerTools) {
    this.tools = tools;
    this.answers = new DnsAnswers(config, answerTools);
    this.bind();
  }

  get config(): CompiledDnsListener {
    return this.answers.config;
  }
  get summary(): ListenerState {
    const state = this.error === undefined ? "active" : "failed";
    return { name: this.config.name, address: this.bound[0], state, error: this.error, connections: 0 };
  }
  update(config: CompiledDnsListener): void {
    this.answers.config = config;
    this.bind();
  }
  close(): void {
    this.retry?.[Symbol.dispose]();
    for (const socket of this.sockets) socket.close();
    this.sockets = [];
    this.bound = [];
    this.key = "closed";
  }

  private bind(): void {
    const key = JSON.stringify(this.config.addresses);
    if (key === this.key) return;
    this.close();
    this.key = key;
    this.error = undefined;
    const { setTimer, reusePort, takesOver, log } = this.tools;
    const answer = this.answers.answer.bind(this.answers);
    const sockets = this.config.addresses.map((address) =>
      serveDns({ address, reusePort, aloneFirst: !takesOver, setTimer, answer }),
    );
    this.sockets = sockets;
    this.settled = Promise.allSettled(sockets.map(({ bound }) => bound)).then((outcomes) => {
      if (this.sockets !== sockets) return;
      const failed = outcomes.find((outcome) => outcome.status === "rejected");
      if (failed === undefined) {
        this.bound = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
        this.logged = undefined;
        return;
      }
      this.close();
      this.error = formatError(failed.reason);
      if (this.error !== this.logged) log.error("DNS cannot be answered", { code: "WF3113", error: this.error });
      this.logged = this.error;
      this.retry = setTimer(() => this.bind(), retryMs);
    });
  }
}

class DnsListeners {
  private readonly tools: DnsPlaneTools;
  private readonly answerTools: AnswerTools;
  readonly byName = new Map<string, DnsListener>();

  constructor(tools: DnsPlaneTools) {
    this.tools = tools;
    const { clock, setTimer, stats, readText } = tools;
    const machine = kept(clock, (): ResolvConf => {
      try {
        return parseResolvConf(readText(resolvConfPath));
      } catch {
        return parseResolvConf("");
      }
    });
    const hosts = kept(clock, () => new Set(localHosts()));
    const isLocal = (host: string): boolean => isLoopback(plainHost(host)) || hosts().has(plainHost(host));
    const isOwn = ({ host, port }: SocketAddress): boolean =>
      [...this.byName.values()].some(({ bound }) =>
        bound.some((own) => own.port === port && (own.host === host || isWild(host))),
      );
    const forwarder = new Forwarder({
      ...{ clock, machine, isOwn, udp: createUdpAsk(setTimer), tcp: createTcpAsk(setTimer) },
      id: () => randomInt(0x10000),
    });
    this.answerTools = { counters: dnsCounters(stats), forwarder, isLocal, search: () => machine().search };
    stats.collect(() => this.gauges(forwarder));
  }

  private *gauges(forwarder: Forwarder): Generator<readonly [string, number, "gauge"]> {
    if (this.byName.size === 0) return;
    yield ["dns.in_flight", forwarder.inFlight, "gauge"];
    const names = [...this.byName.values()].reduce((sum, { config }) => sum + config.table.size, 0);
    yield ["dns.names", names, "gauge"];
  }

  put(config: CompiledDnsListener): void {
    const known = this.byName.get(config.name);
    if (known !== undefined) known.update(config);
    else this.byName.set(config.name, new DnsListener(config, this.tools, this.answerTools));
  }
  remove(name: string): void {
    this.byName.get(name)?.close();
    this.byName.delete(name);
  }
  close(): void {
    for (const name of [...this.byName.keys()]) this.remove(name);
  }
}

/** What was judged is not compiled again to be put in force. */
const compiledOf = new WeakMap<ListenerJson, CompiledDnsListener>();

const compile = (name: string, json: ListenerJson): CompiledDnsListener | Rejection => {
  try {
    const compiled = compiledOf.get(json) ?? compileDnsListener(json);
    compiledOf.set(json, compiled);
    return compiled;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: "listener", name, reason: error.message };
  }
};

/** The Listener of a change that puts one for UDP. */
const udpListenerOf = (change: ResourceChange): ListenerJson | undefined =>
  change.kind === "listener" && isUdpListener(change.json) ? change.json : undefined;

/**
 * Names are looked up on the main thread, however many others serve: an answer is a few microseconds. The listeners of
 * the plane behind and these are one list to whoever asks.
 */
export const withDns = (plane: DataPlane, tools: DnsPlaneTools): DataPlane => {
  const listeners = new DnsListeners(tools);
  const applyDns = (name: string, json: ListenerJson): Rejection | undefined => {
    const compiled = compile(name, json);
    if ("reason" in compiled) return compiled;
    listeners.put(compiled);
    return undefined;
  };
  return {
    apply: (changes) => {
      const rejections: Rejection[] = [];
      const others: ResourceChange[] = [];
      for (const change of changes) {
        const json = udpListenerOf(change);
        if (json === undefined) {
          if (change.kind === "listener") listeners.remove(change.name);
          others.push(change);
          continue;
        }
        const rejection = applyDns(change.name, json);
        if (rejection !== undefined) rejections.push(rejection);
        // One of that name that takes connections is not there any more.
        else if (plane.listeners().some(({ name }) => name === change.name))
          others.push({ kind: "listener", name: change.name, json: undefined });
      }
      return others.length === 0 ? rejections : [...rejections, ...plane.apply(others)];
    },
    check: (change) => {
      const json = udpListenerOf(change);
      if (json === undefined) return plane.check(change);
      const compiled = compile(change.name, json);
      return "reason" in compiled ? compiled : undefined;
    },
    listeners: () => [...plane.listeners(), ...[...listeners.byName.values()].map(({ summary }) => summary)],
    clusters: () => plane.clusters(),
    reopenLogs: () => plane.reopenLogs(),
    inForce: () => plane.inForce(),
    judgeAhead: (changes) => plane.judgeAhead?.(changes),
    checkAhead: (...of) => plane.checkAhead?.(...of),
    settled: async () => {
      await Promise.all([plane.settled(), ...[...listeners.byName.values()].map(({ settled }) => settled)]);
    },
    drain: (timeoutMs, scope) => {
      // Whoever takes over has the same address: from now on all questions are for that one.
      if (scope === undefined && tools.reusePort) listeners.close();
      return plane.drain(timeoutMs, scope);
    },
    discourage: (why) => plane.discourage(why),
    close: () => {
      listeners.close();
      return plane.close();
    },
  };
};
