/** What a proxy does with a request: route, action, clusters. Pure: the same question has the same answer. */
import type { RequestHead } from "@weft/protocols/http/head";
import type { DownstreamInfo } from "@weft/proxy/http/exchange";
import type { HcmSettings } from "@weft/proxy/http/hcm-settings";
import { compileDomains } from "@weft/proxy/routing/virtual-hosts";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { type Told, wholeDraw } from "./engine.ts";
import type { OfflineProxy, RoutePlace } from "./offline-proxy.ts";

export interface ClusterShare {
  readonly name: string;
  readonly percent: number;
  /** Whether the proxy has that cluster. */
  readonly known: boolean;
}

export interface Decision {
  readonly told: Told;
  readonly place: RoutePlace | undefined;
  /** The virtual host of the request, also where none of its routes takes it. */
  readonly host: VirtualHostJson | undefined;
  /** Empty where the proxy answers itself. */
  readonly clusters: readonly ClusterShare[];
}

export interface Asked {
  readonly settings: HcmSettings;
  /** The table the settings route by, as it came. */
  readonly table: RouteConfigurationJson | undefined;
  readonly request: RequestHead;
  readonly downstream: DownstreamInfo;
}

export const decide = (proxy: OfflineProxy, asked: Asked): Decision => {
  const { settings, request, downstream, table } = asked;
  const told = proxy.engine.ask(settings, request, downstream, wholeDraw);
  const place = proxy.placeOf(told.route);
  return {
    told,
    place,
    host: place?.host ?? hostOf(table, request.authority),
    clusters: told.cluster === undefined ? [] : sharesOf(proxy, asked, { told, place }),
  };
};

/** The virtual host that a table has for a Host. */
export const hostOf = (table: RouteConfigurationJson | undefined, authority: string): VirtualHostJson | undefined => {
  const entries = (table?.virtualHosts ?? []).flatMap((value) =>
    (value.domains ?? []).map((domain) => ({ domain, at: "", value })),
  );
  return compileDomains(entries, { ignorePort: table?.ignorePortInHostMatching === true })(authority);
};

/** Each cluster by the draw in the middle of its share: the engine itself says which one that is. */
const sharesOf = (
  proxy: OfflineProxy,
  { settings, request, downstream }: Asked,
  { told, place }: { readonly told: Told; readonly place: RoutePlace | undefined },
): readonly ClusterShare[] => {
  const share = (name: string, percent: number): ClusterShare => ({
    name,
    percent,
    known: proxy.resources.clusters.has(name),
  });
  const weighted = place?.route.route?.weightedClusters;
  const header = weighted?.headerName?.toLowerCase();
  if (!weighted || (header !== undefined && request.headers.has(header))) return [share(told.cluster ?? "", 100)];
  const entries = (weighted.clusters ?? []).map(({ name = "", weight }) => ({ name, weight: Number(weight ?? 0) }));
  const total = entries.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  return entries.flatMap(({ name, weight }) => {
    if (weight === 0) return [];
    const middle = (before + weight / 2) / total;
    before += weight;
    // A fault for some of the requests may end the draw before it comes to a cluster.
    const drawn = proxy.engine.ask(settings, request, downstream, middle).cluster ?? name;
    return [share(drawn, (100 * weight) / total)];
  });
};
