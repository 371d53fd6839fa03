import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { UpstreamIdentities } from "../http/streams.ts";

/** The upstream's side of a proxied connection: a connection of its own, or a tunnel through another proxy. */
export interface UpstreamLink {
  readonly cluster: Cluster;
  readonly host: Host;
  /** Whom it tells; may change. */
  owner: LinkOwner;
  /** It stands: bytes written go out. */
  readonly ready: boolean;
  readonly open: boolean;
  /** More waits than should: stop the source until `onServerDrain`. */
  readonly congested: boolean;
  readonly identities: UpstreamIdentities | undefined;
  readonly localAddress: string;
  /** Begins; the reason, counted, when there is nothing to begin with. To be called once. */
  start(): string | undefined;
  write(bytes: Buffer): void;
  pause(): void;
  resume(): void;
  end(): void;
  /** The same where both sides are at their end: what waits has so many milliseconds to go out; 0 is for ever. */
  endWithin(timeoutMs: number): void;
  reset(): void;
  destroy(): void;
  /** Closes it; its owner hears nothing more and its cluster no failure. */
  abandon(): void;
}

/** `onNotDialed` or `onServerClose` comes last, and once; after `abandon` nothing comes. */
export interface LinkOwner {
  onDialed(link: UpstreamLink): void;
  /** The connection never stood; counted and reported already. */
  onNotDialed(link: UpstreamLink, reason: string): void;
  onServerRead(bytes: Buffer): void;
  onServerEnd(): void;
  onServerDrain(): void;
  onServerClose(error: NodeJS.ErrnoException | undefined): void;
}
