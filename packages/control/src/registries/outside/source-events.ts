import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";

/** One instance of a service as an outside registry tells it. */
export interface SourceInstance {
  /** Unique within the source: the registry's own key or path. */
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** The port clients ask the service on; undefined: the instance's own port. */
  readonly servicePort: number | undefined;
  /** "http", "grpc", "tcp" …; undefined: not said. */
  readonly protocol: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** "" where it has no proxy. */
  readonly serviceAccount: string;
  /** REGION/ZONE/SUBZONE, "" where not said. */
  readonly locality: string;
  readonly weight: number;
  readonly health: "healthy" | "draining" | "unhealthy";
}

/** What a driver tells about its registry, in order. */
export type SourceEvent =
  /** The connection stands. What is known may be stale until the next `listed`. */
  | { readonly kind: "connected" }
  /**
   * Everything the registry holds now. Absence from it is a hint, not a fact: the framework decides. `readTo`: it was read
   * to this key and cut there, so that it says nothing of later ones.
   */
  | { readonly kind: "listed"; readonly instances: readonly SourceInstance[]; readonly readTo?: string | undefined }
  | { readonly kind: "put"; readonly instance: SourceInstance }
  /** Somebody took it out, or its own time-to-live ended: believed at once. */
  | { readonly kind: "removed"; readonly key: string; readonly because: "deleted" | "expired" }
  /** An answer about one service lacks these where it may be the registry's own bad day: a hint, like absence from a list. */
  | { readonly kind: "missing"; readonly keys: readonly string[] }
  /**
   * A record that does not parse; the others are unharmed. An earlier good record of the same key stays. `whole`: nothing
   * below `KEY/` can be read, as of a service whose list is longer than is taken; all that was good there stays.
   */
  | { readonly kind: "unreadable"; readonly key: string; readonly problem: string; readonly whole?: true }
  /** What was unreadable as a whole is not any more, and holds these keys: what else was known there is missing. */
  | { readonly kind: "readable"; readonly key: string; readonly keys: readonly string[] }
  /** More is there than is taken; 0 where that is over. What is not told between two lists is over with the second. */
  | { readonly kind: "left-out"; readonly key: string; readonly left: LeftOut }
  | { readonly kind: "lost"; readonly reason: string };

/** How much of what a registry has is not taken. */
export interface LeftOut {
  /** `keys`, `services`, `instances`, `objects`. */
  readonly what: string;
  readonly count: number;
  /** How many are taken. */
  readonly max: number;
}

/** A driver: runs until disposed, reconnects by itself (jittered, bounded back-off), never throws after it was opened. */
export type OpenSource = (tools: SourceTools) => Disposable;

/** What a driver may use of the world, beyond the sockets its own settings hold. */
export interface SourceTools {
  readonly emit: (event: SourceEvent) => void;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}
