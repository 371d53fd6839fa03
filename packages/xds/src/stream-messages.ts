/** What goes in and out of a server stream: decoded xDS messages of both protocols as plain data. */
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { Snapshot, SnapshotEntry } from "./snapshot.ts";

export type StreamMode = "sotw" | "delta";

interface RequestCommon {
  readonly typeUrl: string;
  /** Empty when it answers nothing. */
  readonly nonce: string;
  /** Given in a NACK only. */
  readonly error: string | undefined;
  readonly node: NodeJson | undefined;
}

export interface SotwRequest extends RequestCommon {
  readonly mode: "sotw";
  readonly version: string;
  readonly names: readonly string[];
}

export interface DeltaRequest extends RequestCommon {
  readonly mode: "delta";
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: ReadonlyMap<string, string>;
}

export type StreamRequest = SotwRequest | DeltaRequest;

export interface StreamResponse {
  readonly mode: StreamMode;
  readonly typeUrl: string;
  readonly nonce: string;
  /** SotW: hash of what is sent. Delta: the push's number, which says nothing about the content. */
  readonly version: string;
  readonly entries: readonly SnapshotEntry[];
  /** Delta only. */
  readonly removed: readonly string[];
  /** Delta only: other names that entries are asked for by, by their own. */
  readonly aliases?: ReadonlyMap<string, readonly string[]>;
}

export type StreamInput =
  | { readonly kind: "request"; readonly request: StreamRequest }
  | { readonly kind: "push"; readonly snapshot: Snapshot }
  /** Whether the peer takes more bytes. */
  | { readonly kind: "writable"; readonly writable: boolean }
  | { readonly kind: "tick" };

export type StreamOutput =
  /** The first request named the proxy; a snapshot for it is wanted. Comes once. */
  | { readonly kind: "node"; readonly node: NodeJson }
  | { readonly kind: "send"; readonly response: StreamResponse }
  | { readonly kind: "acked"; readonly typeUrl: string; readonly sentAtMs: number; readonly epoch: number }
  | { readonly kind: "nacked"; readonly typeUrl: string; readonly error: string; readonly names: readonly string[] }
  /** What is larger than one message to this client may be is not sent; the client keeps what it has. */
  | { readonly kind: "tooLarge"; readonly typeUrl: string; readonly error: string }
  /** The peer broke the protocol: end the stream with this gRPC status. */
  | { readonly kind: "close"; readonly status: number; readonly message: string };

/** `ERROR`: something could not be sent to this client at all. */
export type SyncStatus = "SYNCED" | "STALE" | "NOT SENT" | "NACK" | "ERROR";

/** Per type, what `syncz` shows. Times are the stream's clock. */
export interface TypeSync {
  readonly typeUrl: string;
  readonly status: SyncStatus;
  /** Of what was last sent. */
  readonly version: string;
  readonly ackedVersion: string;
  readonly nonce: string;
  readonly sentAtMs: number | undefined;
  readonly ackedAtMs: number | undefined;
  readonly error: string | undefined;
  /** Names that the error speaks of; none where it does not say. */
  readonly rejected: ReadonlySet<string>;
  readonly wildcard: boolean;
  readonly names: number;
}
