import { ConfigError } from "@weft/core/config-error";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RouteSource } from "../http/hcm-settings.ts";
import type { RouteTable } from "../routing/route.ts";
import { compileRouteTable, compileRouteTableInSteps, type RouteTools } from "../routing/route-table.ts";
import type { LearnedHostChange, ResourceChange } from "./data-plane.ts";

/** The route tables by name, of which some may be asked for before they are given. */
export class RouteSources {
  private readonly sources = new Map<string, RouteSource>();
  /** A resource is judged before it is put in force: a large table takes a quarter of a second, and once is enough. */
  private readonly compiled = new WeakMap<RouteConfigurationJson, RouteTable>();

  /** Where the table of that name is, now and after every change. */
  of(name: string): RouteSource {
    let source = this.sources.get(name);
    if (source === undefined) {
      source = { table: undefined };
      this.sources.set(name, source);
    }
    return source;
  }

  /** Compiles the table step by step, for `prepare` to find. What is wrong with it is left for `prepare` to say. */
  *ahead(json: RouteConfigurationJson, tools: RouteTools): Generator<undefined, void> {
    if (this.compiled.has(json)) return;
    try {
      this.compiled.set(json, yield* compileRouteTableInSteps(json, tools));
    } catch {
      return;
    }
  }

  /**
   * Compiles a virtual host for its table: the one of `given` where it comes with it, or else the one in force. What it
   * gives back changes that table.
   */
  prepareHost(
    { table: name, replaces, json }: LearnedHostChange,
    given: RouteConfigurationJson | undefined,
    tools: RouteTools,
  ): () => void {
    const table = (given && this.compiled.get(given)) ?? this.sources.get(name)?.table;
    if (table?.learn === undefined) throw new ConfigError("", `there is no route table "${name}" that asks for hosts`);
    return table.learn({ replaces, json }, tools);
  }

  /** Compiles the table, unless this very JSON was compiled before; what it gives back puts it in force. */
  prepare(name: string, json: RouteConfigurationJson | undefined, tools: RouteTools): () => void {
    const table = json && (this.compiled.get(json) ?? compileRouteTable(json, tools));
    if (json && table) this.compiled.set(json, table);
    return () => {
      this.of(name).table = table;
    };
  }
}

/** Tables by name. */
export type RouteTables = ReadonlyMap<string, RouteConfigurationJson>;

/** Those that a batch brings, where it brings virtual hosts besides. */
export const tablesIn = (changes: readonly ResourceChange[]): RouteTables | undefined => {
  if (!changes.some(({ kind }) => kind === "virtualHost")) return undefined;
  return new Map(changes.flatMap(({ kind, name, json }) => (kind === "route" && json ? [[name, json]] : [])));
};
