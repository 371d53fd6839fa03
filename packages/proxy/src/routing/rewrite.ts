/** Changes of path and authority on the way upstream. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import type { RouteActionJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { UriTemplateRewriteConfigJson } from "@weft/xds/gen/envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite";
import { openAny } from "../compile/any.ts";
import { atMostOne, member, required } from "../compile/fields.ts";
import { pathEnd, pathOnly } from "../matching/query-matcher.ts";
import { compileSubstitution } from "../matching/regex.ts";
import { compileTemplateRewrite, type UriTemplate } from "../matching/uri-template.ts";
import { hasControlHeaders, removeControlHeaders } from "./control-headers.ts";
import type { PathMatcher } from "./path-matcher.ts";
import type { ForwardAction } from "./route.ts";

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

const templateRewrite = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";

/** A rewrite by the variables of the route's path template. */
const compilePolicy = (
  json: RouteActionJson,
  template: UriTemplate | undefined,
  at: string,
): RewritePath | undefined => {
  const policy = json.pathRewritePolicy;
  if (!policy) return undefined;
  atMostOne(json, ["pathRewritePolicy", "prefixRewrite", "regexRewrite"], at);
  const policyAt = member(at, "pathRewritePolicy.typedConfig");
  const { typeName, raw } = openAny(policy.typedConfig, policyAt);
  if (typeName !== templateRewrite) throw new ConfigError(policyAt, `${typeName} is not supported`);
  if (!template) throw new ConfigError(policyAt, "needs a path template in the route's match");
  const textAt = member(policyAt, "pathTemplateRewrite");
  const text = required((raw as UriTemplateRewriteConfigJson).pathTemplateRewrite, textAt);
  const rewrite = compileTemplateRewrite(text, template, textAt);
  return (path) => {
    const end = pathEnd(path);
    const rewritten = rewrite(path.slice(0, end));
    return rewritten === undefined ? path : rewritten + path.slice(end);
  };
};

type NewHost = (request: RequestHead) => string | undefined;

const compileHostRewrite = (json: RouteActionJson, at: string): NewHost | undefined => {
  const { hostRewriteLiteral, hostRewriteHeader, hostRewritePathRegex } = json;
  atMostOne(json, ["hostRewriteLiteral", "hostRewriteHeader", "hostRewritePathRegex", "autoHostRewrite"], at);
  if (hostRewriteLiteral) return () => hostRewriteLiteral;
  if (hostRewriteHeader) {
    const name = hostRewriteHeader.toLowerCase();
    return (request) => request.headers.get(name) || undefined;
  }
  if (hostRewritePathRegex === undefined) return undefined;
  const substitute = compileSubstitution(hostRewritePathRegex, member(at, "hostRewritePathRegex"));
  return (request) => substitute(pathOnly(request.path)) || undefined;
};

/** Adds to the one `x-forwarded-host` field. */
export const appendForwardedHost = (headers: HeaderList, host: string): void => {
  const before = headers.getJoined("x-forwarded-host");
  headers.set("x-forwarded-host", before === undefined ? host : `${before},${host}`);
};

/**
 * Everything a forwarding route changes in a head besides header operations. Runs once, not per attempt. True where the
 * client asks for an empty answer to what takes too long.
 */
export const compileRewrite = (
  json: RouteActionJson,
  path: Pick<PathMatcher, "matchedLength" | "template">,
  at: string,
): ForwardAction["rewrite"] => {
  const rewritePath = compilePolicy(json, path.template, at) ?? compilePathRewrite(json, path.matchedLength, at);
  const newHost = compileHostRewrite(json, at);
  const keepHost = json.appendXForwardedHost === true;
  return (request) => {
    const { headers } = request;
    const emptyOnTimeout = hasControlHeaders(headers) && removeControlHeaders(headers);
    const host = newHost?.(request);
    if (host !== undefined) {
      if (keepHost) appendForwardedHost(headers, request.authority);
      headers.set("x-envoy-original-host", request.authority);
      request.authority = host;
    }
    if (rewritePath) {
      headers.set("x-envoy-original-path", request.path);
      request.path = rewritePath(request.path);
    }
    return emptyOnTimeout;
  };
};
