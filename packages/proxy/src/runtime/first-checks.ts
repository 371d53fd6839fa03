/**
 * Checks the hosts of clusters that are not in force yet, in tables apart: nothing of it is seen, counted or picked. What
 * was found goes over to the cluster when it is put in force.
 */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type { HealthCheckerTools } from "../health-checks/health-checker.ts";
import { ClusterTable, type ClusterTableTools } from "./cluster-table.ts";

/** The first checks of the hosts of one cluster. Disposed of, it checks no more. */
export interface FirstRound extends Disposable {
  /** Its endpoints are these now; of a cluster that has them from EDS. */
  setEndpoints(json: ClusterLoadAssignmentJson | undefined): void;
  /** Each host was checked once, whatever came of it. */
  readonly over: boolean;
}

export interface FirstChecks {
  /** `onOver` is called when a round that was not over at once is; more hosts may keep it from being so. */
  begin(json: ClusterJson, endpoints: ClusterLoadAssignmentJson | undefined, onOver: () => void): FirstRound;
  /** What the names of the cluster were found to be, while its round is not disposed of. */
  resolved(cluster: string): ReadonlyMap<string, readonly string[]> | undefined;
  /** What was found of that host of the cluster, as `checkFlags`, while its round is not disposed of. */
  found(cluster: string, address: string): number | undefined;
  close(): void;
}

type FirstChecksTools = Omit<ClusterTableTools, "checks"> & { readonly checks: () => HealthCheckerTools };

export const createFirstChecks = (tools: FirstChecksTools): FirstChecks => {
  const { clock, random, wheel, log, resolve, stats, checks } = tools;
  const rounds = new Map<string, ClusterTable>();

  const begin: FirstChecks["begin"] = (json, endpoints, onOver) => {
    const name = json.name ?? "";
    const service = json.edsClusterConfig?.serviceName || name;
    const onFirst = (): void => {
      if (rounds.get(name) === table && table.isFirstRoundOver(name)) onOver();
    };
    const table = new ClusterTable({
      ...{ clock, random, wheel, log, resolve, stats },
      checks: () => ({ ...checks(), onFirst }),
      onAnswered: onFirst,
    });
    rounds.get(name)?.close();
    rounds.set(name, table);
    table.setEndpoints(service, endpoints);
    table.prepare(name, json)();
    return {
      setEndpoints: (next) => table.setEndpoints(service, next),
      get over() {
        return table.isFirstRoundOver(name);
      },
      [Symbol.dispose]: () => {
        table.close();
        if (rounds.get(name) === table) rounds.delete(name);
      },
    };
  };

  return {
    begin,
    resolved: (cluster) => rounds.get(cluster)?.get(cluster)?.discovered.resolved,
    found: (cluster, address) =>
      rounds
        .get(cluster)
        ?.get(cluster)
        ?.hosts()
        .find((host) => host.address === address)?.counts.checked,
    close: () => {
      for (const table of rounds.values()) table.close();
      rounds.clear();
    },
  };
};
