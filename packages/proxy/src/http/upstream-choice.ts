import { formatAddress, parseAddress } from "@weft/core/address";
import type { RequestHead } from "@weft/protocols/http/head";
import type { Cluster } from "../clusters/cluster.ts";
import { countAnswer } from "../clusters/counters.ts";
import type { Host } from "../clusters/host.ts";
import { isIp } from "../matching/cidr.ts";
import type { UpstreamProtocol } from "../pool/host-pools.ts";
import type { Exchange, LocalReply } from "./exchange.ts";
import type { HttpTools } from "./hcm-settings.ts";
import { droppedOverload, noHealthyUpstream } from "./local-reply.ts";
import type { RequestState } from "./request-state.ts";

type OriginalDst = Extract<Cluster["discovery"], { kind: "originalDst" }>;

const isAddress = (text: unknown): text is string => typeof text === "string" && isIp(parseAddress(text)?.host ?? "");

/** The address that dynamic metadata holds under those keys, or the first of a list there. */
const addressIn = (metadata: RequestState["metadata"] | undefined, keys: readonly string[]): unknown => {
  let value: unknown = metadata;
  for (const key of keys) {
    const inside = typeof value === "object" && value !== null && Object.hasOwn(value, key);
    value = inside ? (value as Readonly<Record<string, unknown>>)[key] : undefined;
  }
  return Array.isArray(value) ? value[0] : value;
};

/** What a header says, by the name of a pseudo header too. */
const headerOf = (request: RequestHead, name: string): string | undefined =>
  name === ":authority" || name === "host" ? request.authority : request.headers.get(name);

/** Where a request to an ORIGINAL_DST cluster goes: what metadata or the header says where they may, or where the client was going. */
const originalAddress = ({ downstream, request, cluster, state }: Exchange, { header, metadata }: OriginalDst) => {
  const refused = (text: unknown): undefined => {
    if (text !== undefined && cluster !== undefined) cluster.counters.originalDstHostInvalid++;
  };
  if (metadata !== undefined) {
    const told = addressIn(state?.metadata ?? downstream.proxied?.metadata, metadata);
    if (isAddress(told)) return told;
    refused(told);
  }
  if (header !== undefined) {
    const named = headerOf(request, header);
    if (isAddress(named)) return named;
    refused(named);
  }
  const { originalDestination } = downstream;
  return originalDestination && formatAddress(originalDestination);
};

/** The host of an ORIGINAL_DST cluster for that address, at the port that the cluster may have in place of the address's. */
export const hostAt = (
  originalHost: HttpTools["originalHost"],
  cluster: Cluster,
  address: string,
): Host | undefined => {
  const { discovery } = cluster;
  const port = discovery.kind === "originalDst" ? discovery.port : undefined;
  const target = port === undefined ? undefined : parseAddress(address);
  return originalHost(cluster, target && port !== undefined ? formatAddress({ host: target.host, port }) : address);
};

export const pickOriginal = (tools: HttpTools, exchange: Exchange, discovery: OriginalDst): Host | undefined => {
  const { cluster } = exchange;
  const address = originalAddress(exchange, discovery);
  return address === undefined || cluster === undefined ? undefined : hostAt(tools.originalHost, cluster, address);
};

/** The name that a server is asked for and has to prove, where the cluster takes it from requests; else empty. */
export const upstreamName = ({ http: { names } }: Cluster, request: RequestHead): string => {
  if (names === undefined) return "";
  const given = (names.header === "" ? undefined : headerOf(request, names.header)) || request.authority;
  const host = parseAddress(given)?.host ?? given;
  return host.startsWith("[") ? host.slice(1, -1) : host;
};

/** The cluster that a request was for when the proxy answered it before it chose one: for logs and metrics. */
export const clusterMeant = ({ route, request, chosen }: Exchange, tools: HttpTools): Cluster | undefined => {
  const action = route?.action;
  if (action?.kind !== "forward") return undefined;
  return tools.cluster((chosen ?? action.clusterName(request, tools.random())).cluster);
};

/** No host of the cluster takes the request, or it is one of those to drop: counts it, and gives the answer. */
export const nobodyToAsk = (cluster: Cluster): LocalReply => {
  const isDropped = cluster.wasDropped();
  if (!isDropped) cluster.counters.upstreamCxNoneHealthy++;
  countAnswer(cluster.counters, noHealthyUpstream.status);
  return isDropped ? droppedOverload : noHealthyUpstream;
};

/** The version to speak to a cluster for a client that speaks `protocol`. */
export const upstreamProtocol = ({ http }: Cluster, protocol: Exchange["protocol"]): UpstreamProtocol => {
  if (http.protocol === "downstream") return protocol === "HTTP/2" ? "http2" : "http1";
  return http.protocol;
};

/** ALPN in place of the transport's own, where a filter has chosen it. */
export const upstreamAlpn = (
  { upstreamAlpn: override }: Exchange,
  protocol: UpstreamProtocol,
): readonly string[] | undefined => {
  if (override === undefined) return undefined;
  return protocol === "http1" ? override.http11 : override.http2;
};
