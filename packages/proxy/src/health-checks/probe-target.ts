/** The cluster and the host that a check's connections are made in the name of: they count nowhere and have no limits. */
import { LocalLoad } from "../clusters/circuit-load.ts";
import type { Cluster, UpstreamTransport } from "../clusters/cluster.ts";
import { ClusterTimes } from "../clusters/cluster-times.ts";
import { createClusterCounters } from "../clusters/counters.ts";
import { localHostCounts } from "../clusters/counts.ts";
import type { Host, HostTarget } from "../clusters/host.ts";
import { createHost } from "../clusters/host-set.ts";
import { chooseTransport } from "../clusters/transport.ts";
import type { UpstreamTarget } from "../pool/open-upstream.ts";
import type { HealthCheckSettings } from "./check-settings.ts";

const never = Number.POSITIVE_INFINITY;
const unlimited = {
  maxConnections: never,
  maxPendingRequests: never,
  maxRequests: never,
  maxRetries: never,
  retryBudget: undefined,
};

const uncounted = (cluster: Cluster, { timeoutMs }: HealthCheckSettings): Cluster => ({
  ...cluster,
  connectTimeoutMs: timeoutMs,
  counters: createClusterCounters(),
  load: new LocalLoad(),
  limits: unlimited,
  times: new ClusterTimes("", undefined),
  preconnect: { perUpstreamRatio: 1, predictiveRatio: 1 },
  http: { ...cluster.http, maxRequestsPerConnection: never, maxConnectionDurationMs: undefined },
  report: () => undefined,
});

const addressFor = ({ target, check }: Host, altPort: number | undefined): HostTarget => {
  if (target.kind === "pipe") return target;
  return { kind: "ip", host: check?.host ?? target.host, port: altPort ?? check?.port ?? target.port };
};

/** What of a host its checks are made by; with another of them they have to begin anew. */
export interface ProbeFacts {
  readonly metadata: Host["metadata"];
  readonly check: Host["check"];
  readonly transport: UpstreamTransport;
}

const metadataOf = (host: Host, { transportCriteria }: HealthCheckSettings): Host["metadata"] =>
  transportCriteria ? { "envoy.transport_socket_match": transportCriteria } : host.metadata;

export const probeFacts = (cluster: Cluster, host: Host, settings: HealthCheckSettings): ProbeFacts => ({
  metadata: host.metadata,
  check: host.check,
  transport: chooseTransport({ ...host, metadata: metadataOf(host, settings) }, cluster.tls, cluster.defaultTransport),
});

/** Whether the host is still checked as it was by those facts. */
export const holdsFor = (
  { metadata, check, transport }: ProbeFacts,
  cluster: Cluster,
  host: Host,
  settings: HealthCheckSettings,
): boolean => {
  if (host.metadata === metadata && host.check === check) return true;
  return (
    host.check?.host === check?.host &&
    host.check?.port === check?.port &&
    (host.check?.hostname ?? "") === (check?.hostname ?? "") &&
    probeFacts(cluster, host, settings).transport === transport
  );
};

/** Where and how to check that host. */
export const probeTarget = (cluster: Cluster, host: Host, settings: HealthCheckSettings): UpstreamTarget => {
  const { alpn, altPort } = settings;
  const metadata = metadataOf(host, settings);
  const { transport } = probeFacts(cluster, host, settings);
  const offered = transport.kind === "tls" ? (alpn ?? transport.alpn) : [];
  const checked = createHost(
    {
      target: addressFor(host, altPort),
      unresolved: false,
      weight: 1,
      priority: 0,
      locality: host.locality,
      metadata,
      health: "healthy",
      hostname: host.hostname,
    },
    localHostCounts,
  );
  return { cluster: uncounted(cluster, settings), host: checked, transport, alpn: offered };
};

/** The name that a check asks for: the endpoint's own for checks, the check's, else the cluster's. */
export const probeAuthority = ({ name }: Cluster, { check }: Host, configured: string): string =>
  check?.hostname || configured || name;
