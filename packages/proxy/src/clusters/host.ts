import type { Latency } from "../balancers/peak-ewma.ts";
import type { HostCounts } from "./counts.ts";

/**
 * One endpoint as the proxy uses it. Its cluster owns it and carries it over by address when endpoints or
 * configuration change, so counters, ejection and pooled connections survive. Balancers only read it.
 */
export interface Host {
  /** `10.0.0.1:80`, `[::1]:80`, or a socket path; the identity of the host within its cluster. */
  readonly address: string;
  readonly target: HostTarget;
  /** All its addresses, of which a connection goes to whichever answers first; absent where `target` is the only one. */
  addresses?: readonly HostTarget[] | undefined;
  /** The name it was given, or that DNS knows it by; empty when there is none. */
  hostname: string;
  weight: number;
  priority: number;
  locality: Locality;
  /** Endpoint metadata, `filter_metadata` as received: transport socket choice, subsets, `istio.workload`. */
  metadata: HostMetadata;
  /** What xDS says; ejection and active checks are separate. */
  health: HostHealth;
  /** The word of xDS itself, of which `health` is what follows. */
  edsStatus: EdsStatus;
  /** All in all: what xDS, active checks and outlier detection say. */
  readonly state: HostHealth;
  readonly ejected: boolean;
  /** Requests and TCP connections in flight now, over all streams and threads. */
  readonly activeRequests: number;
  readonly stats: HostStats;
  /** Since when it is healthy without a break, on the monotonic clock; NaN before it ever was. */
  healthySinceMs: number;
  /** How long it takes to answer, where the balancer wants to know. */
  latency: Latency | undefined;
  /** How its cluster saw it last, as `seenBits`. */
  seen: number;
  /** How it is checked actively, where the cluster does that. */
  check: EndpointCheck | undefined;
  /** Where `activeRequests`, `ejected` and `stats` are kept: a request enters here and leaves. */
  readonly counts: HostCounts;
  /** The pool of connections to this host; only the connection pool looks inside. */
  pool: Disposable | undefined;
  /** What ends when checks or outlier detection put the host out, where its cluster wants that. */
  ties: Set<{ close(): void }> | undefined;
  /** True once the host has left its cluster: no new request, its connections drain. */
  removed: boolean;
}

export type HostHealth = "healthy" | "degraded" | "unhealthy";
export type EdsStatus = "UNKNOWN" | "HEALTHY" | "UNHEALTHY" | "DRAINING" | "TIMEOUT" | "DEGRADED";

/** What an endpoint says of its own active checks. */
export interface EndpointCheck {
  readonly disabled: boolean;
  /** In place of the endpoint's own address and port, and of the name that checks ask for. */
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly hostname: string;
}

/** What of a host's state a change is told by. */
export const seenBits = { out: 1, failedCheck: 2 } as const;

/** What active checks found, as bits. */
export const checkFlags = {
  failed: 1,
  timeout: 2,
  degraded: 4,
  /** Not checked yet, where that keeps a host out of all counting. */
  pending: 8,
  /** It said that it must not be used (`x-envoy-immediate-health-check-fail`). */
  excluded: 16,
  /** xDS no longer names it; it stays while its checks pass. */
  leaving: 32,
} as const;

export type HostTarget =
  | { readonly kind: "ip"; readonly host: string; readonly port: number }
  | { readonly kind: "pipe"; readonly path: string };

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

export type HostMetadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Counters that `/clusters` shows per host. */
export interface HostStats {
  cxTotal: number;
  cxActive: number;
  cxConnectFail: number;
  rqTotal: number;
  rqSuccess: number;
  rqError: number;
  rqTimeout: number;
  /** Requests that wait for a connection to it. */
  rqPendingActive: number;
}
