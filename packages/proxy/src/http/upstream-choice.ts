import { formatAddress } from "@weft/core/address";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { UpstreamProtocol } from "../pool/host-pools.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpTools } from "./hcm-settings.ts";

/** The host of an ORIGINAL_DST cluster: where the client was going, or what the header says where it may. */
export const pickOriginal = (tools: HttpTools, exchange: Exchange, useHeader: boolean): Host | undefined => {
  const { downstream, request, cluster } = exchange;
  const named = useHeader ? request.headers.get("x-envoy-original-dst-host") : undefined;
  const { originalDestination } = downstream;
  const address = named ?? (originalDestination && formatAddress(originalDestination));
  return address === undefined || cluster === undefined ? undefined : tools.originalHost(cluster, address);
};

/** The cluster that a request was for when the proxy answered it before it chose one: for logs and metrics. */
export const clusterMeant = ({ route, request }: Exchange, tools: HttpTools): Cluster | undefined => {
  const action = route?.action;
  return action?.kind === "forward" ? tools.cluster(action.clusterName(request, tools.random()).cluster) : undefined;
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
