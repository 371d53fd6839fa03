/** Services from all sources made one, and their endpoints with mTLS as the servers' policies leave it. */
import type { Collection, Fetch, Graph, Index } from "@weft/core/collection";
import { formatIdentity } from "@weft/core/identity";
import { byKind, type ConfigItem, ofKind } from "./config-item.ts";
import { applyMeshConfig, meshConfigOf } from "./mesh-config.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import {
  type EndpointRecord,
  idOfEndpoint,
  type ReportedHealth,
  type Service,
  type ServiceEndpoints,
  type ServicePort,
  type ServiceRecord,
} from "./service.ts";
import { type PeerAuthenticationModes, peerAuthenticationModes } from "./workload-policies.ts";

/** What one registry tells: the files' services, the embedded registry, others. */
export interface RegistryView {
  readonly name: string;
  readonly services: Collection<ServiceRecord>;
  readonly endpoints: Collection<EndpointRecord>;
}

/**
 * The rule for a service several sources know: the lowest rank, then the oldest, gives ports, addresses, resolution and
 * visibility; others of the same source add ports; endpoints of all are used where their port exists; accepted names add up; what differs is a conflict.
 */
const mergeRecords = (records: readonly ServiceRecord[], identities: readonly string[]): Service | undefined => {
  const [owner, ...others] = records.length === 1 ? records : [...records].sort(compareRecords);
  if (!owner) return undefined;
  return {
    key: `${owner.namespace}/${owner.hostname}`,
    namespace: owner.namespace,
    hostname: owner.hostname,
    name: owner.name,
    ports: portsOf(owner, others),
    addresses: owner.addresses,
    resolution: owner.resolution,
    location: owner.location,
    headless: owner.headless,
    exportTo: owner.exportTo,
    grpcServices: distinct(records.flatMap(({ grpcServices }) => grpcServices)),
    identities: distinct([...identities, ...records.flatMap(({ subjectAltNames }) => subjectAltNames)]),
    sources: [owner, ...others].map(({ source }) => source),
    autoAddress: owner.autoAddress,
    createdAt: owner.createdAt,
    conflicts: others.flatMap((other) => conflictsBetween(owner, other)),
  };
};

const none: readonly string[] = [];

/** In order. Most services have none of these, and then share one list. */
const distinct = (texts: readonly string[]): readonly string[] =>
  texts.length === 0 ? none : [...new Set(texts)].sort();

const compareRecords = (a: ServiceRecord, b: ServiceRecord): number =>
  a.rank - b.rank || compareText(a.createdAt ?? "~", b.createdAt ?? "~") || compareText(a.key, b.key);

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Ports of the owner; other objects of its source add those it does not have, as in Istio. */
const portsOf = (owner: ServiceRecord, others: readonly ServiceRecord[]): readonly ServicePort[] => {
  const ports = new Map<number, ServicePort>();
  for (const { source, ports: own } of [owner, ...others]) {
    if (source !== owner.source) continue;
    for (const port of own) if (!ports.has(port.number)) ports.set(port.number, port);
  }
  return ports.size === owner.ports.length ? owner.ports : [...ports.values()];
};

const conflictsBetween = (owner: ServiceRecord, other: ServiceRecord): readonly string[] => {
  const known = new Map(owner.ports.map((port): [number, ServicePort] => [port.number, port]));
  const problems: string[] = [];
  for (const { number, protocol } of other.ports) {
    const port = known.get(number);
    if (!port && other.source === owner.source) continue;
    if (!port) problems.push(`port ${number} is known to ${other.source} only, and is left out`);
    else if (port.protocol !== protocol && protocol !== "auto") {
      problems.push(`port ${number} is ${port.protocol} for ${owner.source} and ${protocol} for ${other.source}`);
    }
  }
  if (other.resolution !== owner.resolution) {
    problems.push(`resolution is ${owner.resolution} for ${owner.source} and ${other.resolution} for ${other.source}`);
  }
  return problems;
};

export interface MergedServices {
  readonly services: Collection<Service>;
  /** Keyed as the services. */
  readonly endpoints: Collection<ServiceEndpoints>;
  /** Endpoint records by `ADDRESS`, to find what runs where. */
  readonly byAddress: Index<EndpointRecord>;
}

export const mergeServices = (
  graph: Graph,
  sources: {
    readonly registries: readonly RegistryView[];
    readonly config: Collection<ConfigItem>;
    readonly mesh: MeshSettings;
    /** What proxies find failed, by service. */
    readonly reported?: Collection<ReportedHealth>;
  },
): MergedServices => {
  const { registries, config, mesh, reported } = sources;
  const records = graph.union(
    "service records",
    registries.map(({ services }) => services),
  );
  const addresses = graph.union(
    "endpoint records",
    registries.map(({ endpoints }) => endpoints),
  );
  const byHost = records.index("host", ({ namespace, hostname }) => [`${namespace}/${hostname}`]);
  const byService = addresses.index("service", ({ service }) => [service]);
  const policies = byKind(config);

  const services = graph.group("services", byHost, (key, members, fetch) =>
    mergeRecords(members, identitiesOf(fetch.where(byService, key), mesh.trustDomain)),
  );
  const endpoints = graph.group("endpoints", byService, (key, members, fetch): ServiceEndpoints | undefined => {
    const service = fetch.get(services, key);
    if (!service) return undefined;
    const meshConfigs = ofKind(fetch.where(policies, "MeshConfig"), "MeshConfig");
    const settings = applyMeshConfig(mesh, meshConfigOf(meshConfigs, mesh.rootNamespace));
    const modes = modeReader(fetch, policies, settings.rootNamespace);
    const failed = new Set(reported && fetch.get(reported, key)?.failed);
    const known: EndpointRecord[] = [];
    for (const member of members) {
      if (!service.ports.some(({ number }) => number === member.servicePort)) continue;
      const endpoint = withTls(member, service, modes);
      const isFailed = failed.size > 0 && failed.has(idOfEndpoint(endpoint));
      known.push(isFailed ? { ...endpoint, reportedFailed: true } : endpoint);
    }
    return { key, endpoints: known };
  });
  return { services, endpoints, byAddress: addresses.index("address", ({ address }) => [address]) };
};

const identitiesOf = (endpoints: readonly EndpointRecord[], trustDomain: string): readonly string[] => {
  const found = new Set<string>();
  for (const { namespace, serviceAccount, meshTls } of endpoints) {
    if (meshTls && serviceAccount) found.add(formatIdentity({ trustDomain, namespace, serviceAccount }));
  }
  return [...found];
};

type ReadModes = (endpoint: EndpointRecord) => PeerAuthenticationModes;

/** Reads the policies of each namespace once per run. */
const modeReader = (fetch: Fetch, policies: Index<ConfigItem>, rootNamespace: string): ReadModes => {
  const seen = new Map<string, ReturnType<typeof ofKind<"PeerAuthentication">>>();
  const of = (namespace: string) => {
    let found = seen.get(namespace);
    if (!found) {
      found = ofKind(fetch.where(policies, `PeerAuthentication/${namespace}`), "PeerAuthentication");
      seen.set(namespace, found);
    }
    return found;
  };
  return ({ namespace, labels }) => {
    const all = namespace === rootNamespace ? of(namespace) : [...of(namespace), ...of(rootNamespace)];
    return all.length === 0 ? permissive : peerAuthenticationModes(all, { namespace, labels }, rootNamespace);
  };
};
const permissive: PeerAuthenticationModes = { mode: "PERMISSIVE", ports: new Map() };

const withTls = (endpoint: EndpointRecord, service: Service, modes: ReadModes): EndpointRecord => {
  if (!endpoint.meshTls) return endpoint;
  if (service.location === "external") return { ...endpoint, meshTls: false };
  const { mode, ports } = modes(endpoint);
  return (ports.get(endpoint.workloadPort) ?? mode) === "DISABLE" ? { ...endpoint, meshTls: false } : endpoint;
};
