/** Services and endpoints that ServiceEntry and WorkloadEntry objects describe. */
import type { ConfigOf } from "@weft/config/config-object";
import type { ServiceEntryEndpoint } from "@weft/config/kinds/service-entry";
import type { Collection, Fetch, Graph, Index } from "@weft/core/collection";
import { asKind, byKind, type ConfigItem, ofKind } from "../../model/config-item.ts";
import type { RegistryView } from "../../model/merged-services.ts";
import { parseProtocol, protocolOfPort } from "../../model/protocol.ts";
import {
  type EndpointRecord,
  hasMeshTls,
  type Resolution,
  type ServicePort,
  type ServiceRecord,
} from "../../model/service.ts";
import { labelsMatch } from "../../model/workload-policies.ts";

type Entry = ConfigOf<"ServiceEntry">;

const fileSource = "ServiceEntry";
/** Kubernetes services come first, so that an entry for one of them only adds. */
export const serviceEntryRank = 20;

/** Set to `false`, it keeps an entry from being given a virtual address. */
const autoAddressLabel = "networking.istio.io/enable-autoallocate-ip";

/** Where entries come from that are no configuration. */
export interface EntryOrigin {
  readonly source: string;
  readonly rank: number;
}

/** `instances`: endpoints of workloads that registered themselves, which selectors pick as they pick WorkloadEntries. */
export const serviceEntryRegistry = (
  graph: Graph,
  config: Collection<ConfigItem>,
  instances?: Collection<EndpointRecord>,
  origin: EntryOrigin = { source: fileSource, rank: serviceEntryRank },
): RegistryView => {
  const { source } = origin;
  const sources: Sources = {
    source,
    workloads: byKind(config),
    instances: instances?.index("namespace", ({ namespace }) => [namespace]),
  };
  const named = (what: string): string => (source === fileSource ? what : `${source} ${what}`);
  return {
    name: source,
    services: graph.derive(named("service entries"), config, (item) => {
      const entry = asKind(item, "ServiceEntry");
      return entry ? servicesOf(entry, origin) : [];
    }),
    endpoints: graph.derive(named("service entry endpoints"), config, (item, fetch) => {
      const entry = asKind(item, "ServiceEntry");
      return entry ? endpointsOf(entry, fetch, sources) : [];
    }),
  };
};

const resolutions: ReadonlyMap<string, Resolution> = new Map([
  ["NONE", "passthrough"],
  ["STATIC", "eds"],
  ["DNS", "strictDns"],
  ["DNS_ROUND_ROBIN", "logicalDns"],
  ["DYNAMIC_DNS", "dynamicDns"],
]);

const portsOf = ({ spec }: Entry): readonly ServicePort[] =>
  (spec.ports ?? []).map(({ number, name, protocol, targetPort }) => ({
    number,
    name,
    protocol: protocol ? parseProtocol(protocol) : protocolOfPort({ name }),
    targetPort: targetPort ?? number,
  }));

const servicesOf = (entry: Entry, { source, rank }: EntryOrigin): readonly ServiceRecord[] => {
  const { spec, namespace } = entry;
  return spec.hosts.map((hostname) => ({
    key: `${source}/${namespace}/${hostname}/${entry.name}`,
    source,
    rank,
    namespace,
    hostname,
    name: hostname,
    ports: portsOf(entry),
    addresses: spec.addresses ?? [],
    resolution: resolutions.get(spec.resolution ?? "NONE") ?? "passthrough",
    location: spec.location === "MESH_INTERNAL" ? "mesh" : "external",
    headless: false,
    exportTo: spec.exportTo ?? [],
    subjectAltNames: spec.subjectAltNames ?? [],
    grpcServices: [],
    autoAddress: entry.labels[autoAddressLabel]?.toLowerCase() !== "false",
    createdAt: entry.creationTimestamp,
    config: `ServiceEntry/${namespace}/${entry.name}`,
  }));
};

interface Sources {
  readonly source: string;
  readonly workloads: Index<ConfigItem>;
  /** By namespace. */
  readonly instances: Index<EndpointRecord> | undefined;
}

interface Described {
  readonly name: string;
  readonly namespace: string;
  readonly workload: ServiceEntryEndpoint;
  readonly health: EndpointRecord["health"];
}

/** Endpoints given in place, or the WorkloadEntries of the namespace that the selector picks. */
const describedBy = (entry: Entry, fetch: Fetch, { workloads }: Sources): readonly Described[] => {
  const { spec, namespace } = entry;
  const labels = spec.workloadSelector?.labels;
  if (!labels) {
    return (spec.endpoints ?? []).map((workload, index) => ({
      name: `${entry.name}-${index}`,
      namespace,
      workload,
      health: "healthy",
    }));
  }
  return ofKind(fetch.where(workloads, `WorkloadEntry/${namespace}`), "WorkloadEntry")
    .filter((one) => labelsMatch(labels, { ...one.labels, ...one.spec.labels }))
    .map((one) => ({
      name: one.name,
      namespace: one.namespace,
      workload: { ...one.spec, labels: { ...one.labels, ...one.spec.labels } },
      health: "healthy",
    }));
};

const endpointsOf = (entry: Entry, fetch: Fetch, sources: Sources): readonly EndpointRecord[] => {
  const { source } = sources;
  const ports = portsOf(entry);
  const described = describedBy(entry, fetch, sources).flatMap(({ name, namespace, workload, health }) => {
    if (!workload.address) return [];
    const labels = workload.labels ?? {};
    const serviceAccount = workload.serviceAccount ?? "";
    return ports.map((port): Omit<EndpointRecord, "key" | "service"> => {
      const at = workload.ports?.[port.name] ?? port.targetPort;
      return {
        source,
        servicePort: port.number,
        address: workload.address ?? "",
        port: at,
        workloadPort: at,
        namespace,
        workload: name,
        serviceAccount,
        labels,
        locality: workload.locality ?? "",
        weight: workload.weight ?? 1,
        health,
        network: workload.network ?? "",
        cluster: "",
        meshTls: hasMeshTls(labels, serviceAccount),
      };
    });
  });
  const all = [...described, ...selectedInstances(entry, fetch, sources)];
  return entry.spec.hosts.flatMap((hostname) =>
    all.map((endpoint): EndpointRecord => {
      const { servicePort, namespace, workload, address } = endpoint;
      const id = endpoint.source === source ? workload : `${workload}/${address}`;
      return {
        ...endpoint,
        source,
        key: `${source}/${entry.namespace}/${entry.name}/${hostname}/${servicePort}/${namespace}/${id}`,
        service: `${entry.namespace}/${hostname}`,
      };
    }),
  );
};

/** A registered workload's port for the entry's: where its application listens at the target port, else its own of that number. */
const selectedInstances = (
  entry: Entry,
  fetch: Fetch,
  { instances }: Sources,
): readonly Omit<EndpointRecord, "key" | "service">[] => {
  const labels = entry.spec.workloadSelector?.labels;
  if (!labels || !instances) return [];
  const own = fetch.where(instances, entry.namespace).filter((record) => labelsMatch(labels, record.labels));
  const workloads = Map.groupBy(own, ({ workload, address }) => `${workload} ${address}`);
  return [...workloads.values()].flatMap((records) =>
    portsOf(entry).flatMap(({ number, targetPort }) => {
      const found =
        records.find(({ workloadPort }) => workloadPort === targetPort) ??
        records.find(({ port }) => port === targetPort) ??
        records.find(({ servicePort }) => servicePort === number);
      const [first] = records;
      if (!first) return [];
      return [{ ...first, ...(found ?? { port: targetPort, workloadPort: targetPort }), servicePort: number }];
    }),
  );
};
