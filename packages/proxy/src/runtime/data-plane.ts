import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { ResourceJson, ResourceKind, SubscribedKind } from "@weft/xds/resource";
import type { Cluster } from "../clusters/cluster.ts";
import type { Discouraged, DrainScope } from "../http/leaving.ts";
import type { FirstRound } from "./first-checks.ts";

/** One resource put (json given) or removed (json undefined). Plain data, so that it can cross to a worker thread. */
export type ResourceChange =
  | {
      [K in ResourceKind]: { readonly kind: K; readonly name: string; readonly json: ResourceJson[K] | undefined };
    }[ResourceKind]
  | LearnedHostChange;

/** A virtual host of a route table that gets them one by one. */
export interface LearnedHostChange {
  readonly kind: "virtualHost";
  readonly name: string;
  readonly table: string;
  /** The `name` in the virtual host that came by that name before. */
  readonly replaces: string | undefined;
  readonly json: VirtualHostJson | undefined;
}

export interface Rejection {
  readonly kind: SubscribedKind;
  readonly name: string;
  /** Reaches the control plane as the NACK's text: `field: problem`. */
  readonly reason: string;
}

/**
 * The part of the sidecar that moves bytes: everything from accept to upstream, configured by resources.
 * `apply` is atomic: every valid change of the batch takes effect together, an invalid one leaves that
 * resource as it was and is returned. A live request keeps the configuration it started with; no change cuts a connection
 * except that connections of a removed listener or host drain.
 */
export interface DataPlane {
  /** Says at once what is refused; the rest serves at once or, with several threads, as soon as `inForce` resolves. */
  apply(changes: readonly ResourceChange[]): readonly Rejection[];
  /** Compiles without taking effect, for a static configuration check and for NACKs ahead of warming. */
  check(change: ResourceChange): Rejection | undefined;
  /**
   * Compiles step by step what `check` and `apply` will be asked for next, of these very objects, so that they need not;
   * they alone say what is refused. Nothing where compiling holds up no request.
   */
  judgeAhead?(changes: readonly ResourceChange[]): Generator<undefined, void> | undefined;
  /**
   * Checks the hosts of a cluster that is about to be put in force; what is found holds when it is, as long as what this
   * gives is not disposed of. `undefined`: they cannot be checked. `onOver` is called once no host waits for its first check.
   */
  checkAhead?(
    cluster: ResourceJson["cluster"],
    endpoints: ResourceJson["endpoints"] | undefined,
    onOver: () => void,
  ): FirstRound | undefined;
  listeners(): readonly ListenerState[];
  clusters(): readonly Cluster[];
  /** Access log files are opened by their paths anew, as after they were moved away. */
  reopenLogs(): void;
  /** Resolves when all that was applied so far serves everywhere; `undefined` when it does already. */
  inForce(): Promise<void> | undefined;
  /** Resolves when every listener has bound or failed to. */
  settled(): Promise<void>;
  /**
   * Stops accepting, tells clients to leave (Connection: close, GOAWAY), resolves when idle or after `timeoutMs`. With
   * scope `inbound` only listeners of that traffic do so, also those that come later; without one all.
   */
  drain(timeoutMs: number, scope?: DrainScope): Promise<void>;
  /** Answers tell clients to leave (Connection: close, GOAWAY) until told otherwise; accepting goes on. */
  discourage(why: Discouraged): void;
  close(): Promise<void>;
}

/** A batch compiled and not yet in force. */
export interface PreparedBatch {
  readonly rejections: readonly Rejection[];
  /** Puts all of it in force at once, but for the resources of these keys. Touches nothing but memory; cannot fail. */
  commit(except?: ReadonlySet<string>): void;
}

/** A data plane whose batches are compiled step by step, so that requests may be served in between. */
export interface SteppedDataPlane extends DataPlane {
  /** Compiles one resource a step, touching nothing. */
  prepare(changes: readonly ResourceChange[]): Generator<undefined, PreparedBatch>;
}

/** Tells the resources of a batch apart. */
export const changeKey = ({ kind, name }: { readonly kind: SubscribedKind; readonly name: string }): string =>
  `${kind} ${name}`;

/** Make before break: what others name comes first, removals of it last. */
const order = ["secret", "cluster", "endpoints", "route", "virtualHost", "listener"] as const;
const rank = ({ kind, json }: ResourceChange): number => {
  const at = order.indexOf(kind);
  return json === undefined && kind !== "virtualHost" ? 2 * order.length - at : at;
};

/** The order in which the changes of a batch are put in force. */
export const inOrder = (changes: readonly ResourceChange[]): readonly ResourceChange[] =>
  [...changes].sort((a, b) => rank(a) - rank(b));

export interface ListenerState {
  readonly name: string;
  /** The bound address (its real port when 0 was asked); `undefined` for listeners that do not bind. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  readonly state: "active" | "draining" | "failed";
  /** Why it could not bind. */
  readonly error: string | undefined;
  readonly connections: number;
}
