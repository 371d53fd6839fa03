/** Services and endpoints that Kubernetes objects describe: Service with Endpoints or EndpointSlice, in files or of a cluster. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Collection, Fetch, Graph } from "@weft/core/collection";
import { asKind, type ConfigItem, ofKind } from "../../model/config-item.ts";
import type { RegistryView } from "../../model/merged-services.ts";
import { protocolOfPort } from "../../model/protocol.ts";
import {
  type EndpointRecord,
  hasMeshTls,
  type ServicePort,
  type ServiceRecord,
  tlsModeLabel,
} from "../../model/service.ts";

type KubernetesService = ConfigOf<"Service">;

const fileSource = "Kubernetes";
export const kubernetesRank = 10;

/** Where the objects come from, where that is a cluster and not files. */
export interface ClusterOrigin {
  readonly source: string;
  readonly rank: number;
  /** What is known of the pod an address belongs to: `waits` leaves the address out for now, `undefined` is all there will be. */
  readonly podOf: (fetch: Fetch, namespace: string, pod: string) => PodOfEndpoint | "waits" | undefined;
  /** The object is missing from the cluster, which may be wrong: its addresses are used where nothing else is. */
  readonly isHeld: (fetch: Fetch, item: ConfigItem) => boolean;
  /** Whether what is in that namespace counts. */
  readonly isRead: (fetch: Fetch, namespace: string) => boolean;
}

export interface PodOfEndpoint {
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  /** `REGION/ZONE/SUBZONE`; "" where neither pod nor node says. */
  readonly locality: string;
  /** "" where nobody says. */
  readonly network: string;
}

interface Origin {
  readonly source: string;
  readonly rank: number;
  readonly domain: string;
}

/** Names the Service that an EndpointSlice belongs to. */
const serviceNameLabel = "kubernetes.io/service-name";
/** The annotation of `exportTo` on a Kubernetes Service: namespaces separated by commas. */
const exportToAnnotation = "networking.istio.io/exportTo";
/** Annotations that say what a file cannot know of the pods behind a Service. */
const serviceAccountAnnotation = "weft.dev/service-account";
const grpcServicesAnnotation = "weft.dev/grpc-services";

export const kubernetesRegistry = (
  graph: Graph,
  config: Collection<ConfigItem>,
  domain: string,
  cluster?: ClusterOrigin,
): RegistryView => {
  const origin: Origin = { source: cluster?.source ?? fileSource, rank: cluster?.rank ?? kubernetesRank, domain };
  const slices = config.index("slices of service", (item) => {
    const slice = asKind(item, "EndpointSlice");
    const name = slice?.labels[serviceNameLabel];
    return slice && name ? [`${slice.namespace}/${name}`] : [];
  });
  const isRead = (fetch: Fetch, { namespace }: KubernetesService): boolean => cluster?.isRead(fetch, namespace) ?? true;
  const held = (fetch: Fetch, item: ConfigItem, backends: readonly Backend[]): readonly Backend[] =>
    cluster?.isHeld(fetch, item) ? backends.map((backend) => ({ ...backend, held: true as const })) : backends;
  return {
    name: origin.source,
    services: graph.derive(`${origin.source} services`, config, (item, fetch) => {
      const service = asKind(item, "Service");
      return service && isRead(fetch, service) ? serviceRecord(service, origin) : undefined;
    }),
    endpoints: graph.derive(`${origin.source} endpoints`, config, (item, fetch) => {
      const service = asKind(item, "Service");
      if (!service || !isRead(fetch, service)) return [];
      const id = `${service.namespace}/${service.name}`;
      const found = fetch.where(slices, id);
      // Endpoints are the older form of the same; where slices exist they are the truth.
      const legacyItem = found.length > 0 ? undefined : fetch.get(config, `Endpoints/${id}`);
      const legacy = legacyItem && asKind(legacyItem, "Endpoints");
      const backends =
        legacyItem && legacy
          ? held(fetch, legacyItem, endpointsBackends(legacy))
          : found.flatMap((slice) => held(fetch, slice, ofKind([slice], "EndpointSlice").flatMap(sliceBackends)));
      const dns = externalBackend(service);
      const told = cluster ? backends.flatMap((backend) => withPod(backend, service, fetch, cluster)) : backends;
      const records = [...told, ...(dns ? [dns] : [])].flatMap((backend) => recordsOf(service, backend, origin));
      return found.length > 1 && cluster ? onePerAddress(records) : records;
    }),
  };
};

/** Adds what the pod says; an address whose pod is still to come waits for it. */
const withPod = (
  backend: Backend,
  { namespace }: KubernetesService,
  fetch: Fetch,
  cluster: ClusterOrigin,
): readonly Backend[] => {
  if (backend.pod === "") return [backend];
  const pod = cluster.podOf(fetch, namespace, backend.pod);
  if (pod === "waits") return [];
  return [pod ? { ...backend, of: pod } : backend];
};

/** While addresses move from one slice to another both have them: the usable one counts, then the first. */
const onePerAddress = (records: readonly EndpointRecord[]): readonly EndpointRecord[] => {
  const best = new Map<string, EndpointRecord>();
  for (const record of records) {
    const id = `${record.servicePort} ${record.address} ${record.port}`;
    const known = best.get(id);
    if (!known || worth(record) > worth(known)) best.set(id, record);
  }
  return best.size === records.length ? records : [...best.values()];
};
const worth = ({ held, health }: EndpointRecord): number =>
  held ? 0 : health === "healthy" ? 3 : health === "draining" ? 2 : 1;

const hostnameOf = ({ name, namespace }: { name: string; namespace: string }, domain: string): string =>
  `${name}.${namespace}.svc.${domain}`;

const portsOf = ({ spec }: KubernetesService): readonly ServicePort[] =>
  (spec.ports ?? []).map((port) => ({
    number: port.port,
    name: port.name ?? "",
    protocol: protocolOfPort({ appProtocol: port.appProtocol, name: port.name, transport: port.protocol }),
    targetPort: typeof port.targetPort === "number" ? port.targetPort : port.port,
  }));

const serviceRecord = (service: KubernetesService, { source, rank, domain }: Origin): ServiceRecord => {
  const { spec, namespace, name, annotations } = service;
  const headless = spec.clusterIP === "None";
  const ips = spec.clusterIPs?.length ? spec.clusterIPs : spec.clusterIP ? [spec.clusterIP] : [];
  const external = spec.type === "ExternalName";
  return {
    key: `${source}/${namespace}/${name}`,
    source,
    rank,
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
  /** The pod behind it; "" where it is none. */
  readonly pod: string;
  readonly of?: PodOfEndpoint;
  readonly held?: true;
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
        pod: podIn(targetRef),
        zone: zone ?? slice.spec.endpoints?.[index]?.deprecatedTopology?.["topology.kubernetes.io/zone"] ?? "",
        health: draining ? "draining" : conditions?.ready === false ? "notReady" : "healthy",
        labels: slice.labels,
        annotations: slice.annotations,
      } as const,
    ];
  });
};

const podIn = (reference: { readonly kind?: string; readonly name?: string } | undefined): string =>
  reference?.kind === "Pod" ? (reference.name ?? "") : "";

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
          pod: podIn(targetRef),
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
        pod: "",
        zone: "",
        health: "healthy",
        labels,
        annotations,
      }
    : undefined;

/** A port of the backend belongs to the service's port of the same name; a lone unnamed one to the lone port. */
const recordsOf = (
  service: KubernetesService,
  backend: Backend,
  { source, domain }: Origin,
): readonly EndpointRecord[] => {
  const ready = backend.health !== "notReady" || service.spec.publishNotReadyAddresses === true;
  const { of: pod, zone } = backend;
  const serviceAccount =
    pod?.serviceAccount ??
    backend.annotations[serviceAccountAnnotation] ??
    service.annotations[serviceAccountAnnotation] ??
    "";
  const labels = pod?.labels ?? { ...service.spec.selector, ...backend.labels };
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
        locality: pod?.locality || (zone === "" ? "" : `/${zone}/`),
        weight: 1,
        health: ready ? (backend.health === "notReady" ? "healthy" : backend.health) : "unhealthy",
        ...(backend.held ? { held: "absent" as const } : {}),
        network: pod?.network ?? "",
        cluster: "",
        // Every pod has a service account; only the label says that there is a proxy.
        meshTls: pod ? labels[tlsModeLabel] === "istio" : hasMeshTls(labels, serviceAccount),
      },
    ];
  });
};
