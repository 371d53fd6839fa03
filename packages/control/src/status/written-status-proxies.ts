/** Since when each connected proxy has all that it should have: looked at now and then, never asked of the proxies. */
import type { ConnectedProxy } from "../push/connected-proxy.ts";

export interface ProxyProgress {
  /** Looks at the proxies. `settled`: all of them were given what is in force at that moment. */
  look(proxies: readonly ConnectedProxy[], settled: boolean, nowMs: number): void;
  /** How many have what was in force then, of all. */
  have(inForceSinceMs: number): { readonly current: number; readonly total: number };
  /** Changes when an answer of `have` may have changed. */
  readonly revision: () => string;
}

const agreed: ReadonlySet<string> = new Set(["SYNCED", "NOT SENT"]);

export const createProxyProgress = (): ProxyProgress => {
  /** By proxy, its newest stream: when it was last seen to agree. */
  let agreedAt = new Map<string, number>();
  let sorted: readonly number[] = [];
  let waiting = 0;
  return {
    look(proxies, settled, nowMs) {
      const after = new Map<string, number>();
      waiting = 0;
      // The newest stream of a proxy comes last.
      for (const { proxy, types } of proxies) {
        const agrees = settled && types().every(({ status }) => agreed.has(status));
        if (!agrees) waiting++;
        after.set(proxy.id, agrees ? nowMs : (agreedAt.get(proxy.id) ?? Number.NEGATIVE_INFINITY));
      }
      agreedAt = after;
      sorted = [...after.values()].sort((a, b) => a - b);
    },
    have(inForceSinceMs) {
      const behind = firstAfter(sorted, inForceSinceMs);
      return { current: sorted.length - behind, total: sorted.length };
    },
    revision: () => `${sorted.length} ${waiting}`,
  };
};

/** Index of the first that is later. */
const firstAfter = (sorted: readonly number[], ms: number): number => {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) > ms) high = middle;
    else low = middle + 1;
  }
  return low;
};
