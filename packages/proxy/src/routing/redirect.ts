import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { RedirectActionJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { atMostOne, member, refuseOthers, unsigned } from "../compile/fields.ts";
import { pathEnd, pathOnly } from "../matching/query-matcher.ts";
import { compilePathRewrite, type MatchedLength } from "./rewrite.ts";
import type { RedirectAction } from "./route.ts";

const statuses: ReadonlyMap<string, number> = new Map([
  ["MOVED_PERMANENTLY", 301],
  ["FOUND", 302],
  ["SEE_OTHER", 303],
  ["TEMPORARY_REDIRECT", 307],
  ["PERMANENT_REDIRECT", 308],
]);

const schemeOf = (request: RequestHead): string => request.scheme || "http";

/** The request's host; its port goes when another is set, or when it was the default of the scheme that is left. */
const requestHost = (request: RequestHead, scheme: string, portGiven: boolean): string => {
  const match = /^(.*):(\d{1,5})$/.exec(request.authority);
  if (!match) return request.authority;
  const [, host = "", port] = match;
  const old = schemeOf(request);
  const defaultLeft = old !== scheme && ((old === "https" && port === "443") || (old === "http" && port === "80"));
  return portGiven || defaultLeft ? host : request.authority;
};

const compilePath = (
  json: RedirectActionJson,
  matchedLength: MatchedLength,
  at: string,
): ((path: string) => string) => {
  const { pathRedirect } = json;
  const strip = json.stripQuery === true;
  if (pathRedirect) {
    if (pathRedirect.includes("?")) return () => pathRedirect;
    return (path) => (strip ? pathRedirect : pathRedirect + path.slice(pathEnd(path)));
  }
  const rewrite = compilePathRewrite(json, matchedLength, at);
  return (path) => {
    const whole = rewrite ? rewrite(path) : path;
    return strip ? pathOnly(whole) : whole;
  };
};

/** Compiles a redirect; the location is always absolute. */
export const compileRedirect = (json: RedirectActionJson, matchedLength: MatchedLength, at: string): RedirectAction => {
  refuseOthers(json, "RedirectAction", at, [
    "httpsRedirect",
    "schemeRedirect",
    "hostRedirect",
    "portRedirect",
    "pathRedirect",
    "prefixRewrite",
    "regexRewrite",
    "responseCode",
    "stripQuery",
  ]);
  atMostOne(json, ["pathRedirect", "prefixRewrite", "regexRewrite"], at);
  atMostOne(json, ["httpsRedirect", "schemeRedirect"], at);
  const status = statuses.get(json.responseCode ?? "MOVED_PERMANENTLY");
  if (status === undefined) throw new ConfigError(member(at, "responseCode"), `${json.responseCode} is not supported`);
  const fixedScheme = json.httpsRedirect ? "https" : json.schemeRedirect?.toLowerCase();
  const portNumber = unsigned(json.portRedirect, member(at, "portRedirect"));
  const port = portNumber ? `:${portNumber}` : "";
  const host = json.hostRedirect;
  const path = compilePath(json, matchedLength, at);
  return {
    kind: "redirect",
    status,
    location: (request) => {
      const scheme = fixedScheme || schemeOf(request);
      return `${scheme}://${host || requestHost(request, scheme, port !== "")}${port}${path(request.path)}`;
    },
  };
};

/** Where a virtual host that requires TLS sends a plaintext request. */
export const httpsRedirect: RedirectAction = {
  kind: "redirect",
  status: 301,
  location: (request) => `https://${request.authority}${request.path}`,
};
