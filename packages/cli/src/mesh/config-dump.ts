import { WeftError } from "@weft/core/error";
import type { Resource } from "../output/resource-views.ts";
import { canonicalNames } from "./canonical-names.ts";
import { adminUnreachable } from "./proxy-admin.ts";

/** Where a dump comes from: the proxy's admin, else the control plane's record of what it sent. */
export interface DumpSource {
  readonly admin: string | undefined;
  readonly fallback: (() => Promise<unknown>) | undefined;
}

/** Where in a config dump the resources of a type are: the dump's section, its lists, the member holding the resource. */
interface DumpPlace {
  readonly section: string;
  readonly lists: readonly string[];
  readonly member: string;
}
const places: ReadonlyMap<string, DumpPlace> = new Map([
  [
    "clusters",
    {
      section: "ClustersConfigDump",
      lists: ["staticClusters", "dynamicActiveClusters", "dynamicWarmingClusters"],
      member: "cluster",
    },
  ],
  ["listeners", { section: "ListenersConfigDump", lists: ["staticListeners", "dynamicListeners"], member: "listener" }],
  [
    "routes",
    { section: "RoutesConfigDump", lists: ["staticRouteConfigs", "dynamicRouteConfigs"], member: "routeConfig" },
  ],
  [
    "endpoints",
    {
      section: "EndpointsConfigDump",
      lists: ["staticEndpointConfigs", "dynamicEndpointConfigs"],
      member: "endpointConfig",
    },
  ],
  [
    "secrets",
    {
      section: "SecretsConfigDump",
      lists: ["staticSecrets", "dynamicActiveSecrets", "dynamicWarmingSecrets"],
      member: "secret",
    },
  ],
  ["bootstrap", { section: "BootstrapConfigDump", lists: ["bootstrap"], member: "" }],
]);

const fetchAdmin = async (admin: string, path: string): Promise<unknown> => {
  const response = await fetch(`http://${admin}${path}`, { signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(`${path} was answered ${response.status}`);
  return response.json();
};

/** The dump itself: the proxy's own, else what the control plane sent. */
export const readWholeDump = async (source: DumpSource): Promise<unknown> => {
  if (source.admin !== undefined) {
    try {
      return await fetchAdmin(source.admin, "/config_dump?include_eds");
    } catch (cause) {
      if (source.fallback === undefined) throw adminUnreachable(source.admin, cause);
    }
  }
  if (source.fallback === undefined) throw new WeftError("WF9027", "the proxy has no admin interface");
  return source.fallback();
};

/** The resources of one type out of a proxy's config dump, without their `@type`. Names in snake_case or camelCase. */
export const readDump = async (source: DumpSource, type: string): Promise<readonly Resource[]> =>
  resourcesIn(await readWholeDump(source), type);

export const resourcesIn = (dump: unknown, type: string): readonly Resource[] => {
  const place = places.get(type);
  const sections = (dump as { configs?: readonly Resource[] }).configs ?? [];
  if (!place) return [];
  return sections
    .filter((section) => String(section["@type"] ?? "").endsWith(place.section))
    .flatMap((section) => place.lists.flatMap((list) => listIn(section, list)))
    .map((entry) => unwrap(entry, place.member))
    .filter((resource) => resource !== undefined)
    .map((resource) => canonicalNames(type, resource));
};

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const member = (object: Resource, name: string): unknown => object[name] ?? object[snake(name)];

const listIn = (section: Resource, name: string): readonly Resource[] => {
  const value = member(section, name);
  return Array.isArray(value) ? (value as readonly Resource[]) : value === undefined ? [] : [value as Resource];
};

const unwrap = (entry: Resource, name: string): Resource | undefined => {
  // Listeners that came by xDS have their resource one level down, under the state they are in.
  const state = (member(entry, "activeState") ?? member(entry, "warmingState") ?? entry) as Resource;
  const resource = name === "" ? state : (member(state, name) as Resource | undefined);
  if (resource === undefined) return undefined;
  const { "@type": _type, ...rest } = resource;
  return rest;
};

/** Envoy's `/clusters?format=json`: the live hosts of each cluster. */
export const readHosts = async (source: DumpSource): Promise<readonly Resource[]> => {
  if (source.admin === undefined) return readDump(source, "endpoints");
  try {
    const answer = (await fetchAdmin(source.admin, "/clusters?format=json")) as Resource;
    const statuses = (member(answer, "clusterStatuses") ?? []) as readonly Resource[];
    return statuses.map((status) => canonicalNames("hosts", status));
  } catch (cause) {
    if (source.fallback === undefined) throw adminUnreachable(source.admin, cause);
    return readDump({ ...source, admin: undefined }, "endpoints");
  }
};
