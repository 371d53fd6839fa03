/**
 * The routes of one virtual host, first match wins. A long list is looked up by what its paths are known to begin with,
 * so that a request tries only routes that can match; order among them stays.
 */
import type { RequestHead } from "@weft/protocols/http/head";
import type { DownstreamInfo } from "../http/exchange.ts";
import { pathOnly } from "../matching/query-matcher.ts";
import { isConnect } from "./path-matcher.ts";
import { buildPathTrie } from "./path-trie.ts";
import type { Route } from "./route.ts";
import type { CompiledRoute } from "./route-builder.ts";

export type FindRoute = (request: RequestHead, downstream: DownstreamInfo) => Route | undefined;

/** Shorter lists are tried one by one: cheaper than the look-ups. */
const indexedFrom = 8;

/**
 * The routes of a virtual host as requests meet them. Most hosts of a large mesh have one route, and none of them is
 * asked often enough to stay in the processor's caches: so what decides lies in this object, not behind it.
 */
export class HostRoutes {
  private readonly find: FindRoute;
  /** The only route, where how the path begins is all that decides. */
  private readonly only: Route | undefined;
  private readonly begins: string;

  constructor(find: FindRoute, only?: { readonly route: Route; readonly begins: string }) {
    this.find = find;
    this.only = only?.route;
    this.begins = only?.begins ?? "";
  }

  match(request: RequestHead, downstream: DownstreamInfo): Route | undefined {
    const { only } = this;
    if (only === undefined || request.method === "CONNECT") return this.find(request, downstream);
    return request.path.startsWith(this.begins) ? only : undefined;
  }
}

const take = ({ route, split }: CompiledRoute, request: RequestHead): Route =>
  split === undefined ? route : split(request);

const linear =
  (routes: readonly CompiledRoute[]): FindRoute =>
  (request, downstream) => {
    const path = pathOnly(request.path);
    for (const candidate of routes) {
      const { path: matcher, rest } = candidate;
      if (matcher.test(path, request) && (!rest || rest(request, downstream))) return take(candidate, request);
    }
    return undefined;
  };

export const indexRoutes = (routes: readonly CompiledRoute[]): HostRoutes => {
  const tunnels = linear(routes.filter(({ path }) => path.key.kind === "tunnel"));
  const find = routes.length < indexedFrom ? linear(routes) : indexed(routes);
  const [first, ...others] = routes;
  const begins = first?.rest === undefined && first?.split === undefined ? first?.path.begins : undefined;
  return new HostRoutes(
    (request, downstream) => (isConnect(request) ? tunnels(request, downstream) : find(request, downstream)),
    first === undefined || begins === undefined || others.length > 0 ? undefined : { route: first.route, begins },
  );
};

/** Lists of ascending indices that are walked as one. Reused: a match is never within another. */
class Merge {
  readonly lists: (readonly number[])[] = [];
  private readonly positions: number[] = [];
  private count = 0;

  begin(count: number): void {
    this.count = count;
    for (let i = 0; i < count; i++) this.positions[i] = 0;
  }
  /** The lowest index not given yet, or -1. */
  next(): number {
    let lowest = -1;
    let from = -1;
    for (let i = 0; i < this.count; i++) {
      const index = this.lists[i]?.[this.positions[i] as number];
      if (index !== undefined && (lowest < 0 || index < lowest)) {
        lowest = index;
        from = i;
      }
    }
    if (from >= 0) (this.positions[from] as number)++;
    return lowest;
  }
}

const indexed = (routes: readonly CompiledRoute[]): FindRoute => {
  const exact = new Map<string, number[]>();
  const prefixes: [text: string, index: number][] = [];
  for (const [index, { path }] of routes.entries()) {
    if (path.key.kind === "prefix") prefixes.push([path.key.text, index]);
    else if (path.key.kind === "exact") {
      const list = exact.get(path.key.path);
      if (list) list.push(index);
      else exact.set(path.key.path, [index]);
    }
  }
  const trie = buildPathTrie(prefixes);
  const merge = new Merge();
  return (request, downstream) => {
    const path = pathOnly(request.path);
    let count = trie.collect(path, merge.lists);
    const alone = exact.get(path);
    if (alone !== undefined) merge.lists[count++] = alone;
    merge.begin(count);
    for (let index = merge.next(); index >= 0; index = merge.next()) {
      const candidate = routes[index] as CompiledRoute;
      const { path: matcher, rest } = candidate;
      if (matcher.test(path, request) && (!rest || rest(request, downstream))) return take(candidate, request);
    }
    return undefined;
  };
};
