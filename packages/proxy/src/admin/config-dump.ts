/** `/config_dump` as Envoy prints it: sections of what is in force, what warms and what was refused. */
import type { DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { resourceSchema, toProtoNames } from "@weft/xds/codec";
import { type BootstrapJson, BootstrapSchema } from "@weft/xds/gen/envoy/config/bootstrap/v3/bootstrap";
import type { ResourceKind } from "@weft/xds/resource";
import { RE2JS } from "re2js";
import type { HeldResource } from "../discovery/held-resource.ts";
import type { ResourceEntry, ResourceStore } from "../discovery/resource-store.ts";
import { redact } from "./redact.ts";

export interface ConfigDumpQuery {
  /** A list of a section, such as `dynamic_active_clusters`: only its elements are given. */
  readonly resource: string | undefined;
  /** Field paths joined by commas, relative to the section or, with `resource`, to the element. */
  readonly mask: string | undefined;
  /** Keeps only resources whose whole name matches. */
  readonly nameRegex: string | undefined;
  readonly includeEds: boolean;
}

export type ConfigDumpAnswer =
  | { readonly kind: "dump"; readonly json: JsonObject }
  | { readonly kind: "refused"; readonly status: 400 | 404; readonly message: string };

interface Section {
  readonly type: string;
  readonly members: JsonObject;
}

const adminPackage = "type.googleapis.com/envoy.admin.v3.";

/** Element types of a section's lists, as `?resource=` gives them. */
const elementTypes: ReadonlyMap<string, string> = new Map([
  ["static_clusters", "ClustersConfigDump.StaticCluster"],
  ["dynamic_active_clusters", "ClustersConfigDump.DynamicCluster"],
  ["dynamic_warming_clusters", "ClustersConfigDump.DynamicCluster"],
  ["static_endpoint_configs", "EndpointsConfigDump.StaticEndpointConfig"],
  ["dynamic_endpoint_configs", "EndpointsConfigDump.DynamicEndpointConfig"],
  ["static_listeners", "ListenersConfigDump.StaticListener"],
  ["dynamic_listeners", "ListenersConfigDump.DynamicListener"],
  ["static_route_configs", "RoutesConfigDump.StaticRouteConfig"],
  ["dynamic_route_configs", "RoutesConfigDump.DynamicRouteConfig"],
  ["static_secrets", "SecretsConfigDump.StaticSecret"],
  ["dynamic_active_secrets", "SecretsConfigDump.DynamicSecret"],
  ["dynamic_warming_secrets", "SecretsConfigDump.DynamicSecret"],
]);

export const configDump = (
  bootstrap: { readonly json: BootstrapJson; readonly atMs: number },
  store: ResourceStore,
  query: ConfigDumpQuery,
): ConfigDumpAnswer => {
  const matches = compileNames(query.nameRegex);
  if (!matches) return { kind: "refused", status: 400, message: "name_regex is not a regular expression" };
  const sections = [
    bootstrapSection(bootstrap),
    clusters(store, matches),
    ...(query.includeEds || query.resource?.includes("endpoint") ? [endpoints(store, matches)] : []),
    listeners(store, matches),
    { type: "ScopedRoutesConfigDump", members: {} },
    routes(store, matches),
    secrets(store, matches),
  ];
  const mask = query.mask?.split(",").map((path) => path.split("."));
  const trim = (json: JsonObject): JsonObject => (mask ? masked(json, mask) : json);
  const { resource } = query;
  if (resource === undefined) {
    const configs = sections.map(({ type, members }) => ({ "@type": adminPackage + type, ...trim(members) }));
    return { kind: "dump", json: { configs } };
  }
  const found = sections.find(({ members }) => Object.hasOwn(members, resource));
  const element = elementTypes.get(resource);
  if (!found && !element) return { kind: "refused", status: 404, message: `${resource} not found in config dump` };
  const value = found?.members[resource] ?? [];
  const items = (Array.isArray(value) ? value : [value]) as JsonObject[];
  const type = element === undefined ? {} : { "@type": adminPackage + element };
  return { kind: "dump", json: { configs: items.map((item) => ({ ...type, ...trim(item) })) } };
};

type Matches = (name: string) => boolean;

const compileNames = (pattern: string | undefined): Matches | undefined => {
  if (pattern === undefined || pattern === "") return () => true;
  try {
    const compiled = RE2JS.compile(pattern);
    return (name) => compiled.matches(name);
  } catch {
    return undefined;
  }
};

/** Keeps only the fields that the paths name; a path that goes through a list applies to each of its elements. */
const masked = (json: JsonObject, paths: readonly (readonly string[])[]): JsonObject => {
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    const below = paths.filter(([first]) => first === key).map((path) => path.slice(1));
    if (below.length === 0 && key !== "@type") continue;
    kept[key] = below.some((path) => path.length === 0) || key === "@type" ? value : maskedValue(value, below);
  }
  return kept;
};
const maskedValue = (value: JsonValue, paths: readonly (readonly string[])[]): JsonValue => {
  if (Array.isArray(value)) return value.map((item) => maskedValue(item, paths));
  return typeof value === "object" && value !== null ? masked(value, paths) : value;
};

const stamp = (atMs: number): string => new Date(atMs).toISOString();
const withType = (desc: DescMessage, json: JsonValue): JsonObject => ({
  "@type": `type.googleapis.com/${desc.typeName}`,
  ...(toProtoNames(desc, json) as JsonObject),
});
const bodyOf = (of: ResourceKind, held: HeldResource): JsonObject =>
  withType(resourceSchema(of), redact(held.json) as JsonValue);

const bootstrapSection = ({ json, atMs }: { readonly json: BootstrapJson; readonly atMs: number }): Section => ({
  type: "BootstrapConfigDump",
  members: { bootstrap: toProtoNames(BootstrapSchema, redact(json) as JsonValue), last_updated: stamp(atMs) },
});

/** Lists of a section without the empty ones, as protobuf prints them. */
const section = (type: string, members: JsonObject): Section => ({
  type,
  members: Object.fromEntries(Object.entries(members).filter(([, value]) => !Array.isArray(value) || value.length > 0)),
});

const isStatic = ({ source }: HeldResource): boolean => source === "static";

const pick = (
  entries: ReadonlyMap<string, ResourceEntry>,
  matches: Matches,
  choose: (entry: ResourceEntry) => HeldResource | undefined,
): readonly HeldResource[] =>
  [...entries].flatMap(([name, entry]) => {
    const held = matches(name) ? choose(entry) : undefined;
    return held ? [held] : [];
  });

const split = (
  store: ResourceStore,
  of: ResourceKind,
  matches: Matches,
): {
  readonly fixed: readonly HeldResource[];
  readonly dynamic: readonly HeldResource[];
  readonly warming: readonly HeldResource[];
} => {
  const active = pick(store.entries(of), matches, (entry) => entry.active);
  return {
    fixed: active.filter(isStatic),
    dynamic: active.filter((held) => !isStatic(held)),
    warming: pick(store.entries(of), matches, (entry) => entry.warming),
  };
};

const entryOf =
  (of: ResourceKind, member: string) =>
  (held: HeldResource): JsonObject => ({
    ...(held.version === "" ? {} : { version_info: held.version }),
    [member]: bodyOf(of, held),
    last_updated: stamp(held.atMs),
  });

const clusters = (store: ResourceStore, matches: Matches): Section => {
  const { fixed, dynamic, warming } = split(store, "cluster", matches);
  const entry = entryOf("cluster", "cluster");
  return section("ClustersConfigDump", {
    static_clusters: fixed.map(entry),
    dynamic_active_clusters: dynamic.map(entry),
    dynamic_warming_clusters: warming.map(entry),
  });
};

const endpoints = (store: ResourceStore, matches: Matches): Section => {
  const { fixed, dynamic } = split(store, "endpoints", matches);
  const inline = pick(store.entries("cluster"), matches, ({ active }) => active).flatMap((held) => {
    const { loadAssignment } = held.json as { loadAssignment?: JsonValue };
    return loadAssignment === undefined ? [] : [{ ...held, json: loadAssignment as HeldResource["json"] }];
  });
  const entry = entryOf("endpoints", "endpoint_config");
  return section("EndpointsConfigDump", {
    static_endpoint_configs: [...fixed, ...inline].map(entry),
    dynamic_endpoint_configs: dynamic.map(entry),
  });
};

const listeners = (store: ResourceStore, matches: Matches): Section => {
  const state = entryOf("listener", "listener");
  const all = [...store.entries("listener")].filter(([name]) => matches(name));
  const fixed = all.flatMap(([, { active }]) => (active && isStatic(active) ? [state(active)] : []));
  const dynamic = all.flatMap(([name, { active, warming, error }]): JsonObject[] => {
    if (active && isStatic(active)) return [];
    return [
      {
        name,
        ...(active ? { active_state: state(active) } : {}),
        ...(warming ? { warming_state: state(warming) } : {}),
        ...(error ? { error_state: { last_update_attempt: stamp(error.atMs), details: error.reason } } : {}),
      },
    ];
  });
  return section("ListenersConfigDump", { static_listeners: fixed, dynamic_listeners: dynamic });
};

const routes = (store: ResourceStore, matches: Matches): Section => {
  const { fixed, dynamic } = split(store, "route", matches);
  const entry = entryOf("route", "route_config");
  const inline = pick(
    store.entries("listener"),
    () => true,
    ({ active }) => active,
  ).flatMap((held) =>
    inlineRoutes(held.json).map((json) => ({ ...held, version: "", json: json as HeldResource["json"] })),
  );
  const named = inline.filter(({ json }) => matches(String((json as { name?: string }).name ?? "")));
  return section("RoutesConfigDump", {
    static_route_configs: [...fixed, ...named].map(entry),
    dynamic_route_configs: dynamic.map(entry),
  });
};

/** Route tables written into a listener's connection managers. */
const inlineRoutes = (json: unknown): readonly object[] => {
  if (Array.isArray(json)) return json.flatMap(inlineRoutes);
  if (typeof json !== "object" || json === null) return [];
  return Object.entries(json).flatMap(([key, value]) =>
    key === "routeConfig" && typeof value === "object" ? [value as object] : inlineRoutes(value),
  );
};

const secrets = (store: ResourceStore, matches: Matches): Section => {
  const { fixed, dynamic, warming } = split(store, "secret", matches);
  const entry = (held: HeldResource): JsonObject => ({ name: held.name, ...entryOf("secret", "secret")(held) });
  return section("SecretsConfigDump", {
    static_secrets: fixed.map(entry),
    dynamic_active_secrets: dynamic.map(entry),
    dynamic_warming_secrets: warming.map(entry),
  });
};
