/**
 * Ends instances in the shared store whose time is over. Their leases run in the store, also while no control plane is
 * there to be told that they live: what ran out then, unheard, gets its whole time again. Most of a service that runs out
 * together is held.
 */
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { Replica } from "../../store/shared/replica.ts";
import { asSeen, type SharedStore } from "../../store/shared/shared-store.ts";
import { holdMs } from "../outside/held-instances.ts";
import type { RegistryBook } from "./registry.ts";
import { type EndPlan, openSharedEnds } from "./shared-ends.ts";
import { ofSeveral } from "./shared-leases.ts";
import { type AliveRecords, aliveGroup, aliveRecordKey, aliveRecords, instanceRecordKey } from "./shared-records.ts";

export interface SharedExpiryOptions {
  readonly store: SharedStore;
  readonly replica: Pick<Replica, "isCurrent" | "isFirst" | "onJoined">;
  /** Over the same store. */
  readonly registry: Pick<RegistryBook, "get" | "list">;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** How often those are looked for that have no lease and that nobody has ended. */
const sweepMs = 10_000;
/** Leases that are asked for or renewed at a time. */
const togetherMax = 16;

/** Works until disposed. */
export const openSharedExpiry = (options: SharedExpiryOptions): Disposable => {
  const { store, replica, registry, clock, setTimer, log } = options;
  const records: AliveRecords = aliveRecords(store);
  const ends = openSharedEnds({ store, registry, wallMs: clock.wallMs });
  const over = new Set<string>();
  let ending = false;
  let without: ReadonlySet<string> = new Set();
  let disposed = false;

  /** False: another replica was first with something of it. */
  const carryOut = async ({ seen, deletes, marks, markSeconds, held }: EndPlan): Promise<boolean> => {
    const lease = await store.grant(markSeconds);
    const holds = await Promise.all(
      held.map(async ({ resourceVersion: _, ...instance }) => ({ instance, lease: await store.grant(holdMs / 1_000) })),
    );
    const puts = holds.flatMap(({ instance, lease: own }) => [
      { key: instanceRecordKey(instance), value: JSON.stringify({ instance }) },
      { key: aliveRecordKey(instance), value: own, lease: own },
    ]);
    const outcome = await store.write({ seen, deletes, puts: [...puts, ...marks.map((mark) => ({ ...mark, lease }))] });
    if (outcome.kind === "written") return true;
    await Promise.all([lease, ...holds.map((hold) => hold.lease)].map(store.revoke));
    return false;
  };
  const end = async (): Promise<void> => {
    while (over.size > 0 && !disposed) {
      for (const key of over) if (!records.isWithout(key)) over.delete(key);
      const plan = ends.plan(over);
      if (plan.keys.length + plan.held.length === 0) return;
      if (!(await carryOut(plan))) continue;
      for (const key of plan.keys) over.delete(key);
      if (plan.gone > 0)
        log.info("instances were not renewed in time and are taken out", { instances: plan.gone, first: plan.keys[0] });
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
  /** It is held, and has its time to live in any case before that ends. */
  const isHeldLong = (key: string): boolean => {
    const { heldUntil, ttlSeconds } = records.instanceOf(key) ?? {};
    return heldUntil !== undefined && Date.parse(heldUntil) > clock.wallMs() + (ttlSeconds ?? 0) * 1_000;
  };
  const renewAt = async (key: string): Promise<void> => {
    const record = store.get(key);
    if (!record) return;
    if (record.value !== ofSeveral) {
      await store.renew(record.value);
      return;
    }
    const lease = await store.grant(Math.max(1, records.ttlOf(key)));
    const seen = [{ key, revision: record.revision }];
    const outcome = await store.write({ seen, puts: [{ key, value: lease, lease }] });
    if (outcome.kind === "conflict") await store.revoke(lease);
  };
  replica.onJoined((alone) => {
    if (!alone) return;
    sweep(true);
    // Whoever lives has had nobody to tell it.
    quietly(
      each(
        [...store.group(aliveGroup).keys()].filter((key) => !isHeldLong(key)),
        renewAt,
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
      ends[Symbol.dispose]();
    },
  };
};
