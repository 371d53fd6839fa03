/** Which services clients of a namespace see, one for each hostname, kept up to date by what changes. */
import type { Collection } from "@weft/core/collection";
import { visibleIn } from "./hostname.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import type { Service } from "./service.ts";

/** By hostname, in that order. The same map while nothing of it changed. */
export type VisibleServices = (namespace: string) => ReadonlyMap<string, Service>;

/** Changes remembered for namespaces that are not asked for often; after more they are read anew. */
const changesMax = 2_000;
const namespacesMax = 1_024;

interface Seen {
  readonly mesh: MeshSettings;
  readonly upTo: number;
  readonly services: ReadonlyMap<string, Service>;
}

/** To whom a service is shown: as it says, or as the mesh does for those that say nothing. */
export const exportsOf = ({ exportTo, sources }: Service, mesh: MeshSettings): readonly string[] | undefined => {
  if (exportTo.length > 0) return exportTo;
  if (sources[0] === "ServiceEntry" && mesh.serviceEntryVisibility !== "PUBLIC") {
    return [mesh.serviceEntryVisibility === "NONE" ? "~" : "."];
  }
  return mesh.defaultServiceExportTo;
};

export const createVisibleServices = (services: Collection<Service>, mesh: () => MeshSettings): VisibleServices => {
  const byHost = services.index("hostname", ({ hostname }) => [hostname]);
  const seen = new Map<string, Seen>();
  /** Names of services that changed, the newest last; the first of them is number `first`. */
  let changes: string[] = [];
  let first = 0;
  services.watch((changed) => {
    for (const { before, after } of changed) {
      if (before) changes.push(before.hostname);
      if (after && after.hostname !== before?.hostname) changes.push(after.hostname);
    }
    if (changes.length <= changesMax) return;
    first += changes.length;
    changes = [];
  });

  const bestOf = (all: Iterable<Service>, namespace: string, settings: MeshSettings): Map<string, Service> => {
    const best = new Map<string, Service>();
    for (const service of all) {
      if (!visibleIn(exportsOf(service, settings), service.namespace, namespace)) continue;
      const other = best.get(service.hostname);
      if (!other || preferred(service, other, namespace)) best.set(service.hostname, service);
    }
    return best;
  };

  return (namespace) => {
    const settings = mesh();
    const known = seen.get(namespace);
    const upTo = first + changes.length;
    if (known && known.upTo === upTo && known.mesh === settings) return known.services;
    let now: ReadonlyMap<string, Service>;
    if (known && known.mesh === settings && known.upTo >= first) {
      const names = new Set(changes.slice(known.upTo - first));
      const fresh = bestOf([...names].flatMap(byHost.lookup), namespace, settings);
      now = replaced(known.services, names, fresh);
    } else now = new Map([...bestOf(services.values(), namespace, settings)].sort(byName));
    if (seen.size >= namespacesMax) seen.clear();
    seen.set(namespace, { mesh: settings, upTo, services: now });
    return now;
  };
};

const byName = ([a]: readonly [string, Service], [b]: readonly [string, Service]): number => (a < b ? -1 : 1);

/** `before`, in its order, with what is otherwise for these names. */
const replaced = (
  before: ReadonlyMap<string, Service>,
  names: ReadonlySet<string>,
  fresh: ReadonlyMap<string, Service>,
): ReadonlyMap<string, Service> => {
  if ([...names].every((name) => before.get(name) === fresh.get(name))) return before;
  const added = [...fresh].filter(([name]) => !before.has(name)).sort(byName);
  const now = new Map<string, Service>();
  let at = 0;
  for (const [name, service] of before) {
    for (let next = added[at]; next && next[0] < name; next = added[++at]) now.set(...next);
    const kept = names.has(name) ? fresh.get(name) : service;
    if (kept) now.set(name, kept);
  }
  for (const next of added.slice(at)) now.set(...next);
  return now;
};

const preferred = (a: Service, b: Service, namespace: string): boolean => {
  if ((a.namespace === namespace) !== (b.namespace === namespace)) return a.namespace === namespace;
  const [ageA, ageB] = [a.createdAt ?? "~", b.createdAt ?? "~"];
  return ageA === ageB ? a.key < b.key : ageA < ageB;
};
