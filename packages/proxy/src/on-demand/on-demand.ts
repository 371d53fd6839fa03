/** What is fetched only when a request asks for it: clusters (ODCDS) and virtual hosts (VHDS). */
import { ConfigError } from "@weft/core/config-error";
import type { SetTimer } from "@weft/core/world";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ConfigSourceJson } from "@weft/xds/gen/envoy/config/core/v3/config_source";
import type { VhdsJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { OnDemandCdsJson } from "@weft/xds/gen/envoy/extensions/filters/http/on_demand/v3/on_demand";
import { type ReferenceSource, sourceOf } from "@weft/xds/references";
import type { Bootstrap } from "../bootstrap/bootstrap.ts";
import { isAds, readXdsServer, type XdsServer } from "../bootstrap/xds-server.ts";
import { durationMs, member, refuseOthers } from "../compile/fields.ts";
import type { Stats } from "../observe/stats.ts";
import { type Asking, Demands } from "./demands.ts";

export type DemandedKind = "cluster" | "virtualHost";

/** For those who ask. */
export interface OnDemand {
  readonly clusters: Asking;
  /** By `TABLE/HOST`. */
  readonly hosts: Asking;
  /** Reads where something is to be fetched from; throws ConfigError where it cannot be fetched from there. */
  readonly source: (config: ConfigSourceJson | undefined, at: string) => ReferenceSource;
}

/** For those who fetch. */
export interface OnDemandDesk extends OnDemand {
  readonly clusters: Demands;
  readonly hosts: Demands;
  /** How a server of its own is reached, where `source` has read it. */
  readonly server: (cluster: string) => XdsServer | undefined;
}

/** Where something unknown is fetched from, and how long is waited for it. */
export interface DemandSettings {
  readonly source: ReferenceSource;
  readonly timeoutMs: number;
}

type Servers = Pick<Bootstrap, "ads" | "clusters">;

/** There is one for the process, on its main thread; workers ask it. */
export const createOnDemand = (
  bootstrap: Servers,
  setTimer: SetTimer,
  stats: Pick<Stats, "counter">,
  namesMax?: number,
): OnDemandDesk => {
  const demands = (prefix: string): Demands => {
    const counter = (name: string) => stats.counter(`${prefix}.on_demand_${name}`);
    const counters = {
      asked: counter("asked"),
      found: counter("found"),
      missing: counter("missing"),
      timeout: counter("timeout"),
      waitingOverflow: counter("waiting_overflow"),
      namesOverflow: counter("names_overflow"),
    };
    return new Demands(setTimer, counters, namesMax);
  };
  const known = new Map(bootstrap.clusters.map((cluster): [string, ClusterJson] => [cluster.name ?? "", cluster]));
  const servers = new Map<string, XdsServer>();
  return {
    clusters: demands("cluster_manager.odcds"),
    hosts: demands("http.vhds"),
    server: (cluster) => servers.get(cluster),
    source: (config, at) => {
      if (isAds(config)) {
        if (!bootstrap.ads) throw new ConfigError(at, "needs dynamic_resources.ads_config");
        if (bootstrap.ads.form !== "delta") throw new ConfigError(at, "needs an ads_config of api_type DELTA_GRPC");
        return { kind: "ads" };
      }
      const source = sourceOf(config);
      const api = config?.apiConfigSource;
      if (source?.kind !== "api" || api?.apiType !== "DELTA_GRPC")
        throw new ConfigError(at, "must be ads, or an api_config_source of api_type DELTA_GRPC with envoy_grpc");
      servers.set(source.cluster, readXdsServer(api, known, member(at, "apiConfigSource")));
      return source;
    },
  };
};

/** Envoy's wait for a cluster where none is set. */
const clusterTimeoutMs = 5_000;
/** A virtual host is waited for as long as any first answer is, for which this is Envoy's default. */
const hostTimeoutMs = 15_000;

/** Where nothing can be fetched it is said so when the configuration comes, not when a request does. */
export const requireOnDemand = (onDemand: OnDemand | undefined, at: string): OnDemand => {
  if (onDemand === undefined) throw new ConfigError(at, "nothing is fetched on demand here");
  return onDemand;
};

export const compileOdcds = (json: OnDemandCdsJson, at: string, onDemand: OnDemand | undefined): DemandSettings => {
  refuseOthers(json, "OnDemandCds", at, ["source", "timeout"]);
  const source = requireOnDemand(onDemand, at).source(json.source, member(at, "source"));
  return { source, timeoutMs: durationMs(json.timeout, member(at, "timeout")) ?? clusterTimeoutMs };
};

export const compileVhds = (json: VhdsJson, at: string, onDemand: OnDemand | undefined): DemandSettings => {
  const { configSource } = json;
  const source = requireOnDemand(onDemand, at).source(configSource, member(at, "configSource"));
  const field = member(at, "configSource.initialFetchTimeout");
  const timeoutMs = durationMs(configSource?.initialFetchTimeout, field) ?? hostTimeoutMs;
  return { source, timeoutMs: timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs };
};
