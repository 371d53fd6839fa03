/** Changes of path and authority on the way upstream. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { RouteActionJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { atMostOne, member } from "../compile/fields.ts";
import { pathEnd, pathOnly } from "../matching/query-matcher.ts";
import { compileSubstitution } from "../matching/regex.ts";
import { hasControlHeaders, removeControlHeaders } from "./control-headers.ts";

/** Gives the new path with its query. */
export type RewritePath = (path: string) => string;

/** How much of a path the route's matcher took: a prefix's length, or the whole path before the query. */
export type MatchedLength = (path: string) => number;

/** Replaces what the matcher took; the rest and the query stay. */
export const prefixRewriter =
  (replacement: string, matchedLength: MatchedLength): RewritePath =>
  (path) =>
    replacement + path.slice(matchedLength(path));

/** Applies a substitution to the path without its query. */
export const regexRewriter =
  (substitute: (value: string) => string): RewritePath =>
  (path) => {
    const end = pathEnd(path);
    return substitute(path.slice(0, end)) + path.slice(end);
  };

/** The path rewrite of a route or redirect action, if it has one. */
export const compilePathRewrite = (
  json: Pick<RouteActionJson, "prefixRewrite" | "regexRewrite">,
  matchedLength: MatchedLength,
  at: string,
): RewritePath | undefined => {
  const prefix = json.prefixRewrite === "" ? undefined : json.prefixRewrite;
  if (prefix !== undefined && json.regexRewrite !== undefined) {
    throw new ConfigError(member(at, "regexRewrite"), "cannot be given together with prefixRewrite");
  }
  if (prefix !== undefined) return prefixRewriter(prefix, matchedLength);
  if (json.regexRewrite === undefined) return undefined;
  return regexRewriter(compileSubstitution(json.regexRewrite, member(at, "regexRewrite")));
};

type NewHost = (request: RequestHead) => string | undefined;

const compileHostRewrite = (json: RouteActionJson, at: string): NewHost | undefined => {
  const { hostRewriteLiteral, hostRewriteHeader, hostRewritePathRegex } = json;
  atMostOne(json, ["hostRewriteLiteral", "hostRewriteHeader", "hostRewritePathRegex"], at);
  if (hostRewriteLiteral) return () => hostRewriteLiteral;
  if (hostRewriteHeader) {
    const name = hostRewriteHeader.toLowerCase();
    return (request) => request.headers.get(name) || undefined;
  }
  if (hostRewritePathRegex === undefined) return undefined;
  const substitute = compileSubstitution(hostRewritePathRegex, member(at, "hostRewritePathRegex"));
  return (request) => substitute(pathOnly(request.path)) || undefined;
};

/** Everything a forwarding route changes in a head besides header operations. Runs once, not per attempt. */
export const compileRewrite = (
  json: RouteActionJson,
  matchedLength: MatchedLength,
  at: string,
): ((request: RequestHead) => void) => {
  const rewritePath = compilePathRewrite(json, matchedLength, at);
  const newHost = compileHostRewrite(json, at);
  const keepHost = json.appendXForwardedHost === true;
  return (request) => {
    const { headers } = request;
    if (hasControlHeaders(headers)) removeControlHeaders(headers);
    const host = newHost?.(request);
    if (host !== undefined) {
      if (keepHost) headers.add("x-forwarded-host", request.authority);
      headers.set("x-envoy-original-host", request.authority);
      request.authority = host;
    }
    if (rewritePath) {
      headers.set("x-envoy-original-path", request.path);
      request.path = rewritePath(request.path);
    }
  };
};
