/**
 * What one class of proxies should have, as immutable values. A resource is hashed once and encoded once however many
 * proxies, snapshots and streams it appears in, and a type that did not change stays the same object.
 */
import { createHash } from "node:crypto";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { createDiffer } from "./diff.ts";
import { type ResourceKind, resourceType, resourceTypes } from "./resource.ts";

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
  /** In the order of their names. */
  readonly entries: ReadonlyMap<string, SnapshotEntry>;
  /** Hash over all names and versions. */
  readonly version: () => string;
}

export interface Snapshot {
  /** Number of the push that made it; newer is larger. */
  readonly epoch: number;
  /** By type URL. */
  readonly types: ReadonlyMap<string, TypeSnapshot>;
}

export interface SnapshotResource {
  readonly kind: ResourceKind;
  readonly name: string;
  readonly json: object;
}

/** Resources by type and name. A map given again is taken for unchanged, so it must not be written to. */
export type SnapshotSource = { readonly [K in ResourceKind]?: ReadonlyMap<string, object> };

export interface SnapshotBuilder {
  /**
   * Gives `previous` itself when nothing differs from it. A cluster that takes its endpoints by EDS always has them:
   * where none are given they are empty, for else it would warm for ever. A resource that cannot be encoded stays as it
   * was in `previous`, is left out where it was not, and is told to `onBad` at every build.
   */
  build(source: SnapshotSource, epoch: number, previous?: Snapshot): Snapshot;
}

export interface SnapshotBuilderOptions {
  readonly encode: (kind: ResourceKind, json: object) => Uint8Array;
  readonly onBad?: (resource: SnapshotResource, error: unknown) => void;
}

/** Resources remembered by content in each of two generations, so that audiences share what is equal. */
const entriesRememberedMax = 50_000;

export const createSnapshotBuilder = ({ encode, onBad }: SnapshotBuilderOptions): SnapshotBuilder => {
  const byIdentity = new WeakMap<object, SnapshotEntry>();
  const bySource = new Map(resourceTypes.map(({ kind }) => [kind, new WeakMap<object, TypeSnapshot>()]));
  const differ = createDiffer();
  const missingFor = new WeakMap<TypeSnapshot, { readonly given: TypeSnapshot; readonly names: ReadonlySet<string> }>();
  const completions = new WeakMap<TypeSnapshot, Map<string, TypeSnapshot>>();
  let young = new Map<string, SnapshotEntry>();
  let old = new Map<string, SnapshotEntry>();

  const entryOf = ({ kind, name, json }: SnapshotResource): SnapshotEntry => {
    const known = byIdentity.get(json);
    if (known && known.name === name) return known;
    const version = contentHash(json);
    const key = `${kind}\0${name}\0${version}`;
    const entry = young.get(key) ?? old.get(key) ?? createEntry({ kind, name, json }, version, encode(kind, json));
    if (young.size >= entriesRememberedMax) {
      old = young;
      young = new Map();
    }
    young.set(key, entry);
    byIdentity.set(json, entry);
    return entry;
  };

  const typeOf = (kind: ResourceKind, source: ReadonlyMap<string, object>, before: TypeSnapshot | undefined) => {
    const known = bySource.get(kind)?.get(source);
    if (known) return known;
    const entries = new Map<string, SnapshotEntry>();
    let allGood = true;
    for (const [name, json] of source) {
      try {
        entries.set(name, entryOf({ kind, name, json }));
      } catch (error) {
        allGood = false;
        const good = before?.entries.get(name);
        if (good) entries.set(name, good);
        onBad?.({ kind, name, json }, error);
      }
    }
    const same = before && sameEntries(before.entries, entries);
    const type = same ? before : createTypeSnapshot(resourceType(kind).typeUrl, entries);
    if (allGood) bySource.get(kind)?.set(source, type);
    return type;
  };

  /** Names of endpoints that the clusters ask for and that are not there; costs what changed since it was last asked. */
  const missingOf = (clusters: TypeSnapshot, endpoints: TypeSnapshot): ReadonlySet<string> => {
    const known = missingFor.get(clusters);
    if (known?.given === endpoints) return known.names;
    let names = known?.names;
    const moved = known && differ(known.given.entries, endpoints.entries);
    if (!names || !moved || moved.removed.length > 0 || moved.changed.some(({ name }) => known.names.has(name))) {
      const wanted = [...clusters.entries.values()].flatMap(({ endpointsName }) => endpointsName ?? []);
      names = new Set(wanted.filter((name) => !endpoints.entries.has(name)));
    }
    missingFor.set(clusters, { given: endpoints, names });
    return names;
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
    const key = [...missing].join("\0");
    const known = completed.get(key);
    if (known) return known;
    const entries = new Map(endpoints.entries);
    for (const name of missing) entries.set(name, entryOf({ kind: "endpoints", name, json: { clusterName: name } }));
    const same = before && sameEntries(before.entries, entries);
    const made = same ? before : createTypeSnapshot(endpoints.typeUrl, entries);
    completed.set(key, made);
    return made;
  };

  return {
    build(source, epoch, previous) {
      const types = new Map<string, TypeSnapshot>();
      for (const { kind, typeUrl } of resourceTypes) {
        const before = previous?.types.get(typeUrl);
        types.set(typeUrl, typeOf(kind, source[kind] ?? noResources, before));
      }
      const clusters = types.get(clusterUrl) as TypeSnapshot;
      const endpoints = types.get(endpointsUrl) as TypeSnapshot;
      types.set(endpointsUrl, completed(clusters, endpoints, previous?.types.get(endpointsUrl)));
      return previous && sameTypes(previous.types, types) ? previous : { epoch, types };
    },
  };
};

const sameTypes = (a: Snapshot["types"], b: Snapshot["types"]): boolean => {
  for (const [typeUrl, type] of b) if (a.get(typeUrl) !== type) return false;
  return true;
};

const noResources: ReadonlyMap<string, object> = new Map();
const clusterUrl = resourceType("cluster").typeUrl;
const endpointsUrl = resourceType("endpoints").typeUrl;

const createEntry = ({ kind, name, json }: SnapshotResource, version: string, bytes: Uint8Array): SnapshotEntry => ({
  typeUrl: resourceType(kind).typeUrl,
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
  let version: string | undefined;
  return {
    typeUrl,
    entries: sorted,
    version: () => {
      version ??= versionOf(sorted.values());
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
  return hash.digest("hex").slice(0, versionLength);
};

const versionLength = 16;

/** Hash of plain JSON that does not depend on the order of members. */
export const contentHash = (json: unknown): string =>
  createHash("sha256").update(canonical(json)).digest("hex").slice(0, versionLength);

const canonical = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const members: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const member = (value as Readonly<Record<string, unknown>>)[key];
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonical(member)}`);
  }
  return `{${members.join(",")}}`;
};

/** What a type that the snapshot does not know has: nothing. */
export const emptyType = (typeUrl: string): TypeSnapshot => createTypeSnapshot(typeUrl, new Map());
