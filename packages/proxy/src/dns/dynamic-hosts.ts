/** Hosts by the names that requests ask for: resolved when first asked for, kept resolved while somebody asks. */
import { formatAddress, parseAddress, type SocketAddress } from "@weft/core/address";
import type { Clock, Random } from "@weft/core/world";
import type { DynamicNames } from "../clusters/cluster.ts";
import { localHostCounts } from "../clusters/counts.ts";
import { targetAddress } from "../clusters/endpoints.ts";
import type { Host, HostTarget } from "../clusters/host.ts";
import { createHost, type MovableHost } from "../clusters/host-set.ts";
import type { HostTable } from "../clusters/host-table.ts";
import { isIp } from "../matching/cidr.ts";
import type { DnsCacheCounters } from "./dns-cache-counters.ts";
import { nextAfterFailure, nextAfterSuccess } from "./keep-resolved.ts";
import type { FoundAddress, ResolveName } from "./resolve-name.ts";

/** Why a name gives no host. */
export type NoHost = "unresolved" | "tooManyHosts" | "tooManyWaiting";

/** Told when a name that had to be waited for has a host, or has none. */
export type OnDynamicHost = (found: Host | NoHost) => void;

export interface DynamicHosts {
  /** The host for `host[:port]`, or why there is none; `undefined`: `onFound` will be told. */
  readonly find: (name: string, defaultPort: number, onFound: OnDynamicHost) => Host | NoHost | undefined;
  /** Asks again for what is due and drops hosts that nobody asked for; gives those back for draining. */
  readonly tick: (nowMs: number) => readonly Host[];
  readonly deadlineMs: () => number;
  /** Nobody is told any more. */
  readonly close: () => void;
}

export interface DynamicHostsTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly resolve: ResolveName;
  readonly counters: DnsCacheCounters;
  /** The cluster's own table; its keys are names here. */
  readonly table: HostTable;
}

interface Entry {
  readonly key: string;
  readonly target: SocketAddress;
  host: MovableHost | undefined;
  /** Whether an answer has come, a good one or not. */
  answered: boolean;
  asking: boolean;
  failures: number;
  usedMs: number;
  /** Counts questions: an answer to one that is not waited for any more is none. */
  question: number;
  /** When to ask again. */
  staleMs: number;
  /** When to look at it again: to ask, to see whether anybody still wants it, or to give a question up. */
  dueMs: number;
  waiting: OnDynamicHost[];
}

/** How long after its time a name that nobody asked for is looked at. */
const unusedMarginMs = 1_000;

const nowhere = { region: "", zone: "", subZone: "" };

const newHost = (target: HostTarget, addresses: readonly HostTarget[] | undefined, hostname: string): MovableHost =>
  createHost(
    {
      target,
      addresses,
      unresolved: false,
      weight: 1,
      priority: 0,
      locality: nowhere,
      metadata: {},
      health: "healthy",
      hostname,
    },
    localHostCounts,
  );

/** The name's parts; an IPv6 address may stand without a port in its brackets. */
const targetOf = (name: string, defaultPort: number): SocketAddress | undefined => {
  const given = parseAddress(name);
  if (given !== undefined) return { host: given.host.toLowerCase(), port: given.port };
  const bare = /^\[([^\]]+)\]$/.exec(name)?.[1] ?? name;
  if (bare === "" || (bare.includes(":") && !isIp(bare)) || bare.length > 255) return undefined;
  return { host: bare.toLowerCase(), port: defaultPort };
};

class Names implements DynamicHosts {
  private readonly settings: DynamicNames;
  private readonly tools: DynamicHostsTools;
  private readonly entries = new Map<string, Entry>();
  private waitingCount = 0;
  private closed = false;

  constructor(settings: DynamicNames, tools: DynamicHostsTools) {
    this.settings = settings;
    this.tools = tools;
    for (const { host, port } of settings.early) this.add({ host: host.toLowerCase(), port: port || 443 });
  }

  readonly find = (name: string, defaultPort: number, onFound: OnDynamicHost): Host | NoHost | undefined => {
    const target = targetOf(name, defaultPort);
    if (target === undefined) return "unresolved";
    const { counters, clock } = this.tools;
    let entry = this.entries.get(formatAddress(target));
    if (this.closed) return entry?.host ?? "unresolved";
    if (entry === undefined) {
      if (this.entries.size >= this.settings.hostsMax) {
        counters.hostOverflow.add(1);
        return "tooManyHosts";
      }
      if (this.waitingCount >= this.settings.pendingMax) return this.refuse();
      entry = this.add(target);
    }
    entry.usedMs = clock.nowMs();
    if (entry.host !== undefined) return entry.host;
    if (entry.answered) return "unresolved";
    if (this.waitingCount >= this.settings.pendingMax) return this.refuse();
    this.waitingCount++;
    entry.waiting.push(onFound);
    return undefined;
  };

  readonly tick = (nowMs: number): readonly Host[] => {
    const removed: Host[] = [];
    for (const entry of this.entries.values()) {
      if (entry.dueMs > nowMs) continue;
      if (entry.asking) this.giveUp(entry);
      else if (nowMs - entry.usedMs <= this.settings.hostTtlMs || (entry.host?.activeRequests ?? 0) > 0) {
        if (entry.staleMs <= nowMs) void this.ask(entry);
        else this.lookAgain(entry);
      } else {
        this.entries.delete(entry.key);
        this.tools.counters.hostRemoved.add(1);
        if (entry.host !== undefined) removed.push(this.drop(entry.host, entry.key));
      }
    }
    if (removed.length > 0) this.tools.table.changed();
    this.tools.counters.hosts.set(this.entries.size);
    return removed;
  };

  readonly deadlineMs = (): number => {
    let next = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.entries.values()) if (dueMs < next) next = dueMs;
    return next;
  };

  readonly close = (): void => {
    this.closed = true;
    for (const entry of this.entries.values()) this.tell(entry, "unresolved");
    this.tools.counters.hosts.set(0);
  };

  private refuse(): NoHost {
    this.tools.counters.pendingOverflow.add(1);
    return "tooManyWaiting";
  }

  private add(target: SocketAddress): Entry {
    const { counters, clock } = this.tools;
    const key = formatAddress(target);
    const entry: Entry = {
      ...{ key, target, host: undefined, answered: false, asking: false, failures: 0, waiting: [] },
      ...{ usedMs: clock.nowMs(), question: 0, staleMs: 0, dueMs: Number.POSITIVE_INFINITY },
    };
    this.entries.set(key, entry);
    counters.hostAdded.add(1);
    counters.hosts.set(this.entries.size);
    void this.ask(entry);
    return entry;
  }

  private async ask(entry: Entry): Promise<void> {
    const { counters, clock, resolve } = this.tools;
    const { refresh, queryTimeoutMs } = this.settings;
    if (entry.asking) return;
    // An address needs no answer, and whoever asks for it no wait.
    if (isIp(entry.target.host)) {
      this.take(entry, [{ address: entry.target.host, ttl: 0 }]);
      entry.staleMs = clock.nowMs() + refresh.refreshMs;
      this.lookAgain(entry);
      return;
    }
    entry.asking = true;
    entry.dueMs = queryTimeoutMs > 0 ? clock.nowMs() + queryTimeoutMs : Number.POSITIVE_INFINITY;
    const question = ++entry.question;
    counters.attempts.add(1);
    let found: readonly FoundAddress[] | undefined;
    try {
      const { family, resolver } = refresh;
      found = await resolve({ name: entry.target.host, family, resolver: this.bounded(resolver) });
    } catch {
      // Nobody knows the name, or nobody could be asked: both count as a failure.
    }
    if (question === entry.question) this.answered(entry, found);
  }

  /** All servers together have so long: whoever waits is told, and an answer that comes later is not heard. */
  private giveUp(entry: Entry): void {
    entry.question++;
    this.tools.counters.timeouts.add(1);
    this.answered(entry, undefined);
  }

  private answered(entry: Entry, found: readonly FoundAddress[] | undefined): void {
    const { counters, clock, random } = this.tools;
    const { refresh } = this.settings;
    let nextMs: number;
    if (found === undefined) {
      counters.failures.add(1);
      nextMs = nextAfterFailure(refresh, ++entry.failures, random);
    } else {
      entry.failures = 0;
      counters.successes.add(1);
      nextMs = nextAfterSuccess(refresh, found, random);
      if (!this.closed) this.take(entry, found);
    }
    entry.asking = false;
    entry.answered = true;
    if (this.closed) return;
    entry.staleMs = clock.nowMs() + nextMs;
    this.lookAgain(entry);
    this.tell(entry, entry.host ?? "unresolved");
  }

  /** A server that lets an answer be kept for years does not have a name kept that nobody asks for. */
  private lookAgain(entry: Entry): void {
    const { hostTtlMs } = this.settings;
    const unusedMs = Math.max(entry.usedMs, this.tools.clock.nowMs() - hostTtlMs) + hostTtlMs + unusedMarginMs;
    entry.dueMs = Math.min(entry.staleMs, unusedMs);
  }

  private bounded(resolver: DynamicNames["refresh"]["resolver"]): DynamicNames["refresh"]["resolver"] {
    const { queryTimeoutMs } = this.settings;
    if (queryTimeoutMs === 0) return resolver;
    return { ...resolver, timeoutMs: resolver.timeoutMs ?? queryTimeoutMs, attempts: resolver.attempts ?? 1 };
  }

  /**
   * The first address is the host's; a name that had one keeps it where there is none now. As in Envoy a host that moves
   * is the same host: its connections serve on, and new ones go where it is now.
   */
  private take(entry: Entry, found: readonly FoundAddress[]): void {
    const { table, counters } = this.tools;
    const [first] = found;
    if (first === undefined || !this.entries.has(entry.key)) return;
    const { host, port } = entry.target;
    const targets = found.map(({ address }): HostTarget => ({ kind: "ip", host: address, port }));
    const addresses = targets.length > 1 ? targets : undefined;
    const target: HostTarget = { kind: "ip", host: first.address, port };
    if (entry.host?.address !== targetAddress(target)) counters.addressChanged.add(1);
    if (entry.host !== undefined) {
      entry.host.moveTo(target, addresses);
      return;
    }
    entry.host = newHost(target, addresses, host);
    table.byAddress().set(entry.key, entry.host);
    table.changed();
  }

  private drop(host: Host, key: string): Host {
    host.removed = true;
    this.tools.table.byAddress().delete(key);
    return host;
  }

  private tell(entry: Entry, found: Host | NoHost): void {
    const { waiting } = entry;
    entry.waiting = [];
    this.waitingCount -= waiting.length;
    for (const each of waiting) each(found);
  }
}

export const createDynamicHosts = (settings: DynamicNames, tools: DynamicHostsTools): DynamicHosts =>
  new Names(settings, tools);
