/** Finds out which of the other kinds a cluster serves, and again when its definitions change or time has passed. */
import type { Clock, Random, SetTimer } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { exponentialBackoff } from "@weft/xds/backoff";
import { followCollection } from "./follow-collection.ts";
import { definitionsPath, discoveredKinds, discoverKinds, type WatchedKind } from "./watched-kinds.ts";

/** Definitions may be forbidden to watch, so it is looked again without a word of them. */
export const lookEveryMs = 30_000;
/** A definition needs a moment to be served. */
const lookSoonMs = 500;
/** A kind that is asked for but not there by then is looked for less often. */
const looksAfterChange = 4;
/** A kind that was served counts as gone when it was missing for so long: a server that has just begun serves it later. */
export const goneAfterMs = 30_000;

export interface ServedKinds extends Disposable {
  /** Whether it was found out once. */
  known(): boolean;
}

export interface ServedKindsOptions {
  readonly api: Pick<KubernetesApi, "call" | "watch">;
  readonly streams: { works: boolean };
  readonly serves: (kind: WatchedKind, path: string) => void;
  /** Never was served, or is not any more. */
  readonly unserved: (kind: WatchedKind) => void;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
}

export const followServedKinds = (options: ServedKindsOptions): ServedKinds => {
  const { api, serves, unserved, clock, setTimer, random } = options;
  const backoff = exponentialBackoff({ baseMs: 500, maxMs: 10_000 }, random);
  let timer: Disposable | undefined;
  let known = false;
  let disposed = false;
  let looking = false;
  let soonLeft = 0;
  /** By the names of the kinds that are served: since when they are missing. */
  const missingSince = new Map<string, number | undefined>();

  const arm = (ms: number): void => {
    timer?.[Symbol.dispose]();
    timer = setTimer(() => void look(), ms);
  };
  const note = (kind: WatchedKind, path: string | undefined): void => {
    const { name } = kind;
    if (path !== undefined) {
      missingSince.set(name, undefined);
      serves(kind, path);
      return;
    }
    if (missingSince.has(name)) {
      const since = missingSince.get(name) ?? clock.nowMs();
      missingSince.set(name, since);
      if (clock.nowMs() - since < goneAfterMs) return;
      missingSince.delete(name);
    }
    unserved(kind);
  };
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    try {
      const found = await discoverKinds(api, discoveredKinds);
      if (disposed) return;
      for (const kind of discoveredKinds) note(kind, found.get(kind.name));
      known = true;
      backoff.reset();
      arm(soonLeft-- > 0 ? lookSoonMs : lookEveryMs * (0.8 + 0.4 * random()));
    } catch {
      if (!disposed) arm(backoff.next());
    } finally {
      looking = false;
    }
  };
  const definitions = followCollection({
    ...options,
    ...{ path: definitionsPath, selector: "" },
    tell: ({ kind }) => {
      if (kind === "state" || !known) return;
      soonLeft = looksAfterChange;
      arm(lookSoonMs);
    },
  });
  arm(0);
  return {
    known: () => known,
    [Symbol.dispose]: () => {
      disposed = true;
      timer?.[Symbol.dispose]();
      definitions[Symbol.dispose]();
    },
  };
};
