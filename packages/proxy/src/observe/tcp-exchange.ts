import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { DownstreamInfo } from "../http/exchange.ts";

/**
 * One proxied TCP connection, as its metrics and log line see it. The engine fills it as the connection goes;
 * names match those of an HTTP exchange where they mean the same.
 */
export interface TcpExchange {
  readonly downstream: DownstreamInfo;
  cluster: Cluster | undefined;
  host: Host | undefined;
  readonly startMs: number;
  flags: string;
  /** Why the connection was ended by us: the log's CONNECTION_TERMINATION_DETAILS. */
  details: string;
  attempts: number;
  /** Bytes read from the client, and written to it. */
  requestBodyBytes: number;
  responseBodyBytes: number;
  upstreamFailure: string;
  peer: unknown;
  readonly upstreamTls?: { readonly localUri: string; readonly peerUri: string } | undefined;
  readonly upstreamLocalAddress?: string | undefined;
  /** How many of the bytes are in the metrics already. */
  reportedRequestBytes: number;
  reportedResponseBytes: number;
}
