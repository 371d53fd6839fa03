/** Patches of listeners: the listener, its listener filters, its chains, their network filters, and HTTP filters within. */
import { mergeExtension, mergeFragment } from "@weft/xds/merge-json";
import { editList, type ListRules } from "./edit-list.ts";
import { httpFilterName, listAt, matchesChain, matchesContext, matchesListener, networkFilterName } from "./match.ts";
import type { Json, Patch, PatchContext } from "./patch.ts";
import { isMerge, mergeOptions, mergeSocket, type Touch } from "./patch-cluster.ts";
import { patchRoutes } from "./patch-routes.ts";

interface Around {
  readonly patches: readonly Patch[];
  readonly all: readonly Patch[];
  readonly context: PatchContext;
  readonly touch: Touch;
}

/** `undefined`: the listener is removed. */
export const patchListener = (
  listener: Json,
  all: readonly Patch[],
  context: PatchContext,
  touch: Touch,
): Json | undefined => {
  const patches = all.filter((patch) => matchesContext(patch, context) && matchesListener(patch, listener));
  const around: Around = { patches, all, context, touch };
  let made = listener;
  for (const patch of patches) {
    if (patch.applyTo !== "LISTENER" || patch.operation === "ADD") continue;
    touch(patch);
    if (patch.operation === "REMOVE") return undefined;
    made = mergeFragment("listener", made, patch.value, mergeOptions(patch));
  }
  return patchChains(patchListenerFilters(made, around), around);
};

const patchListenerFilters = (listener: Json, { patches, touch }: Around): Json => {
  let filters = listAt(listener, "listenerFilters");
  for (const patch of patches) {
    if (patch.applyTo !== "LISTENER_FILTER") continue;
    const name = patch.match.listener?.listenerFilter;
    const edit = editList(filters, patch, { named: Boolean(name), matches: (filter) => filter.name === name });
    if (edit.applied) touch(patch);
    filters = edit.list;
  }
  return filters.length > 0 || listener.listenerFilters ? { ...listener, listenerFilters: filters } : listener;
};

const patchChains = (listener: Json, around: Around): Json => {
  const chains = listAt(listener, "filterChains").flatMap((chain): Json[] => {
    const made = patchChain(listener, chain, around);
    return made ? [made] : [];
  });
  for (const patch of around.patches) {
    if (patch.applyTo !== "FILTER_CHAIN" || patch.operation !== "ADD") continue;
    around.touch(patch);
    chains.push(patch.value);
  }
  const { defaultFilterChain: fallback, ...rest } = listener as { defaultFilterChain?: Json };
  const own = fallback && patchChain(listener, fallback, around);
  return {
    ...rest,
    ...(chains.length > 0 || listener.filterChains ? { filterChains: chains } : {}),
    ...(own ? { defaultFilterChain: own } : {}),
  };
};

const patchChain = (listener: Json, chain: Json, around: Around): Json | undefined => {
  const mine = around.patches.filter((patch) => matchesChain(patch, listener, chain));
  let made = chain;
  for (const patch of mine) {
    if (patch.applyTo !== "FILTER_CHAIN" || patch.operation === "ADD") continue;
    around.touch(patch);
    if (patch.operation === "REMOVE") return undefined;
    made = mergeChain(made, patch);
  }
  return patchNetworkFilters(made, { ...around, patches: mine });
};

/** A patch with a transport socket of the chain's name is for that socket only, as in Istio. */
const mergeChain = (chain: Json, patch: Patch): Json => {
  const [own, socket] = [chain.transportSocket as Json | undefined, patch.value.transportSocket as Json | undefined];
  if (own && socket && own.name === socket.name) return { ...chain, transportSocket: mergeSocket(own, socket) };
  return mergeFragment("filterChain", chain, patch.value, mergeOptions(patch));
};

const managerName = "envoy.filters.network.http_connection_manager";
const lastNetworkFilters: ReadonlySet<unknown> = new Set([managerName, "envoy.filters.network.tcp_proxy"]);

const patchNetworkFilters = (chain: Json, around: Around): Json => {
  let filters = listAt(chain, "filters");
  for (const patch of around.patches) {
    if (patch.applyTo !== "NETWORK_FILTER" || isMerge(patch)) continue;
    const name = networkFilterName(patch);
    const edit = editList(filters, patch, {
      named: patch.match.listener?.filterChain?.filter !== undefined,
      matches: (filter) => filter.name === name,
      isLast: (filter) => lastNetworkFilters.has(filter.name),
    });
    if (edit.applied) around.touch(patch);
    filters = edit.list;
  }
  const made = filters.map((filter) => patchNetworkFilter(filter, around));
  return { ...chain, filters: made };
};

const patchNetworkFilter = (filter: Json, around: Around): Json => {
  let made = filter;
  for (const patch of around.patches) {
    if (patch.applyTo !== "NETWORK_FILTER" || !isMerge(patch)) continue;
    const name = networkFilterName(patch);
    if (name !== undefined && name !== made.name) continue;
    made = mergeFilter(made, patch, around.touch);
  }
  return made.name === managerName ? patchManager(made, around) : made;
};

/** Only settings of one type merge; a patch without any gives the filter another name. */
const mergeFilter = (filter: Json, patch: Patch, touch: Touch): Json => {
  const [base, changes] = [filter.typedConfig as Json | undefined, patch.value.typedConfig as Json | undefined];
  if (!base) return filter;
  const merged = changes ? mergeExtension(base, changes) : base;
  if (!merged) return filter;
  touch(patch);
  return { ...filter, ...(patch.value.name ? { name: patch.value.name } : {}), typedConfig: merged };
};

const patchManager = (filter: Json, around: Around): Json => {
  const manager = filter.typedConfig as Json | undefined;
  if (!manager) return filter;
  const { all, context, touch } = around;
  const table = manager.routeConfig as Json | undefined;
  const httpFilters = patchHttpFilters(listAt(manager, "httpFilters"), filter, around);
  return {
    ...filter,
    typedConfig: {
      ...manager,
      ...(table ? { routeConfig: patchRoutes(table, all, context, touch) } : {}),
      ...(httpFilters.length > 0 ? { httpFilters } : {}),
    },
  };
};

const patchHttpFilters = (httpFilters: readonly Json[], manager: Json, around: Around): readonly Json[] => {
  const mine = around.patches.filter((patch) => {
    const name = networkFilterName(patch);
    return patch.applyTo === "HTTP_FILTER" && (name === undefined || name === manager.name);
  });
  let filters = httpFilters;
  for (const patch of mine) {
    if (isMerge(patch)) continue;
    const edit = editList(filters, patch, httpRules(patch));
    if (edit.applied) around.touch(patch);
    filters = edit.list;
  }
  return filters.map((filter) => {
    let made = filter;
    for (const patch of mine) {
      const name = httpFilterName(patch);
      if (!isMerge(patch) || (name !== undefined && name !== made.name)) continue;
      made = mergeFilter(made, patch, around.touch);
    }
    return inlined(made, around);
  });
};

const routerName = "envoy.filters.http.router";

const httpRules = (patch: Patch): ListRules => {
  const name = httpFilterName(patch);
  return {
    named: patch.match.listener?.filterChain?.filter?.subFilter !== undefined,
    matches: (filter) => filter.name === name,
    // Envoy refuses filters after the router.
    isLast: (filter) => filter.name === routerName,
    addAt: (filters) => placeOfClass(patch.filterClass, filters),
  };
};

const lastOf = (filters: readonly Json[], names: readonly string[]): number =>
  filters.findLastIndex(({ name }) => names.some((one) => String(name).startsWith(one)));

/** After the filters that do the same, or before those that measure. */
const placeOfClass = (filterClass: Patch["filterClass"], filters: readonly Json[]): number | undefined => {
  if (filterClass === "UNSPECIFIED") return undefined;
  if (filterClass === "STATS") {
    const stats = filters.findIndex(({ name }) => name === "istio.stats");
    return stats < 0 ? undefined : stats;
  }
  const start = lastOf(filters, ["istio.metadata_exchange"]) + 1;
  const authn = lastOf(filters, ["envoy.filters.http.jwt_authn"]) + 1 || start;
  if (filterClass === "AUTHN") return authn;
  return lastOf(filters, ["envoy.filters.http.rbac", "envoy.filters.http.ext_authz"]) + 1 || authn;
};

/** A filter whose settings come by name has them from an EXTENSION_CONFIG patch of that name, in place. */
const inlined = (filter: Json, { all, touch }: Around): Json => {
  if (filter.configDiscovery === undefined) return filter;
  const patch = all.find(({ applyTo, value }) => applyTo === "EXTENSION_CONFIG" && value.name === filter.name);
  if (!patch) return filter;
  touch(patch);
  const { configDiscovery: _, ...rest } = filter;
  return { ...rest, typedConfig: patch.value.typedConfig };
};
