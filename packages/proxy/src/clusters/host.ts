import type { HostCounts } from "./counts.ts";

/**
 * One endpoint as the proxy uses it. Its cluster owns it and carries it over by address when endpoints or
 * configuration change, so counters, ejection and pooled connections survive. Balancers only read it.
 */
export interface Host {
  /** `10.0.0.1:80`, `[::1]:80`, or a socket path; the identity of the host within its cluster. */
  readonly address: string;
  readonly target: HostTarget;
  /** The name it was given, or that DNS knows it by; empty when there is none. */
  readonly hostname: string;
  weight: number;
  priority: number;
  locality: Locality;
  /** Endpoint metadata, `filter_metadata` as received: transport socket choice, subsets, `istio.workload`. */
  metadata: HostMetadata;
  /** What xDS says; ejection is separate. */
  health: "healthy" | "degraded" | "unhealthy";
  readonly ejected: boolean;
  /** Requests and TCP connections in flight now, over all streams and threads. */
  readonly activeRequests: number;
  readonly stats: HostStats;
  /** Where `activeRequests`, `ejected` and `stats` are kept: a request enters here and leaves. */
  readonly counts: HostCounts;
  /** The pool of connections to this host; only the connection pool looks inside. */
  pool: Disposable | undefined;
  /** True once the host has left its cluster: no new request, its connections drain. */
  removed: boolean;
}

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
