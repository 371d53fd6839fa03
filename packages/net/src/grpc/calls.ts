/** Calls of a gRPC server: messages in, messages and a status out. */
import type { Logger } from "@weft/core/world";

/** Who is at the other end. */
export interface GrpcPeer {
  readonly address: string;
  readonly secure: boolean;
  /** The SPIFFE URI of a client certificate that a trusted root signed; never of another. */
  readonly spiffe: string | undefined;
}

export interface GrpcCallHead {
  readonly path: string;
  /** Lower-case names; of a repeated name the values are joined with commas. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly peer: GrpcPeer;
}

export interface BidiCall extends GrpcCallHead {
  /** Takes a framed message. False: the peer does not keep up; `drained` will be called when it does. */
  send(framed: Uint8Array): boolean;
  /** Ends the call with a status. Later calls of anything do nothing. */
  end(status: number, message?: string): void;
}

export interface BidiEvents {
  /** May throw GrpcError, which ends the call. */
  message(bytes: Uint8Array): void;
  drained(): void;
  /** The client will send no more; the server may go on. */
  halfClosed(): void;
  /** Once, whatever ended it. */
  closed(): void;
}

export type GrpcHandler =
  | { readonly kind: "unary"; readonly handle: (request: Uint8Array, call: GrpcCallHead) => Promise<Uint8Array> }
  | { readonly kind: "bidi"; readonly open: (call: BidiCall) => BidiEvents };

export interface CallOptions {
  /** By path. */
  readonly handlers: ReadonlyMap<string, GrpcHandler>;
  readonly log: Logger;
  readonly messageBytesMax: number;
  /** Where open streams are kept, for whoever ends them all. */
  readonly calls: Set<BidiCall>;
}
