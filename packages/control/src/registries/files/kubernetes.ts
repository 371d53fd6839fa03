/** Services and endpoints that Kubernetes objects in files describe: Service with Endpoints or EndpointSlice, no cluster. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Collection, Graph } from "@weft/core/collection";
import { asKind, type ConfigItem, ofKind } from "../../model/config-item.ts";
import type { RegistryView } from "../../model/merged-services.ts";
import { protocolOfPort } from "../../model/protocol.ts";
import { type EndpointRecord, hasMeshTls, type ServicePort, type ServiceRecord } from "../../model/service.ts";

type KubernetesService = ConfigOf<"Service">;

const source = "Kubernetes";
export const kubernetesRank = 10;

/** Names the Service that an EndpointSlice belongs to. */
const serviceNameLabel = "kubernetes.io/service-name";
/** The annotation of `exportTo` on a Kubernetes Service: namespaces separated by commas. */
const exportToAnnotation = "networking.istio.io/exportTo";
/** Annotations that say what a file cannot know of the pods behind a Service. */
const serviceAccountAnnotation = "weft.dev/service-account";
const grpcServicesAnnotation = "weft.dev/grpc-services";

export const kubernetesRegistry = (graph: Graph, config: Collection<ConfigItem>, domain: string): RegistryView => {
  const slices = config.index("slices of service", (item) => {
    const slice = asKind(item, "EndpointSlice");
    const name = slice?.labels[serviceNameLabel];
    return slice && name ? [`${slice.namespace}/${name}`] : [];
  });
  return {
    name: source,
    services: graph.derive("kubernetes services", config, (item) => {
      const service = asKind(item, "Service");
      return service ? serviceRecord(service, domain) : undefined;
    }),
    endpoints: graph.derive("kubernetes endpoints", config, (item, fetch) => {
      const service = asKind(item, "Service");
      if (!service) return [];
      const id = `${service.namespace}/${service.name}`;
      const found = ofKind(fetch.where(slices, id), "EndpointSlice");
      // Endpoints are the older form of the same; where slices exist they are the truth.
      const legacy = asKind(fetch.get(config, `Endpoints/${id}`) ?? item, "Endpoints");
      const backends = found.length > 0 ? found.flatMap(sliceBackends) : legacy ? endpointsBackends(legacy) : [];
      const dns = externalBackend(service);
      return [...backends, ...(dns ? [dns] : [])].flatMap((backend) => recordsOf(service, backend, domain));
    }),
  };
};

const hostnameOf = ({ name, namespace }: { name: string; namespace: string }, domain: string): string =>
  `${name}.${namespace}.svc.${domain}`;

const portsOf = ({ spec }: KubernetesService): readonly ServicePort[] =>
  (spec.ports ?? []).map((port) => ({
    number: port.port,
    name: port.name ?? "",
    protocol: protocolOfPort({ appProtocol: port.appProtocol, name: port.name, transport: port.protocol }),
    targetPort: typeof port.targetPort === "number" ? port.targetPort : port.port,
  }));

const serviceRecord = (service: KubernetesService, domain: string): ServiceRecord => {
  const { spec, namespace, name, annotations } = service;
  const headless = spec.clusterIP === "None";
  const ips = spec.clusterIPs?.length ? spec.clusterIPs : spec.clusterIP ? [spec.clusterIP] : [];
  const external = spec.type === "ExternalName";
  return {
    key: `${source}/${namespace}/${name}`,
    source,
    rank: kubernetesRank,
    namespace,
    hostname: hostnameOf(service, domain),
    name,
    ports: portsOf(service),
    addresses: headless ? [] : ips.filter((ip) => ip !== "None" && ip !== ""),
    resolution: external ? "strictDns" : "eds",
    location: external ? "external" : "mesh",
    headless,
    exportTo: list(annotations[exportToAnnotation]),
    subjectAltNames: [],
    grpcServices: list(annotations[grpcServicesAnnotation]),
    autoAddress: false,
    createdAt: service.creationTimestamp,
    config: `Service/${namespace}/${name}`,
  };
};

const list = (text: string | undefined): readonly string[] =>
  (text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** One address with its ports, by name. */
interface Backend {
  readonly id: string;
  readonly address: string;
  readonly ports: ReadonlyMap<string, number>;
  readonly workload: string;
  readonly zone: string;
  readonly health: EndpointRecord["health"] | "notReady";
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const sliceBackends = (slice: ConfigOf<"EndpointSlice">): readonly Backend[] => {
  const ports = new Map(
    (slice.spec.ports ?? []).flatMap(({ name, port }) => (port ? [[name ?? "", port] as const] : [])),
  );
  return (slice.spec.endpoints ?? []).flatMap(({ addresses, conditions, zone, targetRef, hostname }, index) => {
    const [address] = addresses;
    if (!address) return [];
    const draining = conditions?.terminating === true && conditions.serving !== false;
    return [
      {
        id: `${slice.name}/${index}`,
        address,
        ports,
        workload: targetRef?.name ?? hostname ?? "",
        zone: zone ?? slice.spec.endpoints?.[index]?.deprecatedTopology?.["topology.kubernetes.io/zone"] ?? "",
        health: draining ? "draining" : conditions?.ready === false ? "notReady" : "healthy",
        labels: slice.labels,
        annotations: slice.annotations,
      } as const,
    ];
  });
};

const endpointsBackends = (endpoints: ConfigOf<"Endpoints">): readonly Backend[] =>
  (endpoints.spec.subsets ?? []).flatMap(({ addresses, notReadyAddresses, ports }, subset) => {
    const named = new Map((ports ?? []).map(({ name, port }) => [name ?? "", port] as const));
    const of = (ready: boolean, list: typeof addresses) =>
      (list ?? []).map(
        ({ ip, targetRef, hostname }, index): Backend => ({
          id: `${endpoints.name}/${subset}/${ready}/${index}`,
          address: ip,
          ports: named,
          workload: targetRef?.name ?? hostname ?? "",
          zone: "",
          health: ready ? "healthy" : "notReady",
          labels: endpoints.labels,
          annotations: endpoints.annotations,
        }),
      );
    return [...of(true, addresses), ...of(false, notReadyAddresses)];
  });

const externalBackend = ({ spec, name, labels, annotations }: KubernetesService): Backend | undefined =>
  spec.type === "ExternalName" && spec.externalName
    ? {
        id: "external",
        address: spec.externalName,
        ports: new Map(),
        workload: name,
        zone: "",
        health: "healthy",
        labels,
        annotations,
      }
    : undefined;

/** A port of the backend belongs to the service's port of the same name; a lone unnamed one to the lone port. */
const recordsOf = (service: KubernetesService, backend: Backend, domain: string): readonly EndpointRecord[] => {
  const ready = backend.health !== "notReady" || service.spec.publishNotReadyAddresses === true;
  const serviceAccount =
    backend.annotations[serviceAccountAnnotation] ?? service.annotations[serviceAccountAnnotation] ?? "";
  const labels = { ...service.spec.selector, ...backend.labels };
  return portsOf(service).flatMap((port): readonly EndpointRecord[] => {
    const at = backend.ports.size === 0 ? port.targetPort : backend.ports.get(port.name);
    if (at === undefined) return [];
    return [
      {
        key: `${source}/${service.namespace}/${service.name}/${port.number}/${backend.id}`,
        source,
        service: `${service.namespace}/${hostnameOf(service, domain)}`,
        servicePort: port.number,
        address: backend.address,
        port: at,
        workloadPort: at,
        namespace: service.namespace,
        workload: backend.workload === "" ? service.name : backend.workload,
        serviceAccount,
        labels,
        locality: backend.zone === "" ? "" : `/${backend.zone}/`,
        weight: 1,
        health: ready ? (backend.health === "notReady" ? "healthy" : backend.health) : "unhealthy",
        network: "",
        cluster: "",
        meshTls: hasMeshTls(labels, serviceAccount),
      },
    ];
  });
};
