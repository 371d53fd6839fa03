/** AuthorizationPolicy's strings as Envoy's matchers: exact, `abc*`, `*abc`, `*`, and paths with `{*}`. */
import type { CidrRangeJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { PrincipalJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import type { HeaderMatcherJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { PathMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/path";
import type { StringMatcherJson } from "@weft/xds/gen/envoy/type/matcher/v3/string";

const quote = (text: string): string => text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");

export const textMatcher = (value: string): StringMatcherJson => {
  if (value === "*") return { safeRegex: { regex: ".+" } };
  if (value.startsWith("*")) return { suffix: value.slice(1) };
  return value.endsWith("*") ? { prefix: value.slice(0, -1) } : { exact: value };
};

export const headerMatches = (name: string, value: string): HeaderMatcherJson =>
  value === "*" ? { name, presentMatch: true } : { name, stringMatch: textMatcher(value) };

/** Hosts are compared without regard to case. */
export const hostMatches = (value: string): HeaderMatcherJson =>
  value === "*"
    ? { name: ":authority", presentMatch: true }
    : { name: ":authority", stringMatch: { ...textMatcher(value), ignoreCase: true } };

/** `{*}` is one segment, a last `{**}` the rest; without either, the strings of before. */
export const pathMatches = (value: string): PathMatcherJson => {
  if (!/\{\*\*?\}/.test(value)) return { path: textMatcher(value) };
  const regex = value
    .split(/(\{\*\*?\})/)
    .map((part) => (part === "{*}" ? "[^/]+" : part === "{**}" ? ".*" : quote(part)))
    .join("");
  return { path: { safeRegex: { regex } } };
};

export const authenticated = (principalName: StringMatcherJson): PrincipalJson => ({
  authenticated: { principalName },
});

/** Principals are written without `spiffe://`. */
export const spiffeMatcher = (value: string): StringMatcherJson => {
  if (value === "*") return { safeRegex: { regex: ".+" } };
  if (value.startsWith("*")) return { suffix: value.slice(1) };
  const full = `spiffe://${value}`;
  return full.endsWith("*") ? { prefix: full.slice(0, -1) } : { exact: full };
};

/** A pattern within one segment of the identity. */
const segment = (value: string): string => value.split("*").map(quote).join("[^/]*");

export const namespacePrincipal = (value: string): PrincipalJson =>
  authenticated({ safeRegex: { regex: `spiffe://[^/]+/ns/${value === "*" ? "[^/]+" : segment(value)}/.*` } });

/** `ACCOUNT` of the policy's namespace, or `NAMESPACE/ACCOUNT`. */
export const accountPrincipal = (value: string, namespace: string): PrincipalJson => {
  const [first, second] = value.split("/");
  const path = second === undefined ? `/ns/${namespace}/sa/${first}` : `/ns/${first}/sa/${second}`;
  return authenticated({ suffix: path });
};

export const trustDomainPrincipal = (value: string): PrincipalJson =>
  authenticated({ safeRegex: { regex: `spiffe://${value === "*" ? "[^/]+" : segment(value)}/.*` } });

export const addressRange = (value: string): CidrRangeJson => {
  const [addressPrefix = "", bits] = value.split("/");
  return { addressPrefix, prefixLen: bits === undefined ? (addressPrefix.includes(":") ? 128 : 32) : Number(bits) };
};
