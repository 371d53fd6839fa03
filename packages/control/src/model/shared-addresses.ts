/** Virtual addresses that all replicas agree on: one is in force only when the shared store has it. */
import type { Logger, SetTimer } from "@weft/core/world";
import type { SharedChange } from "../store/shared/shared-mirror.ts";
import { asSeen, recordsPerWriteMax, type SharedPut, type SharedStore } from "../store/shared/shared-store.ts";
import { type AddressAllocator, addressesAt, freePlaceFor, virtualAddressesMax } from "./address-allocator.ts";

export interface SharedAddressesOptions {
  readonly store: SharedStore;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export interface SharedAddresses extends AddressAllocator, Disposable {
  /** Calls when addresses were given, by whichever replica. */
  follow(tell: (changes: readonly SharedChange[]) => void): void;
}

const group = "addresses";
/** Changed with every allocation: one after the other, so that no two services get one address. */
const guardKey = "meta/addresses";
const retryMs = 2_000;

export const createSharedAddresses = ({ store, setTimer, log }: SharedAddressesOptions): SharedAddresses => {
  const places = new Map<string, number>();
  const owners = new Map<number, string>();
  const tellers: ((changes: readonly SharedChange[]) => void)[] = [];
  let wanted: ReadonlySet<string> = new Set();
  let timer: Disposable | undefined;
  let disposed = false;

  const take = (key: string, value: string | undefined): void => {
    const before = places.get(key);
    if (before !== undefined && owners.get(before) === key) owners.delete(before);
    places.delete(key);
    const place = Number(value);
    if (value === undefined || !Number.isInteger(place) || place < 1 || place > virtualAddressesMax) return;
    places.set(key, place);
    owners.set(place, key);
  };
  const keyIn = (key: string): string => key.slice(group.length + 1);
  for (const { key, value } of store.group(group).values()) take(keyIn(key), value);
  const following = store.follow(group, (changes) => {
    for (const { key, after } of changes) take(keyIn(key), after?.value);
    for (const tell of tellers) tell(changes);
  });

  /** Those that are gone keep their places, in case they come back, until somebody has no other. */
  const next = (): { readonly puts: readonly SharedPut[]; readonly deletes: readonly string[] } => {
    const puts: SharedPut[] = [];
    const deletes: string[] = [];
    const given = new Set<number>();
    const gone = places.keys().filter((key) => !wanted.has(key));
    const freed = new Set<number>();
    for (const key of [...wanted].filter((one) => !places.has(one)).sort()) {
      if (puts.length + deletes.length >= recordsPerWriteMax) break;
      if (owners.size + given.size - freed.size >= virtualAddressesMax) {
        const leaving = gone.next().value;
        if (leaving === undefined) break;
        freed.add(places.get(leaving) ?? 0);
        deletes.push(`${group}/${leaving}`);
      }
      const place = freePlaceFor(key, (one) => given.has(one) || (owners.has(one) && !freed.has(one)));
      given.add(place);
      puts.push({ key: `${group}/${key}`, value: String(place) });
    }
    return { puts, deletes };
  };
  const propose = async (): Promise<void> => {
    for (let { puts, deletes } = next(); puts.length > 0 && !disposed; { puts, deletes } = next()) {
      const guard = asSeen(store, guardKey);
      await store.write({ seen: [guard], puts: [...puts, { key: guardKey, value: String(guard.revision) }], deletes });
    }
  };
  const soon = (delayMs: number): void => {
    if (disposed) return;
    timer ??= setTimer(() => {
      propose().then(
        () => {
          timer = undefined;
        },
        (error: unknown) => {
          log.debug("virtual addresses cannot be given now", { error: String(error) });
          timer = undefined;
          soon(retryMs);
        },
      );
    }, delayMs);
  };

  return {
    allocate(keys) {
      wanted = new Set(keys);
      if ([...wanted].some((key) => !places.has(key))) soon(0);
      return new Map(
        [...wanted].flatMap((key) => {
          const place = places.get(key);
          return place === undefined ? [] : [[key, addressesAt(place)] as const];
        }),
      );
    },
    follow: (tell) => void tellers.push(tell),
    [Symbol.dispose]: () => {
      disposed = true;
      timer?.[Symbol.dispose]();
      following[Symbol.dispose]();
    },
  };
};
