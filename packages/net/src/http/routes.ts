/** A table of routes: `/v1/things/{name}`. Literal parts win over named ones. */
import type { HttpHandler } from "./server.ts";

export interface Route {
  readonly method: string;
  readonly parts: readonly string[];
  readonly handler: HttpHandler;
}
export type Routes = readonly Route[];

export const route = (method: string, path: string, handler: HttpHandler): Route => ({
  method,
  parts: path.split("/").slice(1),
  handler,
});

export type FoundRoute =
  | { readonly kind: "found"; readonly handler: HttpHandler; readonly params: ReadonlyMap<string, string> }
  | { readonly kind: "absent" }
  | { readonly kind: "method"; readonly allowed: readonly string[] };

/** HEAD is served by GET. */
export const findRoute = (routes: Routes, method: string, path: string): FoundRoute => {
  const parts = path.split("/").slice(1);
  const wanted = method === "HEAD" ? "GET" : method;
  const allowed = new Set<string>();
  let best: { readonly route: Route; readonly params: Map<string, string> } | undefined;
  for (const route of routes) {
    const params = matchParts(route.parts, parts);
    if (!params) continue;
    allowed.add(route.method);
    if (route.method === wanted && (!best || params.size < best.params.size)) best = { route, params };
  }
  if (best) return { kind: "found", handler: best.route.handler, params: best.params };
  return allowed.size > 0 ? { kind: "method", allowed: [...allowed] } : { kind: "absent" };
};

const matchParts = (pattern: readonly string[], parts: readonly string[]): Map<string, string> | undefined => {
  if (pattern.length !== parts.length) return undefined;
  for (let i = 0; i < pattern.length; i++) {
    const expected = pattern[i] as string;
    if (expected !== parts[i] && !isName(expected)) return undefined;
  }
  const params = new Map<string, string>();
  for (let i = 0; i < pattern.length; i++) {
    const expected = pattern[i] as string;
    if (!isName(expected)) continue;
    const value = decodePart(parts[i] as string);
    if (value === undefined || value === "") return undefined;
    params.set(expected.slice(1, -1), value);
  }
  return params;
};

const isName = (part: string): boolean => part.startsWith("{");

const decodePart = (part: string): string | undefined => {
  if (!part.includes("%")) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
};
