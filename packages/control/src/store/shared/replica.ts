/** This replica among those that share the store: a record says that it is there, and a lease ends it with what else is its. */
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { SharedStore } from "./shared-store.ts";

export interface ReplicaOptions {
  readonly store: SharedStore;
  /** Of this process, and of no other ever. */
  readonly id: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export interface Replica extends AsyncDisposable {
  readonly id: string;
  /** Ids of those that are there, in order; this one is among them once the store says so. */
  all(): readonly string[];
  /** It is there, and the first of all: what one of them has to do, it does. */
  isFirst(): boolean;
  /** It has spoken with the store lately: what the store tells now happened while it listened. */
  isCurrent(): boolean;
  /** Records under it end with this replica; `undefined` while it is not there. */
  lease(): string | undefined;
  /** Calls each time it has come, and with whether nobody else was there. */
  onJoined(tell: (alone: boolean) => void): void;
}

export const replicaGroup = "replicas";
export const replicaLimits = {
  /** What a replica told goes so long after its end. */
  ttlSeconds: 10,
  renewMs: 3_000,
  /** Who has not renewed for longer did not listen either. */
  currentMs: 7_000,
} as const;

/** Comes as soon as the store lets it, and comes again when its lease was lost. Disposed, it is gone at once. */
export const openReplica = ({ store, id, clock, setTimer, log }: ReplicaOptions): Replica => {
  const key = `${replicaGroup}/${id}`;
  const tellers: ((alone: boolean) => void)[] = [];
  let lease: string | undefined;
  let renewedMs = Number.NEGATIVE_INFINITY;
  let timer: Disposable | undefined;
  let disposed = false;

  const all = (): readonly string[] =>
    [...store.group(replicaGroup).keys()].map((one) => one.slice(replicaGroup.length + 1)).sort();
  const join = async (): Promise<void> => {
    const startedMs = clock.nowMs();
    const granted = await store.grant(replicaLimits.ttlSeconds);
    const alone = all().every((one) => one === id);
    const outcome = await store.write({ seen: [], puts: [{ key, value: "{}", lease: granted }] });
    if (outcome.kind === "conflict" || disposed) return await store.revoke(granted);
    lease = granted;
    renewedMs = startedMs;
    for (const tell of tellers) tell(alone);
  };
  const renew = async (): Promise<void> => {
    const startedMs = clock.nowMs();
    if (lease !== undefined && store.get(key) && (await store.renew(lease))) renewedMs = startedMs;
    else {
      lease = undefined;
      await join();
    }
  };
  const beat = (): void => {
    renew()
      .catch((error: unknown) => log.debug("this replica cannot say that it is there", { error: String(error) }))
      .finally(() => {
        if (!disposed) timer = setTimer(beat, replicaLimits.renewMs);
      });
  };
  timer = setTimer(beat, 0);

  const isCurrent = (): boolean => store.status().connected && clock.nowMs() - renewedMs <= replicaLimits.currentMs;
  return {
    id,
    all,
    isFirst: () => lease !== undefined && all()[0] === id,
    isCurrent,
    lease: () => lease,
    onJoined: (tell) => void tellers.push(tell),
    [Symbol.asyncDispose]: async () => {
      disposed = true;
      timer?.[Symbol.dispose]();
      if (lease !== undefined) await store.revoke(lease);
    },
  };
};
