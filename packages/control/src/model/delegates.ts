/** A VirtualService's rule and one of its delegate's put together, as Istio does. */
import type { StringMatch } from "@weft/config/kinds/common";
import type { HttpMatchRequest, HttpRoute } from "@weft/config/kinds/virtual-service";

/**
 * What the delegate says holds, what it leaves open the root says. `undefined` when a match of the delegate is not a
 * subset of one of the root's: then the whole rule is not the delegate's to give.
 */
export const mergeDelegate = (root: HttpRoute, inner: HttpRoute): HttpRoute | undefined => {
  const match = mergeMatches(root.match ?? [], inner.match ?? []);
  if (!match) return undefined;
  const { delegate: _, match: __, name: ___, ...rest } = root;
  const name = joinNames(root.name, inner.name);
  const { match: ____, name: _____, ...own } = inner;
  return { ...rest, ...own, ...(name ? { name } : {}), ...(match.length > 0 ? { match } : {}) };
};

const joinNames = (root: string | undefined, inner: string | undefined): string =>
  [root, inner].filter((part) => part).join("-");

const mergeMatches = (
  root: readonly HttpMatchRequest[],
  inner: readonly HttpMatchRequest[],
): readonly HttpMatchRequest[] | undefined => {
  if (root.length === 0) return inner;
  if (inner.length === 0) return root;
  const merged: HttpMatchRequest[] = [];
  for (const one of inner) {
    const within = root.filter((wider) => !conflicts(wider, one));
    if (within.length === 0) return undefined;
    merged.push(...within.map((wider) => mergeMatch(wider, one)));
  }
  return merged;
};

type Table<T> = Readonly<Record<string, T>> | undefined;

const joinTables = <T>(root: Table<T>, inner: Table<T>): Readonly<Record<string, T>> | undefined =>
  root || inner ? { ...root, ...inner } : undefined;

const mergeMatch = (root: HttpMatchRequest, inner: HttpMatchRequest): HttpMatchRequest => {
  const name = joinNames(root.name, inner.name);
  const tables = {
    headers: joinTables(root.headers, inner.headers),
    withoutHeaders: joinTables(root.withoutHeaders, inner.withoutHeaders),
    queryParams: joinTables(root.queryParams, inner.queryParams),
    sourceLabels: joinTables(root.sourceLabels, inner.sourceLabels),
  };
  return {
    ...root,
    ...inner,
    ...(inner.gateways?.length ? {} : root.gateways ? { gateways: root.gateways } : {}),
    ...Object.fromEntries(Object.entries(tables).filter(([, table]) => table)),
    ...(name ? { name } : {}),
  };
};

/** A name that users give may be one that every object has. */
const ownOf = <T>(table: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  table !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;

const conflicts = (root: HttpMatchRequest, inner: HttpMatchRequest): boolean =>
  (["uri", "scheme", "method", "authority"] as const).some((field) => textsConflict(root[field], inner[field])) ||
  (["headers", "withoutHeaders", "queryParams"] as const).some((field) =>
    Object.entries(inner[field] ?? {}).some(([name, value]) => textsConflict(ownOf(root[field], name), value)),
  ) ||
  (root.ignoreUriCase ?? false) !== (inner.ignoreUriCase ?? false) ||
  (root.port !== undefined && inner.port !== undefined && root.port !== inner.port) ||
  (root.sourceNamespace !== undefined && inner.sourceNamespace !== root.sourceNamespace) ||
  Object.entries(inner.sourceLabels ?? {}).some(
    ([name, value]) => (ownOf(root.sourceLabels, name) ?? value) !== value,
  ) ||
  (root.gateways?.length !== undefined &&
    root.gateways.length > 0 &&
    (inner.gateways ?? []).some((name) => !root.gateways?.includes(name)));

/** Only what is provably narrower is a subset: the same text, or one that goes on where the root's prefix ends. */
const textsConflict = (root: StringMatch | undefined, inner: StringMatch | undefined): boolean => {
  if (!root || !inner) return false;
  if (root.regex || inner.regex) return true;
  if (root.exact) return inner.exact !== root.exact;
  return root.prefix ? !(inner.prefix ?? inner.exact ?? "").startsWith(root.prefix) : true;
};
