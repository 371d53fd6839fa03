/** What a control plane had of its own goes into a shared store that is new; what is there already stays as it is. */
import type { StoredToken } from "../../ca/join-tokens.ts";
import type { Instance } from "../../registries/embedded/instance.ts";
import { aliveRecordKey, instanceRecordKey } from "../../registries/embedded/shared-records.ts";
import type { StoredChange } from "../config-store.ts";
import type { Seal } from "./seal.ts";
import { changeRecord, configGuardKey } from "./shared-config.ts";
import { asSeen, recordsPerWriteMax, type SharedPut, type SharedStore, storeUnavailable } from "./shared-store.ts";

export interface OwnState {
  readonly instances: readonly Instance[];
  readonly changes: readonly StoredChange[];
  /** Places of virtual addresses by service. */
  readonly addresses: readonly { readonly key: string; readonly value: string }[];
  readonly tokens: readonly StoredToken[];
}

export interface TakeOverOptions {
  readonly store: Pick<SharedStore, "get" | "group" | "grant" | "write">;
  readonly seal: Seal;
  readonly own: OwnState;
  readonly wallMs: number;
}

/** Records that belong together: all are written, or none where the first is there already. */
interface Unit {
  readonly puts: readonly SharedPut[];
  /** The first of them goes so long after nobody renewed it. */
  readonly leased?: { readonly key: string; readonly seconds: number; readonly valueOf: (lease: string) => string };
}

/** Of one write: etcd takes requests of 1.5 MiB. */
const writeBytesMax = 512 * 1024;
/** Each may be guarded, and may have a second record. */
const unitsPerWrite = Math.floor(recordsPerWriteMax / 2) - 1;
/** So often nothing more than before is there, before it is given up. */
const vainMax = 12;
/** A join token's record outlives it by so much. */
const tokenSlackSeconds = 60;

const instanceUnit = ({ resourceVersion: _, ...instance }: Instance): Unit => {
  const puts = [{ key: instanceRecordKey(instance), value: JSON.stringify({ instance }) }];
  if (instance.ttlSeconds === 0) return { puts };
  return { puts, leased: { key: aliveRecordKey(instance), seconds: instance.ttlSeconds, valueOf: (lease) => lease } };
};

const tokenUnit = (token: StoredToken, wallMs: number): Unit => ({
  puts: [],
  leased: {
    key: `tokens/${token.id}`,
    seconds: Math.ceil((token.expiresMs - wallMs) / 1000) + tokenSlackSeconds,
    valueOf: (lease) => JSON.stringify({ ...token, lease }),
  },
});

const firstKey = ({ puts, leased }: Unit): string => puts[0]?.key ?? leased?.key ?? "";

/** Writes the units that are not there, a part after the other; each part is whole. Gives how many were written. */
const writeMissing = async (
  store: TakeOverOptions["store"],
  units: readonly Unit[],
  {
    guard,
    freeNow = () => () => true,
  }: { readonly guard?: string; readonly freeNow?: () => (unit: Unit) => boolean } = {},
): Promise<number> => {
  let written = 0;
  let rest = units;
  let vain = 0;
  for (;;) {
    const isFree = freeNow();
    const left = rest.filter((unit) => store.get(firstKey(unit)) === undefined && isFree(unit));
    if (left.length === 0) return written;
    // What another wrote meanwhile is done too.
    vain = left.length < rest.length ? 0 : vain + 1;
    if (vain > vainMax) throw storeUnavailable("other replicas change the same records without end");
    rest = left;
    const part: Unit[] = [];
    let bytes = 0;
    for (const unit of rest) {
      for (const { key, value } of unit.puts) bytes += key.length + value.length;
      if (part.length > 0 && (bytes > writeBytesMax || part.length >= unitsPerWrite)) break;
      part.push(unit);
    }
    const puts = (await Promise.all(part.map((unit) => withLease(store, unit)))).flat();
    const seen = [...part.map(firstKey), ...(guard === undefined ? [] : [guard])].map((key) => asSeen(store, key));
    const guarding = guard === undefined ? [] : [{ key: guard, value: String(seen.at(-1)?.revision ?? 0) }];
    const outcome = await store.write({ seen, puts: [...puts, ...guarding] });
    if (outcome.kind === "written") written += part.length;
  }
};

const withLease = async (store: TakeOverOptions["store"], { puts, leased }: Unit): Promise<readonly SharedPut[]> => {
  if (!leased) return puts;
  const lease = await store.grant(leased.seconds);
  return [...puts, { key: leased.key, value: leased.valueOf(lease), lease }];
};

/** Rejects with 503 where the store goes away meanwhile; made again, it goes on where it was. Gives how many of each. */
export const takeOver = async ({ store, seal, own, wallMs }: TakeOverOptions) => {
  const tokens = own.tokens.filter(({ expiresMs, uses }) => expiresMs > wallMs && uses !== 0);
  const freePlaces = () => {
    const taken = new Set([...store.group("addresses").values()].map(({ value }) => value));
    return ({ puts: [put] }: Unit): boolean => !taken.has(put?.value ?? "");
  };
  return {
    instances: await writeMissing(store, own.instances.map(instanceUnit)),
    changes: await writeMissing(
      store,
      own.changes.map((change) => ({ puts: [changeRecord(change, seal)] })),
      { guard: configGuardKey },
    ),
    addresses: await writeMissing(
      store,
      own.addresses.map(({ key, value }) => ({ puts: [{ key: `addresses/${key}`, value }] })),
      { guard: "meta/addresses", freeNow: freePlaces },
    ),
    tokens: await writeMissing(
      store,
      tokens.map((token) => tokenUnit(token, wallMs)),
    ),
  };
};
