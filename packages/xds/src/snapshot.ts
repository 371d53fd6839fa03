/**
 * What one class of proxies should have, as immutable values. A resource is hashed once and encoded once however many
 * proxies, snapshots and streams it appears in, and a type that did not change stays the same object.
 */
import { createHash } from "node:crypto";
import { LayeredMap } from "@weft/core/layered-map";
import { ReplacedValue } from "@weft/core/replaced-value";
import { VersionedMap } from "@weft/core/versioned-map";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { contentHash, hashLength, hashOf } from "./content-hash.ts";
import { createContentMemory } from "./content-memory.ts";
import { createLazyEntries } from "./lazy-entries.ts";
import { createMissingNames } from "./missing-names.ts";
import { type ResourceKind, resourceType, resourceTypes, type SubscribedKind, virtualHostType } from "./resource.ts";
import { createTableVersions } from "./route-pieces.ts";

/** One named resource of one type, ready to be sent. */
export interface SnapshotEntry {
  readonly typeUrl: string;
  readonly name: string;
  /** Hash of the content: equal on every replica that derived the same resource. */
  readonly version: string;
  readonly json: object;
  /** For a cluster that takes its endpoints by EDS: the name it asks for. */
  readonly endpointsName: string | undefined;
  /** The encoded message: the value of its Any. */
  readonly bytes: Uint8Array;
}

export interface TypeSnapshot {
  readonly typeUrl: string;
  /** In the order of their names, layer by layer. */
  readonly entries: ReadonlyMap<string, SnapshotEntry>;
  /** Hash over all names and versions. */
  readonly version: () => string;
}

export interface Snapshot {
  /** Number of the push that made it; newer is larger. */
  readonly epoch: number;
  /** By type URL. */
  readonly types: ReadonlyMap<string, TypeSnapshot>;
  /** Absent where clients are given everything. */
  readonly onDemand?: OnDemandSnapshot | undefined;
}

/** What is given to clients only when they ask for it. */
export interface OnDemandSource {
  /** By TABLE/HOST. */
  readonly hosts: ReadonlyMap<string, VirtualHostJson>;
  /** The host that such a name means, which may be any that a request carries. */
  readonly resolve: (asked: string) => string | undefined;
  /** The clusters that routes of a host lead to. */
  readonly clustersOf: (host: string) => readonly string[];
  /** The clusters that nobody is given who was not given such a host. */
  readonly unlisted: ReadonlySet<string>;
}

export interface OnDemandSnapshot extends Omit<OnDemandSource, "hosts"> {
  readonly hosts: TypeSnapshot;
}

export interface SnapshotResource {
  readonly kind: SubscribedKind;
  readonly name: string;
  readonly json: object;
}

/** Resources by type and name. A map given again is taken for unchanged, so it must not be written to. */
export type SnapshotSource = { readonly [K in ResourceKind]?: ReadonlyMap<string, object> } & {
  readonly onDemand?: OnDemandSource | undefined;
};

export interface SnapshotBuilder {
  /**
   * Gives `previous` itself when nothing differs from it. A cluster that takes its endpoints by EDS always has them:
   * where none are given they are empty, for else it would warm for ever. A resource that cannot be encoded stays as it
   * was in `previous`, is left out where it was not, and is told to `onBad` at every build.
   */
  build(source: SnapshotSource, epoch: number, previous?: Snapshot): Snapshot;
  /**
   * `previous` with its endpoints from a later version of the map they came from, where nothing else changed since; the
   * same object where they did not change either. What the first of many proxies costs, the others share.
   */
  withEndpoints(source: ReadonlyMap<string, object>, epoch: number, previous: Snapshot): Snapshot;
}

export interface SnapshotBuilderOptions {
  /** `before` is what is sent under the name now, where it is known: what did not change need not be encoded again. */
  readonly encode: (kind: SubscribedKind, json: object, before?: SnapshotEntry) => Uint8Array;
  readonly onBad?: (resource: SnapshotResource, error: unknown) => void;
}

/** Bytes remembered by content in each of two generations. Of endpoints audiences share the JSON itself mostly. */
const rememberedBytesMax = { endpoints: 8 * 1024 * 1024, other: 32 * 1024 * 1024 };

export const createSnapshotBuilder = ({ encode, onBad }: SnapshotBuilderOptions): SnapshotBuilder => {
  const byIdentity = new WeakMap<object, SnapshotEntry>();
  const tableVersion = createTableVersions(contentHash);
  const bySource = new Map(resourceTypes.map(({ kind }) => [kind, new WeakMap<object, TypeSnapshot>()]));
  /** What a type was last made from. */
  const sourceOf = new WeakMap<TypeSnapshot, ReadonlyMap<string, object>>();
  /** What followed a type by a change of some of its resources. */
  const successor = new WeakMap<TypeSnapshot, TypeSnapshot>();
  const joins = new WeakMap<TypeSnapshot, WeakMap<TypeSnapshot, TypeSnapshot>>();
  const layersOf = new WeakMap<TypeSnapshot, readonly TypeSnapshot[]>();
  /** By the line of what they were before: the latest, and the map it came from. */
  const latestOf = new WeakMap<object, Latest>();
  /** What was completed to a type. */
  const completedFrom = new WeakMap<TypeSnapshot, { readonly given: TypeSnapshot; readonly key: string }>();
  const missingOf = createMissingNames((type) => layersOf.get(type));
  const missingKeys = new WeakMap<ReadonlySet<string>, string>();
  const completions = new WeakMap<TypeSnapshot, Map<string, TypeSnapshot>>();
  const onDemandBySource = new WeakMap<OnDemandSource, OnDemandSnapshot>();
  const remembered = createContentMemory(rememberedBytesMax.other);
  const rememberedEndpoints = createContentMemory(rememberedBytesMax.endpoints);

  /** Hashing an encoding that goes on from the last costs less than hashing all of the JSON. */
  const endpointsEntry = (resource: SnapshotResource, before: SnapshotEntry | undefined): SnapshotEntry => {
    const bytes = encode(resource.kind, resource.json, before);
    const version = hashOf(bytes);
    return rememberedEndpoints(`${resource.name}\0${version}`, () => createEntry(resource, version, bytes));
  };

  const otherEntry = (resource: SnapshotResource): SnapshotEntry => {
    const { kind, name, json } = resource;
    const version = kind === "route" ? tableVersion(json) : contentHash(json);
    return remembered(`${kind}\0${name}\0${version}`, () => createEntry(resource, version, encode(kind, json)));
  };

  const entryOf = (resource: SnapshotResource, before?: SnapshotEntry): SnapshotEntry => {
    const known = byIdentity.get(resource.json);
    if (known && known.name === resource.name) return known;
    const entry = resource.kind === "endpoints" ? endpointsEntry(resource, before) : otherEntry(resource);
    byIdentity.set(resource.json, entry);
    return entry;
  };

  /** A change goes on from the last one, whoever asks: else each who asks later would copy all. */
  const newest = (type: TypeSnapshot): TypeSnapshot => {
    let at = type;
    for (let next = successor.get(at); next; next = successor.get(at)) at = next;
    if (at !== type) successor.set(type, at);
    return at;
  };

  /** `last` with what its source changed since; `undefined` where that is not known. */
  const moved = (kind: ResourceKind, source: ReadonlyMap<string, object>, last: TypeSnapshot | undefined) => {
    const before = last && newest(last);
    const from = before && sourceOf.get(before);
    const names = from && VersionedMap.between(from, source);
    if (!before || !names) return undefined;
    const values = new Map<string, SnapshotEntry>();
    try {
      for (const name of names) {
        const last = before.entries.get(name);
        const entry = entryOf({ kind, name, json: source.get(name) as object }, last);
        if (last?.version !== entry.version) values.set(name, entry);
      }
    } catch {
      return undefined;
    }
    const type = values.size === 0 ? before : changedType(before, values);
    if (type !== before) successor.set(before, type);
    sourceOf.set(type, source);
    bySource.get(kind)?.set(source, type);
    return type;
  };

  /** The same layers give the same type. */
  const joined = (layers: readonly TypeSnapshot[]): TypeSnapshot => {
    const [first, ...rest] = layers as [TypeSnapshot, ...TypeSnapshot[]];
    return rest.reduce((a, b) => {
      const over = joins.get(a) ?? new WeakMap<TypeSnapshot, TypeSnapshot>();
      joins.set(a, over);
      const made = over.get(b) ?? typeWith(a.typeUrl, LayeredMap.of(a.entries, b.entries));
      over.set(b, made);
      layersOf.set(made, [...(layersOf.get(a) ?? [a]), b]);
      return made;
    }, first);
  };

  const typeOf = (
    kind: ResourceKind,
    source: ReadonlyMap<string, object>,
    before: TypeSnapshot | undefined,
  ): TypeSnapshot => {
    const known = bySource.get(kind)?.get(source) ?? moved(kind, source, before);
    if (known) return known;
    if (source instanceof LayeredMap) {
      const last = before && layersOf.get(before);
      return joined(source.layers.map((layer, at) => typeOf(kind, layer, last?.[at] ?? before)));
    }
    const entries = new Map<string, SnapshotEntry>();
    let allGood = true;
    for (const [name, json] of source) {
      try {
        entries.set(name, entryOf({ kind, name, json }, before?.entries.get(name)));
      } catch (error) {
        allGood = false;
        const good = before?.entries.get(name);
        if (good) entries.set(name, good);
        onBad?.({ kind, name, json }, error);
      }
    }
    const same = before && sameEntries(before.entries, entries);
    const type = same ? before : createTypeSnapshot(resourceType(kind).typeUrl, entries);
    if (!allGood) return type;
    bySource.get(kind)?.set(source, type);
    sourceOf.set(type, source);
    return type;
  };

  /** What was completed before in the same way, with what is otherwise in the endpoints now. */
  const completedOn = (endpoints: TypeSnapshot, key: string, previous: TypeSnapshot | undefined) => {
    const before = previous && newest(previous);
    const last = before && completedFrom.get(before);
    const names = last?.key === key ? VersionedMap.between(last.given.entries, endpoints.entries) : undefined;
    if (!before || !names) return undefined;
    const values = new Map([...names].map((name) => [name, endpoints.entries.get(name) as SnapshotEntry]));
    const made = names.size === 0 ? before : changedType(before, values);
    if (made !== before) successor.set(before, made);
    completedFrom.set(made, { given: endpoints, key });
    return made;
  };

  /** The endpoints, with empty ones for each cluster that would wait for them in vain. */
  const completed = (
    clusters: TypeSnapshot,
    endpoints: TypeSnapshot,
    before: TypeSnapshot | undefined,
  ): TypeSnapshot => {
    const missing = missingOf(clusters, endpoints);
    if (missing.size === 0) return endpoints;
    // By what is missing, not by the clusters: audiences with clusters of their own still share their endpoints.
    const completed = completions.get(endpoints) ?? new Map<string, TypeSnapshot>();
    completions.set(endpoints, completed);
    const key = missingKeys.get(missing) ?? [...missing].join("\0");
    missingKeys.set(missing, key);
    const known = completed.get(key) ?? completedOn(endpoints, key, before);
    if (known) {
      completed.set(key, known);
      return known;
    }
    const entries = new Map(endpoints.entries);
    for (const name of missing) entries.set(name, entryOf({ kind: "endpoints", name, json: { clusterName: name } }));
    const same = before && sameEntries(before.entries, entries);
    const made = same ? before : createTypeSnapshot(endpoints.typeUrl, entries);
    completed.set(key, made);
    completedFrom.set(made, { given: endpoints, key });
    return made;
  };

  const remember = (
    line: object,
    latest: Latest | undefined,
    source: ReadonlyMap<string, object>,
    made: TypeSnapshot,
  ): void => {
    if (!latest) return void latestOf.set(line, { source, made });
    latest.source = source;
    latest.made = made;
  };

  const lazyHosts = createLazyEntries({
    typeUrl: virtualHostType.typeUrl,
    encode: (json) => encode("virtualHost", json),
    onBad: (name, json, error) => onBad?.({ kind: "virtualHost", name, json }, error),
  });
  const onDemandOf = (source: OnDemandSource): OnDemandSnapshot => {
    const hosts = lazyHosts.of(source.hosts);
    const known = onDemandBySource.get(source);
    const made = known?.hosts === hosts ? known : { ...source, hosts };
    onDemandBySource.set(source, made);
    return made;
  };

  return {
    build(source, epoch, previous) {
      const types = new Map<string, TypeSnapshot>();
      for (const { kind, typeUrl } of resourceTypes) {
        const given = previous?.types.get(typeUrl);
        const before = given && (completedFrom.get(given)?.given ?? given);
        types.set(typeUrl, typeOf(kind, source[kind] ?? noResources, before));
      }
      const clusters = types.get(clusterUrl) as TypeSnapshot;
      const endpoints = types.get(endpointsUrl) as TypeSnapshot;
      types.set(endpointsUrl, completed(clusters, endpoints, previous?.types.get(endpointsUrl)));
      const onDemand = source.onDemand && onDemandOf(source.onDemand);
      if (previous && previous.onDemand === onDemand && sameTypes(previous.types, types)) return previous;
      return { epoch, types, ...(onDemand ? { onDemand } : {}) };
    },
    withEndpoints(source, epoch, previous) {
      const before = previous.types.get(endpointsUrl) as TypeSnapshot;
      const line = VersionedMap.lineOf(before.entries);
      const latest = line && latestOf.get(line);
      let made = latest?.source === source ? latest.made : undefined;
      if (!made) {
        const given = typeOf("endpoints", source, completedFrom.get(before)?.given ?? before);
        made = completed(previous.types.get(clusterUrl) as TypeSnapshot, given, before);
        if (line && VersionedMap.lineOf(made.entries) === line) remember(line, latest, source, made);
      }
      if (made === before) return previous;
      return { ...previous, epoch, types: ReplacedValue.of(previous.types, endpointsUrl, made) };
    },
  };
};

const sameTypes = (a: Snapshot["types"], b: Snapshot["types"]): boolean => {
  for (const [typeUrl, type] of b) if (a.get(typeUrl) !== type) return false;
  return true;
};

const typeUrlOf = (kind: SubscribedKind): string =>
  kind === "virtualHost" ? virtualHostType.typeUrl : resourceType(kind).typeUrl;

/** What the last change of endpoints made, for all whose endpoints were of one line before it. */
interface Latest {
  source: ReadonlyMap<string, object>;
  made: TypeSnapshot;
}

const noResources: ReadonlyMap<string, object> = new Map();
const clusterUrl = resourceType("cluster").typeUrl;
const endpointsUrl = resourceType("endpoints").typeUrl;

const createEntry = ({ kind, name, json }: SnapshotResource, version: string, bytes: Uint8Array): SnapshotEntry => ({
  typeUrl: typeUrlOf(kind),
  name,
  version,
  json,
  endpointsName: kind === "cluster" ? endpointsNameOf(json as ClusterJson, name) : undefined,
  bytes,
});

const endpointsNameOf = (cluster: ClusterJson, name: string): string | undefined =>
  cluster.type === "EDS" ? cluster.edsClusterConfig?.serviceName || name : undefined;

const createTypeSnapshot = (typeUrl: string, entries: ReadonlyMap<string, SnapshotEntry>): TypeSnapshot => {
  const sorted = new Map([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  // Only endpoints change one by one.
  return typeWith(typeUrl, typeUrl === endpointsUrl ? VersionedMap.first(sorted) : sorted);
};

const changedType = ({ typeUrl, entries }: TypeSnapshot, values: ReadonlyMap<string, SnapshotEntry>): TypeSnapshot =>
  typeWith(typeUrl, VersionedMap.changed(entries, values));

const typeWith = (typeUrl: string, entries: ReadonlyMap<string, SnapshotEntry>): TypeSnapshot => {
  let version: string | undefined;
  return {
    typeUrl,
    entries,
    version: () => {
      version ??= versionOf(entries.values());
      return version;
    },
  };
};

const sameEntries = (a: ReadonlyMap<string, SnapshotEntry>, b: ReadonlyMap<string, SnapshotEntry>): boolean => {
  if (a.size !== b.size) return false;
  for (const [name, { version }] of b) if (a.get(name)?.version !== version) return false;
  return true;
};

/** The version of a whole state-of-the-world response: a hash over the names and versions in it. */
export const versionOf = (entries: Iterable<SnapshotEntry>): string => {
  const hash = createHash("sha256");
  for (const { name, version } of entries) hash.update(`${name}\0${version}\0`);
  return hash.digest("hex").slice(0, hashLength);
};

/** What a type that the snapshot does not know has: nothing. */
export const emptyType = (typeUrl: string): TypeSnapshot => createTypeSnapshot(typeUrl, new Map());
