/** Patches of route configurations, their virtual hosts and routes. */
import { mergeFragment } from "@weft/xds/merge-json";
import { editList } from "./edit-list.ts";
import { listAt, matchesContext, matchesHost, matchesRoute, matchesTable, wantsRoute } from "./match.ts";
import type { Json, Patch, PatchContext } from "./patch.ts";
import { isMerge, mergeOptions, type Touch } from "./patch-cluster.ts";

const kinds: ReadonlySet<string> = new Set(["ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"]);

export const patchRoutes = (table: Json, patches: readonly Patch[], context: PatchContext, touch: Touch): Json => {
  const mine = patches.filter(
    (patch) => kinds.has(patch.applyTo) && matchesContext(patch, context) && matchesTable(patch, table, context),
  );
  if (mine.length === 0) return table;
  let made = table;
  for (const patch of mine) {
    if (patch.applyTo !== "ROUTE_CONFIGURATION") continue;
    touch(patch);
    made = mergeFragment("routeConfiguration", made, patch.value, mergeOptions(patch));
  }
  const whole = made;
  const hosts = listAt(made, "virtualHosts").flatMap((host): readonly Json[] => {
    const own = patchHost(whole, host, mine, touch);
    return own ? [own] : [];
  });
  for (const patch of mine) {
    if (patch.applyTo !== "VIRTUAL_HOST" || patch.operation !== "ADD") continue;
    touch(patch);
    hosts.push(patch.value);
  }
  return hosts.length > 0 || made.virtualHosts ? { ...made, virtualHosts: hosts } : made;
};

const patchHost = (table: Json, host: Json, patches: readonly Patch[], touch: Touch): Json | undefined => {
  let made = host;
  for (const patch of patches) {
    if (patch.applyTo !== "VIRTUAL_HOST" || patch.operation === "ADD" || !matchesHost(patch, table, made)) continue;
    touch(patch);
    if (patch.operation === "REMOVE") return undefined;
    made = isMerge(patch) ? mergeFragment("virtualHost", made, patch.value, mergeOptions(patch)) : patch.value;
  }
  return patchHttpRoutes(table, made, patches, touch);
};

/** Changes to routes first, then additions, as Istio does it. */
const patchHttpRoutes = (table: Json, host: Json, patches: readonly Patch[], touch: Touch): Json => {
  const mine = patches.filter((patch) => patch.applyTo === "HTTP_ROUTE" && matchesHost(patch, table, host));
  if (mine.length === 0) return host;
  let routes: readonly Json[] = listAt(host, "routes").flatMap((route): readonly Json[] => {
    const made = patchRoute(route, mine, touch);
    return made ? [made] : [];
  });
  for (const patch of mine) {
    if (isMerge(patch) || patch.operation === "REMOVE") continue;
    const named = wantsRoute(patch);
    const edit = editList(routes, patch, {
      named,
      matches: (route) => matchesRoute(patch, route),
      firstNeedsMatch: true,
    });
    if (edit.applied) touch(patch);
    routes = edit.list;
  }
  return { ...host, routes };
};

const patchRoute = (route: Json, patches: readonly Patch[], touch: Touch): Json | undefined => {
  let made = route;
  for (const patch of patches) {
    const removes = patch.operation === "REMOVE";
    if ((!removes && !isMerge(patch)) || !matchesRoute(patch, made)) continue;
    touch(patch);
    if (removes) return undefined;
    made = mergeFragment("route", made, patch.value, mergeOptions(patch));
  }
  return made;
};
