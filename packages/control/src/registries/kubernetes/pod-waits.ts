/**
 * Endpoints and their pods come by different ways. An address whose pod is not known yet waits for it, for a bounded
 * time; a pod that went is remembered for as long as an address still names it. Pure: the time is an argument.
 */

/** How long an address waits for its pod, before it is used without what the pod says. */
export const podWaitMs = 10_000;

export interface PodWaits {
  /** The pods an object with addresses names now; none when it is gone. */
  names(owner: string, pods: readonly string[], nowMs: number): void;
  /** The pod is there. */
  came(pod: string): void;
  /** The pod is gone; `true`: nothing names it, so what it said can be forgotten. */
  went(pod: string): boolean;
  deadlineMs(): number | undefined;
  /** Pods that were waited for long enough. */
  due(nowMs: number): readonly string[];
  /** Pods that nothing names any more and that are gone, or were waited for in vain. Since this was last asked. */
  takeForgotten(): readonly string[];
  isPresent(pod: string): boolean;
  /** Pods that addresses wait for. */
  readonly waiting: () => number;
  /** Pods that did not come in time and whose addresses are used without them. */
  readonly missing: () => ReadonlySet<string>;
}

export const createPodWaits = (): PodWaits => {
  const named = new Map<string, readonly string[]>();
  const counts = new Map<string, number>();
  const present = new Set<string>();
  const gone = new Set<string>();
  /** In the order of their ends. */
  const waits = new Map<string, number>();
  const missing = new Set<string>();
  let forgotten: string[] = [];
  const release = (pod: string): void => {
    const left = (counts.get(pod) ?? 1) - 1;
    if (left > 0) {
      counts.set(pod, left);
      return;
    }
    counts.delete(pod);
    waits.delete(pod);
    const vain = missing.delete(pod);
    if (gone.delete(pod) || vain) forgotten.push(pod);
  };
  return {
    names(owner, pods, nowMs) {
      const before = named.get(owner) ?? [];
      for (const pod of pods) {
        counts.set(pod, (counts.get(pod) ?? 0) + 1);
        const known = present.has(pod) || gone.has(pod) || missing.has(pod) || waits.has(pod);
        if (!known) waits.set(pod, nowMs + podWaitMs);
      }
      if (pods.length > 0) named.set(owner, pods);
      else named.delete(owner);
      for (const pod of before) release(pod);
    },
    came(pod) {
      present.add(pod);
      gone.delete(pod);
      waits.delete(pod);
      if (missing.delete(pod)) forgotten.push(pod);
    },
    went(pod) {
      present.delete(pod);
      if (!counts.has(pod)) return true;
      gone.add(pod);
      return false;
    },
    deadlineMs: () => waits.values().next().value,
    due(nowMs) {
      const found: string[] = [];
      for (const [pod, endsMs] of waits) {
        if (endsMs > nowMs) break;
        waits.delete(pod);
        missing.add(pod);
        found.push(pod);
      }
      return found;
    },
    takeForgotten() {
      const taken = forgotten;
      forgotten = [];
      return taken;
    },
    isPresent: (pod) => present.has(pod),
    waiting: () => waits.size,
    missing: () => missing,
  };
};
