/**
 * Ends instances in the shared store whose time is over. Their leases run in the store, also while no control plane is
 * there to be told that they live: what ran out then, unheard, gets its whole time again.
 */
import type { Logger, SetTimer } from "@weft/core/world";
import type { Replica } from "../../store/shared/replica.ts";
import { asSeen, type SharedStore } from "../../store/shared/shared-store.ts";
import { type AliveRecords, aliveGroup, aliveRecords } from "./shared-records.ts";

export interface SharedExpiryOptions {
  readonly store: SharedStore;
  readonly replica: Pick<Replica, "isCurrent" | "isFirst" | "onJoined">;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** How often those are looked for that have no lease and that nobody has ended. */
const sweepMs = 10_000;
/** Ended in one write; each is compared twice, and etcd takes 128 comparisons. */
const endedTogetherMax = 40;
/** Leases that are asked for or renewed at a time. */
const togetherMax = 16;

/** Works until disposed. */
export const openSharedExpiry = ({ store, replica, setTimer, log }: SharedExpiryOptions): Disposable => {
  const records: AliveRecords = aliveRecords(store);
  const over = new Set<string>();
  let ending = false;
  let without: ReadonlySet<string> = new Set();
  let disposed = false;

  const end = async (): Promise<void> => {
    let size: number = endedTogetherMax;
    while (over.size > 0 && !disposed) {
      for (const key of over) if (!records.isWithout(key)) over.delete(key);
      const part = [...over].slice(0, size);
      if (part.length === 0) return;
      const seen = part.flatMap((key) => [asSeen(store, records.instanceAt(key)), { key, revision: 0 }]);
      const outcome = await store.write({ seen, deletes: part.map(records.instanceAt) });
      if (outcome.kind === "conflict") {
        // Another replica was first with some of them: alone, each finds its own.
        size = 1;
        continue;
      }
      for (const key of part) over.delete(key);
      log.info("instances were not renewed in time and are taken out", { instances: part.length, first: part[0] });
    }
  };
  const endSoon = (): void => {
    if (ending) return;
    ending = true;
    end()
      // They stay, and the next sweep gives them their time again: nobody could have renewed them meanwhile either.
      .catch((error: unknown) => log.debug("instances cannot be taken out now", { error: String(error) }))
      .finally(() => {
        over.clear();
        ending = false;
      });
  };
  const following = store.follow(aliveGroup, (changes) => {
    for (const { key, after, missed } of changes)
      if (!after && !missed && replica.isCurrent() && records.isWithout(key)) over.add(key);
    if (over.size > 0) endSoon();
  });

  const each = async (keys: readonly string[], run: (key: string) => Promise<void>): Promise<void> => {
    const queue = [...keys];
    const work = async (): Promise<void> => {
      for (let key = queue.shift(); key !== undefined && !disposed; key = queue.shift()) await run(key);
    };
    await Promise.all(Array.from({ length: Math.min(togetherMax, queue.length) }, work));
  };
  const revive = async (key: string): Promise<void> => {
    const ttlSeconds = records.isWithout(key) ? records.ttlOf(key) : 0;
    if (ttlSeconds === 0) return;
    const seen = [asSeen(store, records.instanceAt(key)), { key, revision: 0 }];
    const lease = await store.grant(ttlSeconds);
    const outcome = await store.write({ seen, puts: [{ key, value: lease, lease }] });
    if (outcome.kind === "conflict") await store.revoke(lease);
  };
  const reviveAll = async (keys: readonly string[]): Promise<void> => {
    if (keys.length === 0) return;
    log.warn("instances ran out while no control plane was there to hear of them, and get their time again", {
      code: "WF2209",
      instances: keys.length,
    });
    await each(keys, revive);
  };
  const quietly = (work: Promise<unknown>): void =>
    void work.catch((error: unknown) => log.debug("leases are not in order yet", { error: String(error) }));

  /** One that is there twice over had nobody who ended it. */
  const sweep = (isSure: boolean): void => {
    const found = records.withoutLease().filter((key) => !over.has(key));
    if (replica.isFirst()) quietly(reviveAll(isSure ? found : found.filter((key) => without.has(key))));
    without = new Set(found);
  };
  replica.onJoined((alone) => {
    if (!alone) return;
    sweep(true);
    // Whoever lives has had nobody to tell it.
    quietly(
      each(
        [...store.group(aliveGroup).values()].map(({ value }) => value),
        async (lease) => {
          await store.renew(lease);
        },
      ),
    );
  });
  let timer: Disposable;
  const again = (): void => {
    timer = setTimer(() => {
      sweep(false);
      again();
    }, sweepMs);
  };
  again();
  return {
    [Symbol.dispose]: () => {
      disposed = true;
      timer[Symbol.dispose]();
      following[Symbol.dispose]();
    },
  };
};
