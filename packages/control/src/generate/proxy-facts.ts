/** What generation reads of a proxy: parsed once from its xDS node. */
import { isLoopback, parseAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { onDemandFeature } from "@weft/xds/client-features";

/** A port the proxy takes connections at for its application. */
export interface InboundPort {
  /** Where the proxy listens and what the mesh dials. */
  readonly address: string;
  readonly port: number;
  /** Where the application listens. */
  readonly appAddress: string;
  readonly appPort: number;
  readonly protocol: string;
  readonly name: string;
  /** Hostname or short name of the service it belongs to, where known. */
  readonly service: string | undefined;
}

export type InterceptionMode = "NONE" | "REDIRECT" | "TPROXY";

export interface ProxyFacts {
  readonly id: string;
  /** A certificate shows that it is who it says: only such a proxy is sent keys. */
  readonly authenticated: boolean;
  readonly kind: "sidecar" | "gateway" | "grpc";
  /** The addresses of the proxy's workload, the one in the node's id first. */
  readonly addresses: readonly string[];
  readonly workload: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cluster: string;
  readonly locality: string;
  readonly mode: InterceptionMode;
  /** What the client calls itself, such as `envoy`. */
  readonly agent: string;
  /** Our own sidecar: has Istio's filters and its own keys. */
  readonly native: boolean;
  /** Takes virtual hosts one by one, as its workload names them. */
  readonly asksOnDemand: boolean;
  /** The SDS cluster that gives it keys; `undefined`: it has none, so no TLS is configured. */
  readonly sdsCluster: string | undefined;
  /** Its application looks names up through it. */
  readonly dnsCapture: boolean;
  /** Where it is to answer DNS itself. */
  readonly dnsAddress: SocketAddress | undefined;
  readonly outbound: SocketAddress;
  readonly inbound: readonly InboundPort[];
  /** What patches of EnvoyFilters ask of a proxy. */
  readonly envoyFacts: EnvoyFacts;
}

export interface EnvoyFacts {
  /** The version of Istio its configuration is for. */
  readonly istioVersion: string;
  /** Node metadata that is text. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The node message in proto JSON, in lowerCamelCase. */
export interface NodeJson {
  readonly id?: string;
  readonly cluster?: string;
  readonly metadata?: unknown;
  readonly locality?: { readonly region?: string; readonly zone?: string; readonly subZone?: string };
  readonly userAgentName?: string;
  readonly clientFeatures?: readonly string[];
}

/** Its machine has an IPv6 address, so it takes what is intercepted at all of those too. */
export const hasIPv6 = ({ addresses }: ProxyFacts): boolean => addresses.some((address) => address.includes(":"));

const inboundPortsMax = 256;
const labelsMax = 256;
/** The cluster through which our own sidecar reads its secrets. */
export const nativeSdsCluster = "sds-grpc";

/**
 * Reads a node. Refuses (WeftError WF3001) an id that is not `TYPE~IP~WORKLOAD.NAMESPACE~DOMAIN`, unless it is a gRPC
 * client's, which may be anything; refuses metadata of the wrong shape (WF3002).
 */
export const parseProxyFacts = (node: NodeJson, authenticated = false): ProxyFacts => {
  const metadata = record(node.metadata) ?? {};
  const isGrpc = metadata.GENERATOR === "grpc" || /^grpc|^gRPC/.test(node.userAgentName ?? "");
  const id = node.id ?? "";
  const [type, ip, name, domain] = id.split("~");
  const wellFormed =
    (type === "sidecar" || type === "router" || type === "ingress") && ip !== undefined && domain !== undefined;
  if (!wellFormed && !isGrpc) {
    throw new WeftError(
      "WF3001",
      `node id "${id}" is not of the form sidecar~IP~WORKLOAD.NAMESPACE~NAMESPACE.svc.DOMAIN`,
    );
  }
  const dot = name?.lastIndexOf(".") ?? -1;
  const namespace = text(metadata.NAMESPACE) ?? (name && dot > 0 ? name.slice(dot + 1) : "default");
  const native = text(metadata.WEFT_VERSION) !== undefined && !isGrpc;
  const ips = text(metadata.INSTANCE_IPS)?.split(",") ?? [];
  return {
    id,
    authenticated,
    kind: isGrpc ? "grpc" : type === "sidecar" ? "sidecar" : "gateway",
    addresses: [...new Set([...(wellFormed && ip ? [ip] : []), ...ips.filter((address) => address !== "")])],
    workload: text(metadata.WORKLOAD_NAME) ?? (name && dot > 0 ? name.slice(0, dot) : (name ?? "")),
    namespace,
    serviceAccount: text(metadata.SERVICE_ACCOUNT) ?? "default",
    labels: parseLabels(metadata.LABELS),
    cluster: text(metadata.CLUSTER_ID) ?? "",
    locality: localityText(node.locality),
    mode: parseMode(text(metadata.INTERCEPTION_MODE)),
    agent: node.userAgentName ?? "",
    native,
    asksOnDemand: native && node.clientFeatures?.includes(onDemandFeature) === true,
    sdsCluster: native ? nativeSdsCluster : text(metadata.WEFT_SDS),
    ...parseDns(metadata, native),
    outbound: parseAddress(text(metadata.WEFT_OUTBOUND) ?? "") ?? { host: "127.0.0.1", port: 15001 },
    inbound: parseInbound(metadata.WEFT_INBOUND),
    envoyFacts: {
      istioVersion: text(metadata.ISTIO_VERSION) ?? likeIstio,
      metadata: textsOf(metadata),
    },
  };
};

const textsOf = (metadata: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> => {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(metadata)) if (typeof value === "string") texts.set(name, value);
  return texts;
};

/** The release whose configuration we generate, for proxies that name none. */
const likeIstio = "1.31.0";

const record = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

const localityText = (locality: NodeJson["locality"]): string =>
  locality?.region ? `${locality.region}/${locality.zone ?? ""}/${locality.subZone ?? ""}` : "";

/** Istio's default is REDIRECT; a proxy that does not intercept says NONE. */
const parseMode = (mode: string | undefined): InterceptionMode => {
  if (mode === undefined || mode === "REDIRECT") return "REDIRECT";
  if (mode === "NONE" || mode === "TPROXY") return mode;
  throw new WeftError("WF3002", `node metadata INTERCEPTION_MODE is "${mode}"`, {
    next: "write NONE, REDIRECT or TPROXY",
  });
};

/** Istio's port; somebody else may answer there for a proxy that is not ours, unless it says where. */
const dnsDefault: SocketAddress = { host: "127.0.0.1", port: 15_053 };

const parseDns = (
  metadata: Readonly<Record<string, unknown>>,
  native: boolean,
): Pick<ProxyFacts, "dnsCapture" | "dnsAddress"> => {
  const captures = metadata.DNS_CAPTURE === true || metadata.DNS_CAPTURE === "true";
  const written = text(metadata.WEFT_DNS);
  if (written === undefined) return { dnsCapture: captures, dnsAddress: captures && native ? dnsDefault : undefined };
  const address = parseAddress(written);
  if (address === undefined || !isLoopback(address.host) || address.host === "localhost") {
    throw new WeftError("WF3002", `node metadata WEFT_DNS is "${written}"`, {
      next: "write HOST:PORT, an address of loopback: names are looked up from there only",
    });
  }
  return { dnsCapture: true, dnsAddress: address };
};

const noLabels: Readonly<Record<string, string>> = {};

const parseLabels = (value: unknown): Readonly<Record<string, string>> => {
  if (value === undefined) return noLabels;
  const entries = Object.entries(record(value) ?? {});
  if (entries.length > labelsMax)
    throw new WeftError("WF3002", `node metadata LABELS has more than ${labelsMax} labels`);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
};

/** A list, or the same list as JSON text, which is what an environment variable can carry. */
const parseInbound = (value: unknown): readonly InboundPort[] => {
  if (value === undefined || value === "") return [];
  const list = typeof value === "string" ? parseJson(value) : value;
  if (!Array.isArray(list)) throw new WeftError("WF3002", "node metadata WEFT_INBOUND is not a list of ports");
  if (list.length > inboundPortsMax)
    throw new WeftError("WF3002", `WEFT_INBOUND has more than ${inboundPortsMax} ports`);
  return list.map(parseInboundPort);
};

const parseJson = (value: string): unknown => {
  try {
    return JSON.parse(value);
  } catch (cause) {
    throw new WeftError("WF3002", "node metadata WEFT_INBOUND is not JSON", { cause });
  }
};

const parseInboundPort = (value: unknown, index: number): InboundPort => {
  const entry = record(value) ?? {};
  const port = portNumber(entry.port);
  const appPort = portNumber(entry.appPort) ?? port;
  if (port === undefined || appPort === undefined) {
    throw new WeftError("WF3002", `WEFT_INBOUND[${index}] has no valid port`);
  }
  const protocol = text(entry.protocol) ?? "";
  return {
    address: text(entry.address) ?? "127.0.0.1",
    port,
    appAddress: text(entry.appAddress) ?? "127.0.0.1",
    appPort,
    protocol,
    name: text(entry.name) ?? protocol,
    service: text(entry.service),
  };
};

const portNumber = (value: unknown): number | undefined => {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && Number.isInteger(number) && number > 0 && number < 65_536 ? number : undefined;
};
