/** `/v1/proxies`, and the debug pages about proxies that Istio's tools know. */
import type { Clock } from "@weft/core/world";
import { type Route, route } from "@weft/net/http/routes";
import type { HttpRequest } from "@weft/net/http/server";
import { resourceTypeOfUrl, resourceTypes } from "@weft/xds/resource";
import type { Snapshot, TypeSnapshot } from "@weft/xds/snapshot";
import type { TypeSync } from "@weft/xds/stream-messages";
import type { ConnectedProxy } from "../push/ads.ts";
import { json, listAnswer, notFound } from "./answers.ts";

export interface ProxyRoutesOptions {
  readonly proxies: () => readonly ConnectedProxy[];
  readonly clock: Clock;
}

export const proxyRoutes = ({ proxies, clock }: ProxyRoutesOptions): readonly Route[] => {
  const wall = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : new Date(clock.wallMs() - clock.nowMs() + ms).toISOString();
  /** The newest stream of each proxy, by id. */
  const newest = (): readonly ConnectedProxy[] => {
    const byId = new Map(proxies().map((connected) => [connected.proxy.id, connected]));
    return [...byId.values()].sort((a, b) => (a.proxy.id < b.proxy.id ? -1 : 1));
  };
  const find = ({ query }: HttpRequest): ConnectedProxy => {
    const wanted = query.get("proxyID") ?? "";
    const found = newest().find(
      ({ proxy: { id, workload, namespace } }) => id === wanted || `${workload}.${namespace}` === wanted,
    );
    if (!found)
      throw notFound(`no connected proxy is ${wanted === "" ? "named: give proxyID" : wanted}`, "GET /v1/proxies");
    return found;
  };

  return [
    route("GET", "/v1/proxies", () => {
      const items = newest().map((connected) => proxyItem(connected, wall));
      const statuses = items.flatMap(({ types }) => Object.values(types).map(({ status }) => status));
      const count = (status: string): number => statuses.filter((other) => other === status).length;
      return listAnswer("Proxy", items, { synced: count("SYNCED"), stale: count("STALE"), nack: count("NACK") });
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
      const snapshot = find(request).snapshot();
      return json({ configs: snapshot ? configDump(snapshot) : [] });
    }),
  ];
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
    const label = resourceTypeOfUrl(sync.typeUrl)?.label;
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

const dumpPrefix = "type.googleapis.com/envoy.admin.v3.";

/** What a proxy should have, in the shape of Envoy's config dump. */
const configDump = (snapshot: Snapshot): readonly object[] => {
  const list = (
    kind: string,
    shape: (entry: { name: string; version: string; json: object }) => object,
  ): readonly object[] => {
    const type = resourceTypes.find((type) => type.kind === kind);
    const found: TypeSnapshot | undefined = snapshot.types.get(type?.typeUrl ?? "");
    return [...(found?.entries.values() ?? [])].map(({ name, version, json, typeUrl }) =>
      shape({ name, version, json: { "@type": typeUrl, ...json } }),
    );
  };
  return [
    {
      "@type": `${dumpPrefix}ClustersConfigDump`,
      dynamicActiveClusters: list("cluster", ({ version, json }) => ({ versionInfo: version, cluster: json })),
    },
    {
      "@type": `${dumpPrefix}EndpointsConfigDump`,
      dynamicEndpointConfigs: list("endpoints", ({ version, json }) => ({
        versionInfo: version,
        endpointConfig: json,
      })),
    },
    {
      "@type": `${dumpPrefix}ListenersConfigDump`,
      dynamicListeners: list("listener", ({ name, version, json }) => ({
        name,
        activeState: { versionInfo: version, listener: json },
      })),
    },
    {
      "@type": `${dumpPrefix}RoutesConfigDump`,
      dynamicRouteConfigs: list("route", ({ version, json }) => ({ versionInfo: version, routeConfig: json })),
    },
    {
      "@type": `${dumpPrefix}SecretsConfigDump`,
      dynamicActiveSecrets: list("secret", ({ name, version }) => ({ name, versionInfo: version })),
    },
  ];
};
