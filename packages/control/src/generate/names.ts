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

const serverNameForm = /^outbound_\.(\d+)_\.([^_]*)_\.(.+)$/;

/** Whether the name is one of `meshServerName`: a cluster that passes mesh TLS on. */
export const isMeshServerName = (name: string): boolean => serverNameForm.test(name);

/** `undefined` when the name is not of that form, nor of that of `meshServerName`. */
export const parseClusterName = (name: string): ClusterNameParts | undefined => {
  const [, passedPort, passedSubset = "", passedHost] = serverNameForm.exec(name) ?? [];
  if (passedHost)
    return { direction: "outbound", port: Number(passedPort), subset: passedSubset, hostname: passedHost };
  const [direction, port, subset, hostname, more] = name.split("|");
  if ((direction !== "outbound" && direction !== "inbound") || more !== undefined) return undefined;
  if (subset === undefined || hostname === undefined || !/^\d+$/.test(port ?? "")) return undefined;
  return { direction, port: Number(port), subset, hostname };
};

export const passthroughCluster = "PassthroughCluster";
/** Looks up the hosts that requests for unknown places name. */
export const dynamicDnsCluster = "PassthroughDynamicDnsCluster";
export const blackHoleCluster = "BlackHoleCluster";
export const inboundPassthroughCluster = "InboundPassthroughCluster";
export const inboundPassthroughCluster6 = "InboundPassthroughClusterIpv6";
/** The route table of explicit mode's outbound listener. */
export const httpProxyRoute = "http_proxy";
