/** What the failover bench and the process that holds its sidecars tell each other. */
import type { OpenStreams } from "../ads/messages.ts";

export interface OpenSidecars {
  readonly kind: "open";
  /** xDS of each replica; all sidecars begin with the first. */
  readonly addresses: readonly string[];
  /** Absent: in plaintext. */
  readonly tls?: OpenStreams["tls"];
  readonly sidecars: number;
  /** Clusters to choose from, and how many each sidecar asks for, with their endpoints. */
  readonly names: readonly string[];
  readonly each: number;
}

/** Resolves when every sidecar has lost its stream and is in sync on another. */
export interface AwaitFailover {
  readonly kind: "failover";
}

export type Command = OpenSidecars | AwaitFailover;

export interface Opened {
  readonly tookMs: number;
  /** Read from sockets, by all sidecars. */
  readonly bytes: number;
}

export interface FailedOver {
  /** From the first stream lost until each sidecar had its answers again, sorted. */
  readonly inSyncMs: readonly number[];
  /** Read from the new connections' sockets; and how many of them were handshakes of TLS. */
  readonly bytes: number;
  readonly handshakeBytes: number;
  /** Resources that were sent again. */
  readonly resources: number;
  readonly connections: number;
  /** Most sidecars that came into sync in a tenth of a second. */
  readonly burst: number;
}

export type Answer = { readonly opened: Opened } | { readonly failedOver: FailedOver } | { readonly failed: string };
