/** The client's steps from a cluster to its hosts and how they are reached, in words. */
import type { Host } from "@weft/proxy/clusters/host";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { OfflineCluster, OfflineProxy } from "./offline-proxy.ts";
import { round, step } from "./routing-steps.ts";
import { type ObjectRef, refOfConfig, type ServiceRef, type Step } from "./step.ts";
import { type Upstream, upstreamOf } from "./upstream.ts";

export interface ClusterPath {
  readonly steps: readonly Step[];
  /** Absent where the proxy has no such cluster. */
  readonly open: OfflineCluster | undefined;
  readonly upstream: Upstream | undefined;
}

interface IstioMetadata {
  readonly config?: string;
  readonly subset?: string;
  readonly services?: readonly { readonly host?: string; readonly namespace?: string }[];
}

const istioOf = ({ metadata }: ClusterJson): IstioMetadata => (metadata?.filterMetadata?.istio ?? {}) as IstioMetadata;

/** The DestinationRule of a cluster; its subsets are found by their name. */
const ruleOf = (json: ClusterJson): ObjectRef | undefined => {
  const { config, subset } = istioOf(json);
  return refOfConfig(config, subset === undefined ? "spec.trafficPolicy" : `spec.subsets[name=${subset}]`);
};

const serviceOf = (json: ClusterJson): ServiceRef | undefined => {
  const [first] = istioOf(json).services ?? [];
  return first?.host === undefined ? undefined : { host: first.host, namespace: first.namespace ?? "" };
};

/** `hash` is what the route hashes of the request. */
export const clusterPath = (proxy: OfflineProxy, name: string, hash: bigint | undefined): ClusterPath => {
  const json = proxy.resources.clusters.get(name);
  if (!json) return { steps: [missing(proxy, name)], open: undefined, upstream: undefined };
  const open = proxy.cluster(name);
  if (!open) {
    const why = proxy.problems.find((problem) => problem.startsWith(`cluster ${name}:`)) ?? "";
    return {
      steps: [step("client", "cluster", `${name}: cannot be read: ${why}`)],
      open: undefined,
      upstream: undefined,
    };
  }
  const upstream = upstreamOf(json, open, hash);
  const rule = ruleOf(json);
  const cluster = step("client", "cluster", `${name} (${json.type ?? "STATIC"})`, {
    notes: [...settingNotes(json, open), ...(rule ? [] : ["no DestinationRule says anything of it"])],
    refs: rule ? [rule] : [],
    service: serviceOf(json),
  });
  return { steps: [cluster, endpointStep(open, upstream)], open, upstream };
};

/** A cluster that is not there: of a known host, it is its subset that is missing. */
const missing = ({ resources }: OfflineProxy, name: string): Step => {
  const [, port = "", subset = "", host = ""] = name.split("|");
  const whole = resources.clusters.get(`outbound|${port}||${host}`);
  if (subset !== "" && whole) {
    const rule = refOfConfig(istioOf(whole).config, "spec.subsets");
    const known = [...resources.clusters.keys()].flatMap((each) => {
      const [, itsPort, itsSubset = "", itsHost] = each.split("|");
      return itsPort === port && itsHost === host && itsSubset !== "" ? [itsSubset] : [];
    });
    return step("client", "cluster", `${name}: missing. ${host} has no subset "${subset}"`, {
      notes: [known.length > 0 ? `its subsets are ${known.join(", ")}` : "no DestinationRule gives it subsets"],
      refs: rule ? [rule] : [],
    });
  }
  const ports = [...resources.clusters.keys()].flatMap((each) => {
    const [, itsPort = "", itsSubset, itsHost] = each.split("|");
    return itsHost === host && itsSubset === "" ? [itsPort] : [];
  });
  const found = ports.length > 0 ? `${host} has no port ${port}` : `the proxy knows no service ${host || name}`;
  const notes = ports.length > 0 ? [`its ports are ${ports.join(", ")}`] : [];
  return step("client", "cluster", `${name}: missing. ${found}`, { notes });
};

const settingNotes = (json: ClusterJson, { cluster }: OfflineCluster): readonly string[] => {
  const { limits } = cluster;
  const bounded = [
    ["connections", limits.maxConnections],
    ["pending requests", limits.maxPendingRequests],
    ["requests", limits.maxRequests],
    ["retries", limits.maxRetries],
  ] as const;
  const shown = bounded.flatMap(([what, most]) => (most < 4_294_967_295 ? [`${most} ${what}`] : []));
  return [
    `balanced by ${json.loadBalancingPolicy ? "its load balancing policy" : (json.lbPolicy ?? "ROUND_ROBIN")}`,
    ...(shown.length > 0 ? [`circuit breakers: at most ${shown.join(", ")}`] : []),
    ...(json.outlierDetection ? ["outlier detection is on"] : []),
  ];
};

const healthText = (host: Host): string => {
  if (host.ejected) return "ejected by outlier detection";
  if (host.edsStatus === "DRAINING") return "draining";
  return host.state === "unhealthy" && host.health !== "unhealthy" ? "failed its health checks" : host.state;
};

/** So many hosts are told by name. */
const hostsMax = 10;

const endpointStep = ({ cluster, hostsUnknown }: OfflineCluster, upstream: Upstream): Step => {
  const hosts = cluster.hosts();
  if (cluster.discovery.kind === "originalDst") {
    return step("client", "endpoints", "the address that the client dialled");
  }
  if (cluster.discovery.kind === "dynamic")
    return step("client", "endpoints", "whatever DNS says of the request's host");
  if (hostsUnknown) {
    return step("client", "endpoints", "unknown: they come by DNS, and the proxy could not be asked", {
      notes: ["--admin asks it"],
    });
  }
  const { eligible, priorities, byHash } = upstream;
  const listed = eligible.slice(0, hostsMax).map(({ address }) => address);
  const more = eligible.length > hostsMax ? ` and ${eligible.length - hostsMax} more` : "";
  const found = eligible.length === 0 ? `none of ${hosts.length} can be used` : `one of ${listed.join(", ")}${more}`;
  const out = hosts.filter((host) => !eligible.includes(host)).slice(0, hostsMax);
  return step("client", "endpoints", byHash ? `${byHash.address} by the request's hash, of ${hosts.length}` : found, {
    notes: [
      ...(priorities.length > 1 || priorities.some(({ panics }) => panics)
        ? priorities.map(
            ({ priority, percent, healthy, total, panics }) =>
              `priority ${priority}: ${round(percent)} % of requests, ${healthy} of ${total} healthy${panics ? ", panic: all are used" : ""}`,
          )
        : []),
      ...out.map(
        (host) => `not ${host.address}: ${healthText(host)}${host.priority > 0 ? `, priority ${host.priority}` : ""}`,
      ),
    ],
  });
};

/** How the client's proxy connects to the host. */
export const transportStep = ({ cluster }: OfflineCluster, host: Host, alpn: readonly string[]): Step => {
  const transport = cluster.transportOf(host);
  if (transport.kind !== "tls") {
    const offers = cluster.tls.length > 0;
    const why = offers ? [`${host.address} is not known to take the mesh's TLS`] : [];
    return step("client", "TLS", `plaintext to ${host.address}`, { notes: why });
  }
  const mutual = transport.certificate === undefined ? "TLS" : "mutual TLS";
  const offered = alpn.length > 0 ? alpn : transport.alpn;
  return step("client", "TLS", `${mutual} to ${host.address}`, {
    notes: [
      ...(transport.sni === "" ? [] : [`server name ${transport.sni}`]),
      ...(offered.length > 0 ? [`offers ${offered.join(", ")}`] : []),
    ],
  });
};
