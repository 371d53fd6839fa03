/** Routes that name clusters which do not exist, where the configuration asks for them to be found out. */

/** Where a name stands, and the name. */
export interface UnknownCluster {
  readonly at: string;
  readonly name: string;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const listOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** The names one route's action gives, with their places. */
function* named(action: Json, at: string): Generator<UnknownCluster> {
  if (typeof action.cluster === "string") yield { at: `${at}.cluster`, name: action.cluster };
  const weighted = isObject(action.weightedClusters) ? listOf(action.weightedClusters.clusters) : [];
  for (const [index, { name }] of weighted.entries())
    if (typeof name === "string") yield { at: `${at}.weightedClusters.clusters[${index}].name`, name };
  for (const [index, { cluster }] of listOf(action.requestMirrorPolicies).entries())
    if (typeof cluster === "string") yield { at: `${at}.requestMirrorPolicies[${index}].cluster`, name: cluster };
}

/** The first cluster of a route configuration that is not known. */
const inRoutes = (json: Json, at: string, isKnown: (name: string) => boolean): UnknownCluster | undefined => {
  for (const [host, { routes }] of listOf(json.virtualHosts).entries()) {
    for (const [index, { route }] of listOf(routes).entries()) {
      if (!isObject(route)) continue;
      for (const one of named(route, `${at}virtualHosts[${host}].routes[${index}].route`))
        if (!isKnown(one.name)) return one;
    }
  }
  return undefined;
};

/** For route configurations that come by themselves: looked through only where they say so, as in Envoy. */
export const unknownInRouteTable = (json: object, isKnown: (name: string) => boolean): UnknownCluster | undefined =>
  (json as Json).validateClusters === true ? inRoutes(json as Json, "", isKnown) : undefined;

/** For the route configurations within a listener: looked through unless they say otherwise, as in Envoy. */
export const unknownInListener = (
  json: unknown,
  isKnown: (name: string) => boolean,
  at = "",
): UnknownCluster | undefined => {
  if (Array.isArray(json)) {
    for (const [index, item] of json.entries()) {
      const found = unknownInListener(item, isKnown, `${at}[${index}]`);
      if (found) return found;
    }
    return undefined;
  }
  if (!isObject(json)) return undefined;
  for (const [key, value] of Object.entries(json)) {
    const here = at === "" ? key : `${at}.${key}`;
    const found =
      key === "routeConfig" && isObject(value)
        ? value.validateClusters === false
          ? undefined
          : inRoutes(value, `${here}.`, isKnown)
        : unknownInListener(value, isKnown, here);
    if (found) return found;
  }
  return undefined;
};
