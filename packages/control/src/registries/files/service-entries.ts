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

const source = "ServiceEntry";
/** Kubernetes services come first, so that an entry for one of them only adds. */
export const serviceEntryRank = 20;

export const serviceEntryRegistry = (graph: Graph, config: Collection<ConfigItem>): RegistryView => {
  const workloads = byKind(config);
  return {
    name: source,
    services: graph.derive("service entries", config, (item) => {
      const entry = asKind(item, "ServiceEntry");
      return entry ? servicesOf(entry) : [];
    }),
    endpoints: graph.derive("service entry endpoints", config, (item, fetch) => {
      const entry = asKind(item, "ServiceEntry");
      return entry ? endpointsOf(entry, fetch, workloads) : [];
    }),
  };
};

const resolutions: ReadonlyMap<string, Resolution> = new Map([
  ["NONE", "passthrough"],
  ["STATIC", "eds"],
  ["DNS", "strictDns"],
  ["DNS_ROUND_ROBIN", "logicalDns"],
  ["DYNAMIC_DNS", "passthrough"],
]);

const portsOf = ({ spec }: Entry): readonly ServicePort[] =>
  (spec.ports ?? []).map(({ number, name, protocol, targetPort }) => ({
    number,
    name,
    protocol: protocol ? parseProtocol(protocol) : protocolOfPort({ name }),
    targetPort: targetPort ?? number,
  }));

const servicesOf = (entry: Entry): readonly ServiceRecord[] => {
  const { spec, namespace } = entry;
  return spec.hosts.map((hostname) => ({
    key: `${source}/${namespace}/${hostname}/${entry.name}`,
    source,
    rank: serviceEntryRank,
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
    createdAt: entry.creationTimestamp,
    config: `ServiceEntry/${namespace}/${entry.name}`,
  }));
};

interface Described {
  readonly name: string;
  readonly namespace: string;
  readonly workload: ServiceEntryEndpoint;
}

/** Endpoints given in place, or the WorkloadEntries of the namespace that the selector picks. */
const describedBy = (entry: Entry, fetch: Fetch, workloads: Index<ConfigItem>): readonly Described[] => {
  const { spec, namespace } = entry;
  const labels = spec.workloadSelector?.labels;
  if (!labels) {
    return (spec.endpoints ?? []).map((workload, index) => ({ name: `${entry.name}-${index}`, namespace, workload }));
  }
  return ofKind(fetch.where(workloads, `WorkloadEntry/${namespace}`), "WorkloadEntry")
    .filter((one) => labelsMatch(labels, { ...one.labels, ...one.spec.labels }))
    .map((one) => ({
      name: one.name,
      namespace: one.namespace,
      workload: { ...one.spec, labels: { ...one.labels, ...one.spec.labels } },
    }));
};

const endpointsOf = (entry: Entry, fetch: Fetch, workloads: Index<ConfigItem>): readonly EndpointRecord[] => {
  const ports = portsOf(entry);
  return describedBy(entry, fetch, workloads).flatMap(({ name, namespace, workload }) => {
    if (!workload.address) return [];
    const labels = workload.labels ?? {};
    const serviceAccount = workload.serviceAccount ?? "";
    return entry.spec.hosts.flatMap((hostname) =>
      ports.map((port): EndpointRecord => {
        const at = workload.ports?.[port.name] ?? port.targetPort;
        return {
          key: `${source}/${entry.namespace}/${entry.name}/${hostname}/${port.number}/${namespace}/${name}`,
          source,
          service: `${entry.namespace}/${hostname}`,
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
          health: "healthy",
          network: workload.network ?? "",
          cluster: "",
          meshTls: hasMeshTls(labels, serviceAccount),
        };
      }),
    );
  });
};
