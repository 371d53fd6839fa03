/** What a proxy has in force, out of its config dump. */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import { type DumpSource, readHosts, readWholeDump, resourcesIn } from "../mesh/config-dump.ts";
import type { Resource } from "../output/resource-views.ts";

/** One live host as the proxy's admin interface shows it. */
export interface HostStatus {
  readonly address: string;
  readonly hostname: string;
  /** Names of Envoy's health flags that are set, such as `failedOutlierCheck`. */
  readonly flags: ReadonlySet<string>;
}

export interface ProxyResources {
  readonly listeners: readonly ListenerJson[];
  readonly routes: ReadonlyMap<string, RouteConfigurationJson>;
  readonly clusters: ReadonlyMap<string, ClusterJson>;
  readonly endpoints: ReadonlyMap<string, ClusterLoadAssignmentJson>;
  /** By cluster; absent where the proxy itself could not be asked. */
  readonly live: ReadonlyMap<string, readonly HostStatus[]> | undefined;
}

/** Asks the proxy, else the control plane, for all that decides about a request. */
export const readResources = async (source: DumpSource): Promise<ProxyResources> => {
  const dump = await readWholeDump(source);
  const live = source.admin === undefined ? undefined : liveHosts(await readHosts(source));
  return resourcesOf(dump, live);
};

/** The same from a dump that is there already. */
export const resourcesOf = (dump: unknown, live?: ProxyResources["live"]): ProxyResources => {
  const named = <T>(type: string, name: (resource: Resource) => unknown): ReadonlyMap<string, T> =>
    new Map(resourcesIn(dump, type).map((resource) => [String(name(resource) ?? ""), resource as T]));
  return {
    listeners: resourcesIn(dump, "listeners") as readonly ListenerJson[],
    routes: named("routes", ({ name }) => name),
    clusters: named("clusters", ({ name }) => name),
    endpoints: named("endpoints", ({ clusterName }) => clusterName),
    live,
  };
};

interface StatusJson {
  readonly name?: string;
  readonly hostStatuses?: readonly {
    readonly address?: {
      readonly socketAddress?: { readonly address?: string; readonly portValue?: number };
      readonly pipe?: { readonly path?: string };
    };
    readonly hostname?: string;
    readonly healthStatus?: Readonly<Record<string, unknown>>;
  }[];
}

/** `undefined` where what was read is not the answer of an admin interface but assignments. */
const liveHosts = (statuses: readonly Resource[]): ProxyResources["live"] => {
  if (statuses.some((status) => "clusterName" in status)) return undefined;
  return new Map(
    (statuses as readonly StatusJson[]).map(({ name = "", hostStatuses = [] }) => [
      name,
      hostStatuses.map(({ address, hostname = "", healthStatus = {} }) => ({
        address: addressText(address),
        hostname,
        flags: new Set(Object.entries(healthStatus).flatMap(([flag, value]) => (value === true ? [flag] : []))),
      })),
    ]),
  );
};

const addressText = (address: NonNullable<StatusJson["hostStatuses"]>[number]["address"]): string => {
  const { address: host = "", portValue = 0 } = address?.socketAddress ?? {};
  if (address?.socketAddress === undefined) return address?.pipe?.path ?? "";
  return host.includes(":") ? `[${host}]:${portValue}` : `${host}:${portValue}`;
};
