/** Route tables that get virtual hosts as requests ask for them: the table as it was given, with those that came. */
import { sameValue } from "@weft/core/equal";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { ResourceOffer, ResourceStore } from "../discovery/resource-store.ts";
import type { Rejection } from "../runtime/data-plane.ts";
import type { Demands } from "./demands.ts";

export interface HostOffer {
  /** `TABLE/…`. */
  readonly name: string;
  /** By one of these it may have been asked for. */
  readonly aliases?: readonly string[];
  /** Absent: there is none by that name, or none any more. */
  readonly json: VirtualHostJson | undefined;
}

interface Refusal {
  readonly name: string;
  readonly reason: string;
}

interface Learned {
  readonly json: VirtualHostJson;
  readonly names: readonly string[];
}

export interface LearnedHost {
  readonly source: string;
  readonly name: string;
  readonly aliases: readonly string[];
  readonly json: VirtualHostJson;
}

interface Table {
  readonly source: string;
  readonly given: ResourceOffer;
  readonly learned: Map<string, Learned>;
}

/** The name of the table that a virtual host is of. */
const tableOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")));

const compose = ({ given }: Table, learned: Table["learned"]): ResourceOffer => {
  const json = given.json as RouteConfigurationJson;
  if (learned.size === 0) return given;
  const virtualHosts = [...(json.virtualHosts ?? []), ...learned.values().map((host) => host.json)];
  return { ...given, json: { ...json, virtualHosts } };
};

const everyText = (json: unknown, holds: (text: string) => boolean): boolean => {
  if (typeof json === "string") return holds(json);
  if (typeof json !== "object" || json === null) return true;
  return Object.values(json).every((value) => everyText(value, holds));
};

export class LearnedHosts {
  private readonly store: Pick<ResourceStore, "offer" | "offerHost" | "entries">;
  private readonly demands: Demands;
  private readonly tables = new Map<string, Table>();
  /** In force, with clusters that cannot be used yet: whoever waits goes on waiting. By their first name. */
  private readonly early = new Map<string, Learned>();
  private readonly unwarmed: () => Iterable<string>;

  constructor(
    store: Pick<ResourceStore, "offer" | "offerHost" | "entries">,
    demands: Demands,
    unwarmed: () => Iterable<string> = () => [],
  ) {
    this.store = store;
    this.demands = demands;
    this.unwarmed = unwarmed;
  }

  /** Tells those that wait for hosts whose clusters can be used by now. */
  settle(): void {
    for (const [name, { json, names }] of this.early) {
      if (!this.isReady(json)) continue;
      this.early.delete(name);
      for (const one of names) this.demands.found(one);
    }
  }

  /** Takes route tables as the store does; those that ask for virtual hosts keep what they have learned. */
  offerTables(source: string, changes: readonly ResourceOffer[]): readonly Rejection[] {
    const before = new Map(changes.map(({ name }) => [name, this.tables.get(name)]));
    const offers = changes.map((change) => {
      const json = change.json as RouteConfigurationJson | undefined;
      if (json?.vhds === undefined) return change;
      const table: Table = { source, given: change, learned: this.tables.get(change.name)?.learned ?? new Map() };
      this.tables.set(change.name, table);
      return compose(table, table.learned);
    });
    const rejections = this.store.offer(source, "route", offers);
    const refused = new Set(rejections.map(({ name }) => name));
    for (const { name, json } of changes) {
      const former = before.get(name);
      const asks = (json as RouteConfigurationJson | undefined)?.vhds !== undefined;
      if (!refused.has(name)) {
        if (!asks && json !== undefined) this.forget(name);
      } else if (former) this.tables.set(name, former);
      else this.tables.delete(name);
    }
    return rejections;
  }

  /** Takes virtual hosts; each is put in force with its table, or refused by itself. */
  offerHosts(source: string, changes: readonly HostOffer[]): readonly Refusal[] {
    for (const change of changes) if (change.json === undefined) this.takeHost(source, change);
    const isRefused = (change: HostOffer): boolean => this.takeHost(source, change) !== undefined;
    const refused = changes.filter((change) => change.json !== undefined && isRefused(change));
    // What it asks for may have been another's, who has given it up in the same response.
    return refused.flatMap((change) => this.takeHost(source, change) ?? []);
  }

  /** Gives up what was learned for tables that are no more. */
  prune(): void {
    for (const name of this.tables.keys()) if (!this.store.entries("route").has(name)) this.forget(name);
    for (const name of this.early.keys()) if (!this.isLearned(name)) this.early.delete(name);
    this.settle();
  }

  /** The table as it was given, where it is one that gets virtual hosts one by one. */
  given(name: string): ResourceOffer | undefined {
    return this.tables.get(name)?.given;
  }

  /** The virtual host that came by that name, or one of its aliases. */
  host(name: string): VirtualHostJson | undefined {
    const learned = this.tables.get(tableOf(name))?.learned;
    return (learned?.get(name) ?? learned?.values().find(({ names }) => names.includes(name)))?.json;
  }

  isLearned(name: string): boolean {
    return this.tables.get(tableOf(name))?.learned.has(name) === true;
  }

  /** All that came. */
  *hosts(): Generator<LearnedHost> {
    for (const { source, learned } of this.tables.values())
      for (const [name, { json, names }] of learned) yield { source, name, aliases: names.slice(1), json };
  }

  /** Nobody asks for that name any more: the host goes that came by it, unless it is asked for by another. */
  release(source: string, name: string): void {
    this.demands.release(source, name);
    const table = this.tables.get(tableOf(name));
    for (const [own, { names }] of table?.learned ?? [])
      if (table && names.includes(name) && !names.some((one) => this.demands.has(source, one)))
        this.put(table, own, undefined);
  }

  private takeHost(source: string, { name, aliases = [], json }: HostOffer): Refusal | undefined {
    const names = [name, ...aliases];
    const table = this.tables.get(tableOf(name));
    if (json === undefined) {
      const gone = table?.learned.get(name);
      if (table && gone) this.put(table, name, undefined);
      for (const one of gone?.names ?? names) this.demands.missing(source, one);
      return undefined;
    }
    if (!table) return { name, reason: `there is no route table "${tableOf(name)}" that asks for virtual hosts` };
    const known = table.learned.get(name);
    // Another name for a host that is here changes nothing of its routes.
    if (known && known.names.length !== names.length && sameValue(known.json, json))
      table.learned.set(name, { json: known.json, names });
    else {
      const reason = this.put(table, name, { json, names });
      if (reason !== undefined) return { name, reason };
    }
    if (!this.isReady(json)) this.early.set(name, { json, names });
    else for (const one of names) this.demands.found(one);
    return undefined;
  }

  private isReady(json: VirtualHostJson): boolean {
    const unready = new Set(this.unwarmed());
    for (const [name, { active }] of this.store.entries("cluster")) if (active === undefined) unready.add(name);
    return unready.size === 0 || everyText(json.routes, (text) => !unready.has(text));
  }

  /** Puts the host in force, or takes it out, or says why not. */
  private put(table: Table, name: string, host: Learned | undefined): string | undefined {
    const former = table.learned.get(name);
    if (host) table.learned.set(name, host);
    else table.learned.delete(name);
    const change = { name, table: table.given.name, replaces: former?.json.name, json: host?.json };
    const whole = compose(table, table.learned).json as RouteConfigurationJson;
    const rejection = this.store.offerHost(table.source, { kind: "virtualHost", ...change }, whole);
    if (!rejection) return undefined;
    // What is in force is what it was.
    if (former) table.learned.set(name, former);
    else table.learned.delete(name);
    return rejection.reason;
  }

  private forget(table: string): void {
    this.tables.delete(table);
    for (const key of this.demands.sources()) this.demands.drop(key, (name) => tableOf(name) === table);
  }
}
