/** Where a connection of bare bytes goes: the cluster, and what is asked of its host. */
import { formatAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import type { TcpProxyJson } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import type { HashPolicyJson } from "@weft/xds/gen/envoy/type/v3/hash_policy";
import type { MetadataMatch } from "../balancers/balancer.ts";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import { refuseOthers, required } from "../compile/fields.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { hostAt } from "../http/upstream-choice.ts";
import { compileMetadataMatch } from "../routing/metadata-match.ts";
import { xxHash64 } from "../routing/xxhash64.ts";

export interface TcpChoice {
  readonly cluster: string;
  readonly metadataMatch: MetadataMatch | undefined;
}

/** `draw` is in [0, 1). */
export type ChooseTcp = (draw: number, downstream: DownstreamInfo) => TcpChoice;

export const serverNameOf = ({ requestedServerName, tls }: DownstreamInfo): string =>
  requestedServerName || (tls?.sni ?? "");

/** With `bySni` the name that a client asks for by TLS is its cluster's name, where it asks for one. */
export const compileChoice = (json: TcpProxyJson, bySni: boolean): ChooseTcp => {
  const choose = compileClusters(json);
  if (!bySni) return choose;
  return (draw, downstream) => {
    const cluster = serverNameOf(downstream);
    return cluster === "" ? choose(draw, downstream) : { ...choose(draw, downstream), cluster };
  };
};

const compileClusters = (json: TcpProxyJson): ChooseTcp => {
  const metadataMatch = compileMetadataMatch(json.metadataMatch, "metadataMatch");
  if (!json.weightedClusters) {
    const only = { cluster: required(json.cluster, "cluster"), metadataMatch };
    return () => only;
  }
  const clusters = (json.weightedClusters.clusters ?? []).map((each, index) => {
    const at = `weightedClusters.clusters[${index}]`;
    refuseOthers(each, "TcpClusterWeight", at, ["name", "weight", "metadataMatch"]);
    return {
      cluster: required(each.name, `${at}.name`),
      weight: each.weight ?? 0,
      metadataMatch: compileMetadataMatch(each.metadataMatch, `${at}.metadataMatch`, metadataMatch),
    };
  });
  const total = clusters.reduce((sum, { weight }) => sum + weight, 0);
  const last = clusters.at(-1);
  if (total === 0 || last === undefined) throw new ConfigError("weightedClusters", "the weights must not all be 0");
  return (draw) => {
    let left = draw * total;
    for (const each of clusters) {
      left -= each.weight;
      if (left < 0) return each;
    }
    return last;
  };
};

export type HashConnection = (downstream: DownstreamInfo) => bigint | undefined;

/** Envoy hashes the client's address, without its port, as text. */
export const compileTcpHash = (list: readonly HashPolicyJson[] | undefined): HashConnection | undefined => {
  if (list === undefined || list.length === 0) return undefined;
  for (const [index, policy] of list.entries()) {
    refuseOthers(policy, "HashPolicy", `hashPolicy[${index}]`, ["sourceIp"]);
    if (!policy.sourceIp) throw new ConfigError(`hashPolicy[${index}]`, "says nothing of what is hashed");
  }
  return ({ remoteHost }) => xxHash64(remoteHost);
};

export interface TcpPick {
  readonly hash: bigint | undefined;
  readonly metadataMatch: MetadataMatch | undefined;
}

/** The host that a connection for bare bytes goes to; a cluster of names that clients ask for is not asked here. */
export const pickHost = (
  originalHost: (cluster: Cluster, address: string) => Host | undefined,
  cluster: Cluster,
  downstream: DownstreamInfo,
  pick: TcpPick,
): Host | undefined => {
  if (cluster.discovery.kind === "dynamic") return undefined;
  if (cluster.discovery.kind !== "originalDst") return cluster.pick(pick);
  // A connection that was not redirected has nowhere to go but here, which would be a loop.
  const { originalDestination } = downstream;
  return originalDestination && hostAt(originalHost, cluster, formatAddress(originalDestination));
};
