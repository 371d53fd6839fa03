/** The embedded registry's instances as services and endpoints of the model. */
import type { Graph, Source } from "@weft/core/collection";
import type { RegistryView } from "../../model/merged-services.ts";
import { type EndpointRecord, hasMeshTls, type ServicePort, type ServiceRecord } from "../../model/service.ts";
import type { Instance } from "./instance.ts";
import { instanceKey } from "./instance-table.ts";
import type { RegistryBook } from "./registry.ts";

const source = "Registry";
export const embeddedRank = 30;

/** Instance metadata that names the gRPC services spoken, separated by commas. */
const grpcServicesKey = "grpc-services";

/** Instance metadata that names the workload it is one of, which metrics show; else its id does. */
const workloadKey = "workload";

export interface EmbeddedView extends RegistryView, Disposable {
  /** How many instances were not renewed in time, with most of their service, and are kept as a last resort. */
  held(): number;
}

interface InstanceItem {
  readonly key: string;
  readonly instance: Instance;
}

/**
 * Follows the registry: each of its changes is written to the graph, `changed` is called, and the next commit shows it.
 * Dispose to stop following.
 */
export const embeddedView = (
  graph: Graph,
  registry: Pick<RegistryBook, "watch">,
  options: { readonly domain: string; readonly changed: () => void },
): EmbeddedView => {
  const { domain, changed } = options;
  const instances: Source<InstanceItem> = graph.source("instances", {
    equal: (a, b) => a.instance.resourceVersion === b.instance.resourceVersion,
  });
  const byService = instances.index("service", ({ instance }) => [`${instance.namespace}/${instance.service}`]);
  const services = graph.group("registry services", byService, (_, members) =>
    serviceRecord(
      members.map(({ instance }) => instance),
      domain,
    ),
  );
  const endpoints = graph.derive("registry endpoints", instances, ({ instance }) => endpointRecords(instance, domain));
  const held = new Set<string>();
  const following = registry.watch({}, ({ type, object }) => {
    if (type !== "DELETED" && object.heldUntil !== undefined) held.add(instanceKey(object));
    else held.delete(instanceKey(object));
    if (type === "DELETED") instances.drop(instanceKey(object));
    else instances.put({ key: instanceKey(object), instance: object });
    changed();
  });
  return {
    ...{ name: source, services, endpoints },
    held: () => held.size,
    [Symbol.dispose]: () => following[Symbol.dispose](),
  };
};

const hostnameOf = ({ service, namespace }: Instance, domain: string): string =>
  `${service}.${namespace}.svc.${domain}`;

/** Ports are those of all instances; where two name the protocol of a port differently, the first id's holds. */
const serviceRecord = (members: readonly Instance[], domain: string): ServiceRecord | undefined => {
  const [first] = members;
  if (!first) return undefined;
  const ports = new Map<number, ServicePort>();
  for (const { ports: own } of members) {
    for (const { servicePort, name, protocol } of own) {
      if (ports.has(servicePort)) continue;
      ports.set(servicePort, { number: servicePort, name, protocol, targetPort: servicePort });
    }
  }
  return {
    key: `${source}/${first.namespace}/${first.service}`,
    source,
    rank: embeddedRank,
    namespace: first.namespace,
    hostname: hostnameOf(first, domain),
    name: first.service,
    ports: [...ports.values()].sort((a, b) => a.number - b.number),
    addresses: [],
    resolution: "eds",
    location: "mesh",
    headless: false,
    exportTo: [],
    subjectAltNames: [],
    grpcServices: [...new Set(members.flatMap(grpcServices))].sort(),
    autoAddress: true,
    createdAt: undefined,
    config: undefined,
  };
};

const grpcServices = ({ metadata }: Instance): readonly string[] =>
  (metadata[grpcServicesKey] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(name));

const endpointRecords = (instance: Instance, domain: string): readonly EndpointRecord[] =>
  instance.ports.map((port) => ({
    key: `${source}/${instanceKey(instance)}/${port.port}`,
    source,
    service: `${instance.namespace}/${hostnameOf(instance, domain)}`,
    servicePort: port.servicePort,
    address: instance.address,
    port: port.port,
    workloadPort: port.appPort,
    namespace: instance.namespace,
    workload: instance.metadata[workloadKey] ?? instance.id,
    serviceAccount: instance.serviceAccount,
    labels: instance.labels,
    locality: instance.locality,
    weight: instance.weight,
    health: instance.health,
    ...(instance.heldUntil === undefined ? {} : { held: "expired" }),
    network: "",
    cluster: "",
    meshTls: hasMeshTls(instance.labels, instance.serviceAccount),
  }));
