/**
 * The routes of one virtual host, first match wins. A long list is split by what its paths are known to begin with,
 * so that a request tries only routes that can match; order among them stays.
 */
import type { RequestHead } from "@weft/protocols/http/head";
import type { DownstreamInfo } from "../http/exchange.ts";
import { pathOnly } from "../matching/query-matcher.ts";
import { firstSegment, isConnect } from "./path-matcher.ts";
import type { Route } from "./route.ts";
import type { CompiledRoute } from "./route-builder.ts";

export type FindRoute = (request: RequestHead, downstream: DownstreamInfo) => Route | undefined;

/** Shorter lists are tried one by one: cheaper than three look-ups. */
const indexedFrom = 8;

const noRoutes: readonly number[] = [];

const push = (table: Map<string, number[]>, key: string, index: number): void => {
  const list = table.get(key);
  if (list) list.push(index);
  else table.set(key, [index]);
};

const linear =
  (routes: readonly CompiledRoute[]): FindRoute =>
  (request, downstream) => {
    const path = pathOnly(request.path);
    for (const { path: matcher, rest, route } of routes) {
      if (matcher.test(path, request) && (!rest || rest(request, downstream))) return route;
    }
    return undefined;
  };

export const indexRoutes = (routes: readonly CompiledRoute[]): FindRoute => {
  const tunnels = linear(routes.filter(({ path }) => path.key.kind === "tunnel"));
  const find = routes.length < indexedFrom ? linear(routes) : indexed(routes);
  return (request, downstream) => (isConnect(request) ? tunnels(request, downstream) : find(request, downstream));
};

const indexed = (routes: readonly CompiledRoute[]): FindRoute => {
  const exact = new Map<string, number[]>();
  const bySegment = new Map<string, number[]>();
  const others: number[] = [];
  for (const [index, { path }] of routes.entries()) {
    if (path.key.kind === "exact") push(exact, path.key.path, index);
    else if (path.key.kind === "segment") push(bySegment, path.key.segment, index);
    else others.push(index);
  }
  return (request, downstream) => {
    const path = pathOnly(request.path);
    const one = exact.get(path) ?? noRoutes;
    const two = bySegment.get(firstSegment(path)) ?? noRoutes;
    let i = 0;
    let j = 0;
    let k = 0;
    // The three lists are merged as they are walked: the lowest index next.
    for (;;) {
      const a = i < one.length ? (one[i] as number) : Number.POSITIVE_INFINITY;
      const b = j < two.length ? (two[j] as number) : Number.POSITIVE_INFINITY;
      const c = k < others.length ? (others[k] as number) : Number.POSITIVE_INFINITY;
      const index = Math.min(a, b, c);
      const candidate = routes[index];
      if (!candidate) return undefined;
      if (index === a) i++;
      else if (index === b) j++;
      else k++;
      const { path: matcher, rest, route } = candidate;
      if (matcher.test(path, request) && (!rest || rest(request, downstream))) return route;
    }
  };
};
