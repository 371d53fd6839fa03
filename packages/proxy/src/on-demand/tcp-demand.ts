import type { TcpProxy_OnDemandJson } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { durationMs, member, refuseOthers } from "../compile/fields.ts";
import type { Stats } from "../observe/stats.ts";
import { type OnDemand, requireOnDemand } from "./on-demand.ts";

/**
 * Asks for a cluster that is not here, for a connection that is then to go on. `undefined`: there is nothing to wait
 * for, because it is here or because too many wait.
 */
export type AwaitCluster = (cluster: string, goOn: () => void) => Disposable | undefined;

export interface TcpDemandTools {
  readonly onDemand?: OnDemand | undefined;
  readonly stats: Pick<Stats, "counter">;
  readonly isCluster: (name: string) => boolean;
}

/** Envoy's wait for a connection's cluster where none is set. */
const defaultTimeoutMs = 60_000;

/** `prefix` stands before its counters: `tcp.NAME`. */
export const compileTcpDemand = (
  json: TcpProxy_OnDemandJson | undefined,
  at: string,
  { onDemand: given, stats, isCluster }: TcpDemandTools,
  prefix: string,
): AwaitCluster | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "TcpOnDemand", at, ["odcdsConfig", "timeout"]);
  const timeoutMs = durationMs(json.timeout, member(at, "timeout")) ?? defaultTimeoutMs;
  if (!json.odcdsConfig) return undefined;
  const onDemand = requireOnDemand(given, at);
  const source = onDemand.source(json.odcdsConfig, member(at, "odcdsConfig"));
  const { clusters } = onDemand;
  const counter = (name: string) => stats.counter(`${prefix}.on_demand_cluster_${name}`);
  const attempts = counter("attempt");
  const ended = { found: counter("success"), missing: counter("missing"), timeout: counter("timeout") };
  return (name, goOn) => {
    if (name === "" || (isCluster(name) && !clusters.awaits(name))) return undefined;
    attempts.add(1);
    return clusters.ask({ source, name, timeoutMs }, (outcome) => {
      if (outcome !== "refused") ended[outcome].add(1);
      goOn();
    });
  };
};
