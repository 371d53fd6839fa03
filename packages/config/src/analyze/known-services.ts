/** Services that the objects make: ServiceEntries and Kubernetes Services. */
import { type ConfigObject, type ConfigOf, objectsOfKind } from "../config-object.ts";
import type { KnownPort, KnownService, KnownWorkload } from "./facts.ts";
import { fullHost } from "./hosts.ts";
import type { LabelIndex, Labels } from "./labels.ts";

export const servicesOf = (objects: readonly ConfigObject[], workloads: LabelIndex<KnownWorkload>): KnownService[] => [
  ...objectsOfKind(objects, "ServiceEntry").flatMap((entry) => entryServices(entry, workloads)),
  ...objectsOfKind(objects, "Service").map((service) => kubernetesService(service, workloads)),
];

const entryServices = (object: ConfigOf<"ServiceEntry">, workloads: LabelIndex<KnownWorkload>): KnownService[] => {
  const { spec, namespace } = object;
  const ports = (spec.ports ?? []).map(({ number, name, protocol = "" }) => ({
    number,
    name,
    protocol: protocol.toLowerCase(),
  }));
  const selector = spec.workloadSelector?.labels;
  const endpointLabels = selector
    ? selected(workloads, namespace, selector)
    : spec.endpoints && spec.endpoints.length > 0
      ? spec.endpoints.map(({ labels }) => labels ?? {})
      : undefined;
  const external = spec.location !== "MESH_INTERNAL";
  return spec.hosts.map((hostname) => ({ hostname, namespace, ports, endpointLabels, external, object }));
};

const kubernetesService = (object: ConfigOf<"Service">, workloads: LabelIndex<KnownWorkload>): KnownService => {
  const { spec, namespace, name } = object;
  return {
    hostname: fullHost(name, namespace),
    namespace,
    ports: (spec.ports ?? []).map((port) => ({ number: port.port, name: port.name ?? "", protocol: protocolOf(port) })),
    endpointLabels: spec.selector ? selected(workloads, namespace, spec.selector) : undefined,
    external: spec.type === "ExternalName",
    object,
  };
};

/** `undefined` where no such workload is in sight: they may run all the same. */
const selected = (
  workloads: LabelIndex<KnownWorkload>,
  namespace: string,
  selector: Labels,
): readonly Labels[] | undefined => {
  const found = workloads.matching(namespace, selector);
  return found.length === 0 ? undefined : found.map(({ labels }) => labels);
};

const protocolWords = ["http", "https", "http2", "grpc", "grpc-web", "tcp", "tls", "mongo", "redis", "mysql", "udp"];

/** By appProtocol, else by the port's name up to the first dash; empty is found by looking. */
const protocolOf = (port: {
  readonly appProtocol?: string;
  readonly name?: string;
  readonly protocol?: string;
}): string => {
  if (port.protocol === "UDP") return "udp";
  const name = (port.name ?? "").toLowerCase();
  const declared = (port.appProtocol ?? "").toLowerCase();
  if (protocolWords.includes(declared)) return declared;
  if (name === "grpc-web" || name.startsWith("grpc-web-")) return "grpc-web";
  const word = name.split("-")[0] ?? "";
  return protocolWords.includes(word) ? word : "";
};

const connectionProtocols = new Set(["tcp", "tls", "https", "mongo", "redis", "mysql"]);

/** Carries connections that are not read as HTTP. */
export const isConnectionPort = ({ protocol }: KnownPort): boolean => connectionProtocols.has(protocol);
