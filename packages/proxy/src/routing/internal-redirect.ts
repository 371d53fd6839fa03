/** Redirects that an upstream answers with and that the proxy follows itself, in the client's place. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { isAuthority } from "@weft/protocols/http1/authority";
import type { InternalRedirectPolicyJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, refuseOthers, unsigned } from "../compile/fields.ts";

export interface InternalRedirect {
  readonly most: number;
  /** What the answer asks for; `undefined` where it is the client's to see. */
  readonly targetOf: (response: ResponseHead, secure: boolean) => RedirectTarget | undefined;
  /** Changes the request into one for that target. */
  readonly apply: (request: RequestHead, response: ResponseHead, target: RedirectTarget) => void;
}

/** Such as a request could have named itself. */
export interface RedirectTarget {
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
}

/** A policy may not follow more: two upstreams could send a request to and fro for ever. */
export const redirectsMax = 32;

const followable: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** `http://host:port/path?query`, without its fragment. */
const parseTarget = (location: string): RedirectTarget | undefined => {
  const match = /^(https?):\/\/([^/?#]+)([!-"$-~]*)(?:#|$)/i.exec(location);
  if (!match) return undefined;
  const [, scheme = "", authority = "", path = ""] = match;
  if (!isAuthority(authority)) return undefined;
  return { scheme: scheme.toLowerCase(), authority, path: path.startsWith("/") ? path : `/${path}` };
};

/** Compiles the policy of a route; absent where redirects go to the client. */
export const compileInternalRedirect = (
  json: InternalRedirectPolicyJson | undefined,
  at: string,
): InternalRedirect | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "InternalRedirectPolicy", at, [
    "maxInternalRedirects",
    "redirectResponseCodes",
    "allowCrossSchemeRedirect",
    "responseHeadersToCopy",
  ]);
  const copied = (json.responseHeadersToCopy ?? []).map((name, index) => {
    if (name.startsWith(":") || name.toLowerCase() === "host")
      throw new ConfigError(`${at}.responseHeadersToCopy[${index}]`, `"${name}" cannot be copied`);
    return name.toLowerCase();
  });
  const most = unsigned(json.maxInternalRedirects, member(at, "maxInternalRedirects")) ?? 1;
  if (most > redirectsMax) throw new ConfigError(member(at, "maxInternalRedirects"), `is more than ${redirectsMax}`);
  const codes = new Set((json.redirectResponseCodes ?? [302]).filter((code) => followable.has(code)));
  const crossScheme = json.allowCrossSchemeRedirect === true;
  return {
    most,
    targetOf: ({ status, headers }, secure) => {
      if (!codes.has(status)) return undefined;
      const target = parseTarget(headers.get("location") ?? "");
      return crossScheme || (target?.scheme === "https") === secure ? target : undefined;
    },
    apply: (request, { status, headers }, target) => {
      const scheme = request.scheme === "https" ? "https" : "http";
      request.headers.set("x-envoy-original-url", `${scheme}://${request.authority}${request.path}`);
      request.authority = target.authority;
      request.path = target.path;
      request.scheme = target.scheme;
      if (status === 303 && request.method !== "GET" && request.method !== "HEAD") {
        request.method = "GET";
        request.headers.remove("content-length");
        request.headers.remove("transfer-encoding");
      }
      for (const name of copied) {
        const value = headers.getJoined(name);
        if (value === undefined) request.headers.remove(name);
        else request.headers.set(name, value);
      }
    },
  };
};
