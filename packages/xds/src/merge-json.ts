/** Fragments of Envoy's messages as people write them: checked, brought to canonical JSON, and merged as protobuf merges. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { ClusterSchema } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { TypedExtensionConfigSchema } from "@weft/xds/gen/envoy/config/core/v3/extension";
import { ListenerSchema } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import {
  FilterChainSchema,
  FilterSchema,
  ListenerFilterSchema,
} from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { RouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/route";
import { RouteSchema, VirtualHostSchema } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { HttpFilterSchema } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { registry } from "./registry.ts";

type Json = Readonly<Record<string, unknown>>;

const schemas = {
  cluster: ClusterSchema,
  listener: ListenerSchema,
  listenerFilter: ListenerFilterSchema,
  filterChain: FilterChainSchema,
  networkFilter: FilterSchema,
  httpFilter: HttpFilterSchema,
  routeConfiguration: RouteConfigurationSchema,
  virtualHost: VirtualHostSchema,
  route: RouteSchema,
  extensionConfig: TypedExtensionConfigSchema,
} as const;

/** The messages that can be merged. */
export type FragmentKind = keyof typeof schemas;

const prefix = "type.googleapis.com/";
const typedStruct = `${prefix}xds.type.v3.TypedStruct`;
/** Deeper than any configuration that means something. */
const depthMax = 64;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const nameOf = (typeUrl: string): string => typeUrl.slice(typeUrl.lastIndexOf("/") + 1);

/**
 * A fragment in canonical JSON, whichever field names it was written with. Extensions whose messages are not known here
 * are carried as TypedStruct, which Envoy reads by itself, and named in `unknown`. Throws an Error that names what does
 * not fit.
 */
export const readFragment = (
  kind: FragmentKind,
  json: Json,
): { readonly json: Json; readonly unknown: readonly string[] } => {
  const unknown = new Set<string>();
  const wrapped = wrapUnknown(json, unknown, 0) as never;
  return { json: decodeMessage(schemas[kind], encodeMessage(schemas[kind], wrapped)) as Json, unknown: [...unknown] };
};

const wrapUnknown = (value: unknown, unknown: Set<string>, depth: number): unknown => {
  if (depth > depthMax) throw new Error(`the value is nested deeper than ${depthMax}`);
  if (Array.isArray(value)) return value.map((one) => wrapUnknown(one, unknown, depth + 1));
  if (!isObject(value)) return value;
  const type = value["@type"];
  if (typeof type !== "string" || registry.getMessage(nameOf(type))) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, wrapUnknown(one, unknown, depth + 1)]));
  }
  const { "@type": _, ...rest } = value;
  unknown.add(nameOf(type));
  return { "@type": typedStruct, typeUrl: type, value: rest };
};

export interface MergeOptions {
  /** Lists take the place of those there; else they are appended. */
  readonly replaceLists?: boolean;
}

/** `base` with `patch` merged in: messages field by field, lists appended, entries of maps and extensions replaced. */
export const mergeFragment = (kind: FragmentKind, base: Json, patch: Json, options: MergeOptions = {}): Json =>
  mergeMessage(schemas[kind], base, patch, options);

/**
 * An extension's configuration merged into one of the same type; `undefined` where the types differ or the message is not
 * known here.
 */
export const mergeExtension = (base: Json, patch: Json): Json | undefined => {
  const type = base["@type"];
  if (typeof type !== "string" || type !== patch["@type"]) return undefined;
  const desc = registry.getMessage(nameOf(type));
  if (!desc) return undefined;
  const { "@type": _base, ...inside } = base;
  const { "@type": _patch, ...changes } = patch;
  if (type === typedStruct && inside.typeUrl !== changes.typeUrl) return undefined;
  return { "@type": type, ...mergeMessage(desc, inside, changes, {}) };
};

const mergeMessage = (desc: DescMessage, base: Json, patch: Json, options: MergeOptions): Json => {
  const merged: Record<string, unknown> = { ...base };
  const fields = new Map(desc.fields.map((field) => [field.jsonName, field]));
  for (const [name, value] of Object.entries(patch)) {
    const field = fields.get(name);
    if (!field) continue;
    for (const other of field.oneof?.fields ?? []) if (other !== field) delete merged[other.jsonName];
    merged[name] = mergeField(field, merged[name], value, options);
  }
  return merged;
};

const mergeField = (field: DescField, base: unknown, patch: unknown, options: MergeOptions): unknown => {
  if (base === undefined) return patch;
  switch (field.fieldKind) {
    case "list":
      return options.replaceLists ? patch : [...(base as unknown[]), ...(patch as unknown[])];
    case "map":
      return { ...(base as Json), ...(patch as Json) };
    case "message":
      if (!isObject(base) || !isObject(patch)) return patch;
      if (field.message.typeName === "google.protobuf.Struct") return { ...base, ...patch };
      // An extension, and values whose JSON has no fields of its own, are replaced whole.
      return field.message.typeName.startsWith("google.protobuf.")
        ? patch
        : mergeMessage(field.message, base, patch, options);
    default:
      return patch;
  }
};
