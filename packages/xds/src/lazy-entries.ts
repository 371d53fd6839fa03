/** Resources of which most are never sent: each is hashed and encoded when that is first asked of it. */
import { contentHash } from "./content-hash.ts";
import { type SnapshotEntry, type TypeSnapshot, versionOf } from "./snapshot.ts";

export interface LazyEntries {
  /** The type with these; entries of the same JSON are the same. */
  of(source: ReadonlyMap<string, object>): TypeSnapshot;
}

export interface LazyEntriesOptions {
  readonly typeUrl: string;
  readonly encode: (json: object) => Uint8Array;
  /** What cannot be encoded is sent as a resource without content, which its client refuses by name. */
  readonly onBad: (name: string, json: object, error: unknown) => void;
}

const nothing = new Uint8Array(0);

export const createLazyEntries = ({ typeUrl, encode, onBad }: LazyEntriesOptions): LazyEntries => {
  const byIdentity = new WeakMap<object, SnapshotEntry>();
  const bySource = new WeakMap<object, TypeSnapshot>();

  const encoded = (name: string, json: object): Uint8Array => {
    try {
      return encode(json);
    } catch (error) {
      onBad(name, json, error);
      return nothing;
    }
  };

  const entryOf = (name: string, json: object): SnapshotEntry => {
    const known = byIdentity.get(json);
    if (known?.name === name) return known;
    let version: string | undefined;
    let bytes: Uint8Array | undefined;
    const made: SnapshotEntry = {
      ...{ typeUrl, name, json, endpointsName: undefined },
      get version() {
        version ??= contentHash(json);
        return version;
      },
      get bytes() {
        bytes ??= encoded(name, json);
        return bytes;
      },
    };
    byIdentity.set(json, made);
    return made;
  };

  return {
    of(source) {
      const known = bySource.get(source);
      if (known) return known;
      const entries = new Map<string, SnapshotEntry>();
      for (const [name, json] of source) entries.set(name, entryOf(name, json));
      const type: TypeSnapshot = { typeUrl, entries, version: () => versionOf(entries.values()) };
      bySource.set(source, type);
      return type;
    },
  };
};
