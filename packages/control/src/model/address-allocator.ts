/** Virtual addresses of services that have none: in 240.240.0.0/16 and 2001:2::/48, the same for as long as the service is. */
import { createHash } from "node:crypto";

export interface VirtualAddresses {
  readonly v4: string;
  readonly v6: string;
}

/** Where allocations outlive the process. */
export interface AllocationStore {
  load(): Iterable<{ readonly key: string; readonly value: string }>;
  write(entries: readonly { readonly key: string; readonly value: string | undefined }[]): void;
}

export interface AddressAllocator {
  /**
   * Addresses for exactly these keys. Whoever has one keeps it whatever the others do; a new key gets the place its hash
   * names, or the next free one; a key for which there is no room is left out.
   */
  allocate(keys: Iterable<string>): ReadonlyMap<string, VirtualAddresses>;
}

/** 240.240.0.1 to 240.240.255.254: a network's first and last address are nobody's. */
export const virtualAddressesMax = 65_534;

/** The same object for the same place. */
export const addressesAt = (place: number): VirtualAddresses => {
  const made = atPlaces.get(place) ?? {
    v4: `240.240.${place >> 8}.${place & 255}`,
    v6: `2001:2::${place.toString(16)}`,
  };
  atPlaces.set(place, made);
  return made;
};

const atPlaces = new Map<number, VirtualAddresses>();

/** The place the key's hash names, or the next that nobody has. Only while there is one. */
export const freePlaceFor = (key: string, isTaken: (place: number) => boolean): number => {
  let place = (hashOf(key) % virtualAddressesMax) + 1;
  while (isTaken(place)) place = (place % virtualAddressesMax) + 1;
  return place;
};

const hashOf = (key: string): number => createHash("sha256").update(key).digest().readUInt32BE(0);

export const createAddressAllocator = (store?: AllocationStore): AddressAllocator => {
  const places = new Map<string, number>();
  const taken = new Set<number>();
  for (const { key, value } of store?.load() ?? []) {
    const place = Number(value);
    if (!Number.isInteger(place) || place < 1 || place > virtualAddressesMax || taken.has(place)) continue;
    places.set(key, place);
    taken.add(place);
  }
  /** Not stored yet; what could not be is tried again with the next change. */
  const unsaved = new Map<string, string | undefined>();
  const save = (): void => {
    if (unsaved.size === 0) return;
    try {
      store?.write([...unsaved].map(([key, value]) => ({ key, value })));
      unsaved.clear();
    } catch {
      // Addresses hold for as long as this process runs: nobody's configuration is to fail for it.
    }
  };
  return {
    allocate(keys) {
      const wanted = new Set(keys);
      /** Those that are gone keep their places, in case they come back, until somebody has no other. */
      const gone = places.keys().filter((key) => !wanted.has(key));
      // In an order of their own, so that the same keys at once get the same places wherever that is.
      for (const key of [...wanted].filter((one) => !places.has(one)).sort()) {
        if (taken.size >= virtualAddressesMax) {
          const leaving = gone.next().value;
          if (leaving === undefined) break;
          taken.delete(places.get(leaving) ?? 0);
          places.delete(leaving);
          unsaved.set(leaving, undefined);
        }
        const place = freePlaceFor(key, (one) => taken.has(one));
        places.set(key, place);
        taken.add(place);
        unsaved.set(key, String(place));
      }
      save();
      return new Map(
        [...wanted].flatMap((key) => {
          const place = places.get(key);
          return place === undefined ? [] : [[key, addressesAt(place)] as const];
        }),
      );
    },
  };
};
