/** `/v1/proxies`, and the debug pages about proxies that Istio's tools know. */
import type { Clock } from "@weft/core/world";
import { type Route, route } from "@weft/net/http/routes";
import type { HttpRequest } from "@weft/net/http/server";
import { givenPart } from "@weft/xds/on-demand";
import { resourceType, resourceTypes, subscribedTypes } from "@weft/xds/resource";
import type { Snapshot } from "@weft/xds/snapshot";
import type { TypeSync } from "@weft/xds/stream-messages";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import { configDump } from "../status/config-dump.ts";
import { findProxy, newestOf } from "../status/find-proxy.ts";
import type { ProxiesEverywhere } from "../status/shared-proxies.ts";
import { json, listAnswer, notFound } from "./answers.ts";

export interface ProxyRoutesOptions {
  readonly proxies: () => readonly ConnectedProxy[];
  /** Over all control planes; absent: there is only this one. */
  readonly everywhere?: (() => ProxiesEverywhere) | undefined;
  readonly clock: Clock;
}

export const proxyRoutes = ({ proxies, everywhere, clock }: ProxyRoutesOptions): readonly Route[] => {
  const wall = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : new Date(clock.wallMs() - clock.nowMs() + ms).toISOString();
  const newest = (): readonly ConnectedProxy[] => newestOf(proxies());
  const find = ({ query }: HttpRequest): ConnectedProxy => {
    const wanted = query.get("proxyID") ?? "";
    const found = findProxy(proxies(), wanted);
    if (!found)
      throw notFound(`no connected proxy is ${wanted === "" ? "named: give proxyID" : wanted}`, "GET /v1/proxies");
    return found;
  };

  return [
    route("GET", "/v1/proxies", () => {
      const items = newest().map((connected) => proxyItem(connected, wall));
      const statuses = items.flatMap(({ types }) => Object.values(types).map(({ status }) => status));
      const count = (status: string): number => statuses.filter((other) => other === status).length;
      const summary = { synced: count("SYNCED"), stale: count("STALE"), nack: count("NACK"), error: count("ERROR") };
      return listAnswer("Proxy", items, everywhere ? { ...summary, everywhere: everywhere() } : summary);
    }),
    route("GET", "/debug/syncz", () => json(newest().map((connected) => istioSync(connected, wall)))),
    route("GET", "/debug/adsz", () => {
      const clients = proxies().map(({ proxy, mode, secure, peerAddress, connectedAtMs, types }) => ({
        connectionId: proxy.id,
        address: peerAddress,
        mode,
        secure,
        connectedAt: new Date(connectedAtMs).toISOString(),
        watches: Object.fromEntries(types().map(({ typeUrl, wildcard, names }) => [typeUrl, wildcard ? "*" : names])),
      }));
      return json({ totalClients: clients.length, clients });
    }),
    route("GET", "/debug/config_dump", (request) => {
      const { snapshot, isSubscribed } = find(request);
      const whole = snapshot();
      return json({ configs: whole ? configDump(givenPart(whole, isSubscribed)) : [] });
    }),
    route("GET", "/debug/on_demand", (request) =>
      json(givenOnDemand(find(request).snapshot(), request.query.get("host") ?? "")),
    ),
  ];
};

const labels: ReadonlyMap<string, string> = new Map(subscribedTypes.map(({ typeUrl, label }) => [typeUrl, label]));
const clusterUrl = resourceType("cluster").typeUrl;
const endpointsUrl = resourceType("endpoints").typeUrl;

/** What a proxy is given at the first request for a host, named TABLE/HOST as it asks; nothing where it means none. */
const givenOnDemand = (snapshot: Snapshot | undefined, asked: string): object => {
  const onDemand = snapshot?.onDemand;
  const name = onDemand?.resolve(asked);
  const host = name === undefined ? undefined : onDemand?.hosts.entries.get(name);
  if (!snapshot || !onDemand || !host) return { onDemand: onDemand !== undefined };
  const clusters = onDemand
    .clustersOf(host.name)
    .flatMap((one) => snapshot.types.get(clusterUrl)?.entries.get(one) ?? []);
  const endpoints = clusters.flatMap(
    ({ endpointsName }) => snapshot.types.get(endpointsUrl)?.entries.get(endpointsName ?? "") ?? [],
  );
  const jsonOf = ({ json }: { readonly json: object }): object => json;
  return {
    onDemand: true,
    virtualHost: host.json,
    clusters: clusters.map(jsonOf),
    endpoints: endpoints.map(jsonOf),
  };
};

interface TypeItem {
  readonly status: string;
  readonly version?: string;
  readonly ackedVersion?: string;
  readonly nonce?: string;
  readonly sentAt?: string | undefined;
  readonly ackedAt?: string | undefined;
  readonly error?: string | undefined;
}

type Wall = (ms: number | undefined) => string | undefined;

const proxyItem = (connected: ConnectedProxy, wall: Wall) => {
  const { proxy, node, mode, secure, peerAddress, connectedAtMs } = connected;
  const metadata = (node.metadata ?? {}) as Readonly<Record<string, unknown>>;
  const types: Record<string, TypeItem> = Object.fromEntries(
    resourceTypes.map(({ label }) => [label, { status: "NOT SENT" }]),
  );
  for (const sync of connected.types()) {
    const label = labels.get(sync.typeUrl);
    if (label !== undefined) types[label] = typeItem(sync, wall);
  }
  return {
    id: proxy.id,
    kind: proxy.kind,
    workload: proxy.workload,
    namespace: proxy.namespace,
    serviceAccount: proxy.serviceAccount,
    version: versionOf(connected),
    mode,
    secure,
    address: peerAddress,
    connectedAt: new Date(connectedAtMs).toISOString(),
    metadata,
    types,
  };
};

const typeItem = (sync: TypeSync, wall: Wall): TypeItem => ({
  status: sync.status,
  version: sync.version,
  ackedVersion: sync.ackedVersion,
  nonce: sync.nonce,
  sentAt: wall(sync.sentAtMs),
  ackedAt: wall(sync.ackedAtMs),
  error: sync.error,
});

const versionOf = ({ node }: ConnectedProxy): string => {
  const metadata = (node.metadata ?? {}) as Readonly<Record<string, unknown>>;
  const own = metadata.WEFT_VERSION ?? metadata.ISTIO_VERSION;
  if (typeof own === "string") return own;
  const { version } = node.userAgentBuildVersion ?? {};
  const built = version ? `${version.majorNumber ?? 0}.${version.minorNumber ?? 0}.${version.patch ?? 0}` : undefined;
  return [node.userAgentName, node.userAgentVersion ?? built].filter((part) => part !== undefined).join(" ");
};

/** The members that `istioctl proxy-status` reads. */
const istioSync = (connected: ConnectedProxy, wall: Wall): object => {
  const item = proxyItem(connected, wall);
  const names: readonly (readonly [string, string])[] = [
    ["CDS", "cluster"],
    ["LDS", "listener"],
    ["RDS", "route"],
    ["EDS", "endpoint"],
  ];
  const versions = names.flatMap(([label, name]) => {
    const { nonce, status } = item.types[label] ?? { status: "NOT SENT" };
    return [
      [`${name}_sent`, nonce ?? ""],
      [`${name}_acked`, status === "SYNCED" ? (nonce ?? "") : ""],
    ];
  });
  return {
    proxy: `${item.workload}.${item.namespace}`,
    istio_version: item.version,
    ...Object.fromEntries(versions),
    types: item.types,
  };
};
