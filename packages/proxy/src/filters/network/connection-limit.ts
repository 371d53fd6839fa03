/** Refuses connections beyond a number. */
import { ConfigError } from "@weft/core/config-error";
import type { ConnectionLimitJson } from "@weft/xds/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit";
import { breakers } from "../../clusters/circuit-load.ts";
import { type ClusterCounts, type CountsSource, localCounts } from "../../clusters/counts.ts";
import { durationMs, refuseOthers, required, unsigned } from "../../compile/fields.ts";
import type { Stats } from "../../observe/stats.ts";
import type { AllowConnection, ConnectionVerdict } from "./rbac.ts";

export const connectionLimitType = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";

interface Held {
  readonly counts: ClusterCounts;
  /** Connections of this thread. */
  own: number;
}

/** How many connections each limit has let in, on all threads; a limit whose configuration changes keeps its count. */
export class ConnectionSlots {
  private readonly source: CountsSource;
  private readonly held = new Map<string, Held>();

  constructor(source: CountsSource = localCounts) {
    this.source = source;
  }

  /** Counts one more connection under that name; false where there are `max` already, and it counts all the same. */
  enter(name: string, max: number): boolean {
    let held = this.held.get(name);
    if (held === undefined) {
      held = { counts: this.source(`connection limit ${name}`), own: 0 };
      this.held.set(name, held);
    }
    held.own++;
    const { load } = held.counts;
    if (load.take(breakers.connections, max)) return true;
    load.force(breakers.connections);
    return false;
  }
  leave(name: string): void {
    const held = this.held.get(name);
    if (held === undefined) return;
    held.counts.load.give(breakers.connections);
    if (--held.own > 0) return;
    this.held.delete(name);
    held.counts.release();
  }
  /** Whether one more would be let in; of a limit without connections of this thread it is not known, and taken for so. */
  hasRoom(name: string, max: number): boolean {
    const held = this.held.get(name);
    return held === undefined || held.counts.load.connections < max;
  }
}

export interface ConnectionLimitTools {
  readonly stats: Pick<Stats, "counter" | "gauge">;
  readonly slots: ConnectionSlots;
  /** Tells this limit from all others of the proxy. */
  readonly name: string;
}

const passed: ConnectionVerdict = { allowed: true, details: "" };

/**
 * Compiles the network filter; throws ConfigError for what it would not honour. As in Envoy a connection that is refused
 * later rather than at once counts until it is closed, in the gauge and against the limit.
 */
export const compileConnectionLimit = (
  json: ConnectionLimitJson,
): ((tools: ConnectionLimitTools) => AllowConnection) => {
  refuseOthers(json, "ConnectionLimit", "", ["statPrefix", "maxConnections", "delay", "runtimeEnabled"]);
  const prefix = `connection_limit.${required(json.statPrefix, "statPrefix").replace(/\.$/, "")}`;
  const max = unsigned(required(json.maxConnections ?? undefined, "maxConnections"), "maxConnections") ?? 0;
  if (max < 1) throw new ConfigError("maxConnections", "must be at least 1");
  const closeAfterMs = durationMs(json.delay, "delay") ?? 0;
  refuseOthers(json.runtimeEnabled ?? {}, "RuntimeFeatureFlag", "runtimeEnabled", ["defaultValue", "runtimeKey"]);
  // There is no runtime layer: the default value always holds, and without one it is on.
  if (json.runtimeEnabled?.defaultValue === false) return () => () => passed;
  const refused: ConnectionVerdict = { allowed: false, details: "over_connection_limit", closeAfterMs };
  return ({ stats, slots, name }) => {
    const active = stats.gauge(`${prefix}.active_connections`);
    const limited = stats.counter(`${prefix}.limited_connections`);
    return ({ ties }, uncounted = false) => {
      if (uncounted) return slots.hasRoom(name, max) ? passed : refused;
      const entered = slots.enter(name, max);
      active.add(1);
      if (!entered) limited.add(1);
      const leave = (): void => {
        active.add(-1);
        slots.leave(name);
      };
      if (ties === undefined) leave();
      else ties.onGone(leave);
      return entered ? passed : refused;
    };
  };
};
