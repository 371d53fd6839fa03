/** Route tables that get virtual hosts as requests ask for them: the table as it was given, with those that came. */
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

export class LearnedHosts {
  private readonly store: Pick<ResourceStore, "offer" | "offerHost" | "entries">;
  private readonly demands: Demands;
  private readonly tables = new Map<string, Table>();

  constructor(store: Pick<ResourceStore, "offer" | "offerHost" | "entries">, demands: Demands) {
    this.store = store;
    this.demands = demands;
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
    return changes.flatMap((change) => this.takeHost(source, change) ?? []);
  }

  /** Gives up what was learned for tables that are no more. */
  prune(): void {
    for (const name of this.tables.keys()) if (!this.store.entries("route").has(name)) this.forget(name);
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
    const reason = this.put(table, name, { json, names });
    if (reason !== undefined) return { name, reason };
    for (const one of names) this.demands.found(one);
    return undefined;
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
