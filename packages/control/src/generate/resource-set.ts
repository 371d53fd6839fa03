/** What generation gives: resources by type and name, with notes for people. */
import type { Finding } from "@weft/config/finding";
import type { FieldPath } from "@weft/config/schema/problem";
import type { SourcePosition } from "@weft/core/error";
import type { ResourceJson, ResourceKind } from "@weft/xds/resource";
import type { OnDemandSource } from "@weft/xds/snapshot";

export type ResourceMap<K extends ResourceKind> = ReadonlyMap<string, ResourceJson[K]>;

export interface ResourceSet {
  readonly cluster: ResourceMap<"cluster">;
  readonly endpoints: ResourceMap<"endpoints">;
  readonly listener: ResourceMap<"listener">;
  readonly route: ResourceMap<"route">;
  readonly secret: ResourceMap<"secret">;
  /** What is not in the above for being given only to who uses it. */
  readonly onDemand?: OnDemandSource;
}

export interface Generated {
  readonly resources: ResourceSet;
  /** What could not be given as written, and what was given instead. */
  readonly notes: readonly Finding[];
  /** Patches of EnvoyFilters that something here matched, by id. */
  readonly matched?: ReadonlySet<string>;
}

/** A set under construction. */
export interface ResourceDraft {
  readonly cluster: Map<string, ResourceJson["cluster"]>;
  readonly endpoints: Map<string, ResourceJson["endpoints"]>;
  readonly listener: Map<string, ResourceJson["listener"]>;
  readonly route: Map<string, ResourceJson["route"]>;
  readonly secret: Map<string, ResourceJson["secret"]>;
}

export const emptyDraft = (): ResourceDraft => ({
  cluster: new Map(),
  endpoints: new Map(),
  listener: new Map(),
  route: new Map(),
  secret: new Map(),
});

/** A finding that belongs to a configuration object, or to none. */
export const note = (
  code: string,
  message: string,
  object:
    | { readonly kind: string; readonly namespace: string; readonly name: string; readonly source: SourcePosition }
    | undefined,
  level: Finding["level"] = "warning",
): Finding => ({
  code,
  level,
  message,
  kind: object?.kind ?? "",
  namespace: object?.namespace ?? "",
  name: object?.name ?? "",
  file: object?.source.file ?? "",
  line: object?.source.line ?? 0,
  column: object?.source.column ?? 0,
  also: [],
});

/** As `note`, at the field of the object that it is about. */
export const noteAt = (
  code: string,
  message: string,
  place: {
    readonly object: Parameters<typeof note>[2] & { readonly positionOf: (path: FieldPath) => SourcePosition };
    readonly path: FieldPath;
  },
  level: Finding["level"] = "warning",
): Finding => {
  const { object, path } = place;
  return note(code, message, { ...object, source: object.positionOf(path) }, level);
};
