/** What a bench and its load generator tell each other. */

/** How the system under test is told to change the weight of one endpoint of a service. */
export interface ChangeRequest {
  readonly address: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** `{service}`, `{weight}`, and the number of the service's address, `{high}` and `{low}`, are put in. */
  readonly path: string;
  readonly body: string;
}

export interface OpenStreams {
  readonly kind: "open";
  readonly address: string;
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly streams: number;
  /** Opened at the same time; all of them where a storm is meant. */
  readonly atOnce: number;
  /** Subscribed to whole and before the endpoints. */
  readonly wholeTypes: readonly string[];
  /** Names of ClusterLoadAssignments, of which each stream asks for `each`, drawn by its number. */
  readonly names: readonly string[];
  readonly each: number;
  /** Only the first so many streams ask for endpoints; all, where it is absent. */
  readonly subscribers?: number;
}

export interface ChangeOne {
  readonly kind: "change";
  readonly request: ChangeRequest;
  readonly service: number;
  readonly weight: number;
}

export interface ChangeMany {
  readonly kind: "changes";
  readonly request: ChangeRequest;
  readonly perSecond: number;
  readonly seconds: number;
  readonly weight: number;
}

export type Command = OpenStreams | ChangeOne | ChangeMany | { readonly kind: "close" };

export interface Opened {
  readonly tookMs: number;
  /** Read from all sockets until the last stream had everything. */
  readonly bytes: number;
}

export interface Changed {
  readonly changes: number;
  /** Messages that carried what was changed. */
  readonly delivered: number;
  /** Changes that a subscriber never got. */
  readonly lost: number;
  /** From sending the change to its last subscriber, sorted. */
  readonly lastMs: readonly number[];
  /** How late changes were sent, at most: more than a few ms means that the generator was too slow. */
  readonly lateMs: number;
}

export type Answer = { readonly opened: Opened } | { readonly changed: Changed } | { readonly failed: string } | object;
