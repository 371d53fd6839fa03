/** A service of Nacos and its instances as the mesh calls them: Spring Cloud's and Dubbo's ways of registering, too. */
import type { NacosHost } from "@weft/protocols/nacos/answers";
import type { SourceInstance } from "../outside/source-events.ts";

export interface NacosService {
  readonly group: string;
  readonly service: string;
}

/** What a service is called, and what its name says of all its instances. */
export interface ServiceMapping {
  readonly service: string;
  readonly labels: ReadonlyMap<string, string>;
  /** The name is one of Dubbo's, whose instances speak Dubbo unless they say otherwise. */
  readonly dubbo: boolean;
}

export const labelCharsMax = 1_024;
export const labelsMax = 64;
export const weightMax = 65_535;

/**
 * `undefined` for what is no service: consumers, configurators and routers of Dubbo. A provider of Dubbo,
 * `providers:INTERFACE:VERSION:GROUP`, is the service INTERFACE with its version and group as labels. In one group a
 * service has its own name; where several are read, those of another than the first are `GROUP@@SERVICE`.
 */
export const mapService = ({ group, service }: NacosService, groups: readonly string[]): ServiceMapping | undefined => {
  const [category, name = "", version = "", dubboGroup = ""] = service.split(":");
  if (name !== "" && /^(consumers|configurators|routers)$/.test(category ?? "")) return undefined;
  const dubbo = name !== "" && category === "providers";
  const own = dubbo ? name : service;
  const labels = new Map<string, string>();
  if (dubbo && version !== "") labels.set("version", version);
  if (dubbo && dubboGroup !== "") labels.set("group", dubboGroup);
  return { service: group === groups[0] ? own : `${group}@@${own}`, labels, dubbo };
};

/** The keys of the metadata that are read for something else than labels. */
const meaning = {
  protocol: "protocol",
  locality: "locality",
  region: "region",
  zone: "zone",
  servicePort: "service-port",
  serviceAccount: "service-account",
  endpoints: "dubbo.endpoints",
  source: "preserved.register.source",
  secure: "secure",
} as const;

/** Where an instance's cluster is kept, as a label to choose instances by. */
export const clusterLabel = "nacos-cluster";

/** What the schemes of Dubbo speak, where it is more than bytes. */
const dubboProtocols: ReadonlyMap<string, string> = new Map([
  ["tri", "grpc"],
  ["grpc", "grpc"],
  ["rest", "http"],
  ["http", "http"],
  ["webservice", "http"],
  ["hessian", "http"],
  ["dubbo", "tcp"],
  ["rmi", "tcp"],
  ["thrift", "tcp"],
]);

export interface HostPlace {
  readonly key: string;
  readonly namespace: string;
  readonly mapping: ServiceMapping;
  /** What weights of this service are multiplied with: from `weightScale`. */
  readonly scale: number;
}

/** Weights are whole numbers in the mesh: where one of a service is not, all of them are multiplied, so that they stay in proportion. */
export const weightScale = (weights: readonly number[]): number => {
  if (weights.every((weight) => Number.isInteger(weight))) return 1;
  const greatest = weights.reduce((most, weight) => Math.max(most, weight), 0);
  return Math.max(1, Math.min(100, Math.floor(weightMax / greatest)));
};

/** An instance that is switched off, or weighs nothing, gets no new requests. */
export const readInstance = (host: NacosHost, { key, namespace, mapping, scale }: HostPlace): SourceInstance => {
  const { metadata } = host;
  const servicePort = Number(metadata.get(meaning.servicePort));
  const scaled = Math.min(weightMax, Math.round(host.weight * scale));
  const weight = host.weight > 0 ? Math.max(1, scaled) : 0;
  return {
    ...{ key, namespace, service: mapping.service, id: `${host.ip}:${host.port}` },
    ...{ address: host.ip, port: host.port },
    servicePort: Number.isInteger(servicePort) && servicePort > 0 && servicePort < 65_536 ? servicePort : undefined,
    protocol: protocolOf(host, mapping),
    labels: labelsOf(host, mapping),
    serviceAccount: serviceAccountOf(metadata),
    locality: localityOf(metadata),
    weight,
    health: healthOf(host),
  };
};

const healthOf = ({ enabled, healthy, weight }: NacosHost): SourceInstance["health"] => {
  if (!enabled || weight === 0) return "draining";
  return healthy ? "healthy" : "unhealthy";
};

const protocolOf = ({ metadata, port }: NacosHost, { dubbo }: ServiceMapping): string | undefined => {
  const said = metadata.get(meaning.protocol)?.toLowerCase() ?? endpointProtocol(metadata, port);
  if (said !== undefined && said !== "") return dubboProtocols.get(said) ?? said;
  if (dubbo) return "tcp";
  if (metadata.get(meaning.source) !== "SPRING_CLOUD") return undefined;
  return metadata.get(meaning.secure) === "true" ? "https" : "http";
};

/** Dubbo per application: `[{"port":20880,"protocol":"dubbo"}]`. */
const endpointProtocol = (metadata: ReadonlyMap<string, string>, port: number): string | undefined => {
  const text = metadata.get(meaning.endpoints);
  if (text === undefined) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    const found = Array.isArray(list) ? list.find((one) => one?.port === port) : undefined;
    return typeof found?.protocol === "string" ? found.protocol.toLowerCase() : "tcp";
  } catch {
    return "tcp";
  }
};

/** The metadata is the application's: what is no locality there, or no name, is something else of its own. */
const localityOf = (metadata: ReadonlyMap<string, string>): string => {
  const [region = "", zone = ""] = [metadata.get(meaning.region), metadata.get(meaning.zone)];
  const said = metadata.get(meaning.locality) ?? (zone === "" ? region : `${region}/${zone}`);
  return said.length <= labelCharsMax && said.split("/").length <= 3 ? said : "";
};

const serviceAccountOf = (metadata: ReadonlyMap<string, string>): string => {
  const said = metadata.get(meaning.serviceAccount) ?? "";
  return /^[a-z0-9.-]{0,253}$/.test(said) ? said : "";
};

/** What is too long for a label or one too many is left out, as applications keep other things in the metadata too. */
const labelsOf = ({ metadata, clusterName }: HostPlaceLabels, { labels }: ServiceMapping): Record<string, string> => {
  const fits = [...metadata].filter(
    ([name, value]) =>
      name !== "" && name.length <= labelCharsMax && value.length <= labelCharsMax && name !== meaning.endpoints,
  );
  const own = fits.slice(0, labelsMax - labels.size - 1);
  return Object.fromEntries([...own, ...labels, [clusterLabel, clusterName]]);
};

type HostPlaceLabels = Pick<NacosHost, "metadata" | "clusterName">;
