/** Istio's names for clusters and server names. */

export interface ClusterNameParts {
  readonly direction: "outbound" | "inbound";
  readonly port: number;
  readonly subset: string;
  readonly hostname: string;
}

export const outboundCluster = (hostname: string, port: number, subset = ""): string =>
  `outbound|${port}|${subset}|${hostname}`;

export const inboundCluster = (port: number): string => `inbound|${port}||`;

/** The server name of mesh TLS: the cluster's name in the form of a DNS SRV name. */
export const meshServerName = (hostname: string, port: number, subset = ""): string =>
  `outbound_.${port}_.${subset}_.${hostname}`;

/** `undefined` when the name is not of that form. */
export const parseClusterName = (name: string): ClusterNameParts | undefined => {
  const [direction, port, subset, hostname, more] = name.split("|");
  if ((direction !== "outbound" && direction !== "inbound") || more !== undefined) return undefined;
  if (subset === undefined || hostname === undefined || !/^\d+$/.test(port ?? "")) return undefined;
  return { direction, port: Number(port), subset, hostname };
};

export const passthroughCluster = "PassthroughCluster";
export const blackHoleCluster = "BlackHoleCluster";
export const inboundPassthroughCluster = "InboundPassthroughCluster";
export const inboundPassthroughCluster6 = "InboundPassthroughClusterIpv6";
/** The route table of explicit mode's outbound listener. */
export const httpProxyRoute = "http_proxy";
