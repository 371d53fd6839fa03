/** Who asks: a certificate's name, an address, a header. */
import { ConfigError } from "@weft/core/config-error";
import type { Principal_AuthenticatedJson, PrincipalJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import { member, refuseOthers } from "../../compile/fields.ts";
import { compileCidr } from "../../matching/cidr.ts";
import { compileHeaderMatcher } from "../../matching/header-matcher.ts";
import { compileStringMatcher } from "../../matching/string-matcher.ts";
import { allOf, anyOf, compileMetadataTest, compileUrlPath } from "./common.ts";
import type { RbacTest } from "./rules.ts";

const kinds = [
  "any",
  "andIds",
  "orIds",
  "notId",
  "authenticated",
  "sourceIp",
  "directRemoteIp",
  "remoteIp",
  "header",
  "urlPath",
  "metadata",
  "filterState",
] as const;

const compileList = (ids: readonly PrincipalJson[] | undefined, at: string): readonly RbacTest[] => {
  if (!ids || ids.length === 0) throw new ConfigError(member(at, "ids"), "is required");
  return ids.map((id, index) => compilePrincipal(id, `${at}.ids[${index}]`));
};

/** URI names first, then DNS names, then the subject; without a matcher any TLS connection will do. */
const compileAuthenticated = (json: Principal_AuthenticatedJson, at: string): RbacTest => {
  refuseOthers(json, "Authenticated", at, ["principalName"]);
  if (!json.principalName) return ({ downstream }) => downstream.tls !== undefined;
  const test = compileStringMatcher(json.principalName, member(at, "principalName"));
  return ({ downstream: { tls } }) => {
    if (!tls) return false;
    for (const uri of tls.peerUris) if (test(uri)) return true;
    for (const name of tls.peerDnsNames) if (test(name)) return true;
    return test(tls.peerSubject);
  };
};

/** Istio keeps the peer's and its own identity in filter state under these keys. */
const compileFilterState = (json: NonNullable<PrincipalJson["filterState"]>, at: string): RbacTest => {
  refuseOthers(json, "FilterStateMatcher", at, ["key", "stringMatch"]);
  const { key, stringMatch } = json;
  if (key !== "io.istio.peer_principal" && key !== "io.istio.local_principal") {
    throw new ConfigError(member(at, "key"), `"${key}" is not supported`);
  }
  if (!stringMatch) throw new ConfigError(at, "needs stringMatch");
  const test = compileStringMatcher(stringMatch, member(at, "stringMatch"));
  const peer = key === "io.istio.peer_principal";
  return ({ downstream: { tls } }) => {
    const uri = (peer ? tls?.peerUris : tls?.localUris)?.[0];
    return uri !== undefined && test(uri);
  };
};

export const compilePrincipal = (json: PrincipalJson, at: string): RbacTest => {
  refuseOthers(json, "Principal", at, [...kinds]);
  const kind = kinds.find((name) => json[name] !== undefined);
  if (!kind) throw new ConfigError(at, `needs one of ${kinds.join(", ")}`);
  const here = member(at, kind);
  if (json.andIds) return allOf(compileList(json.andIds.ids, here));
  if (json.orIds) return anyOf(compileList(json.orIds.ids, here));
  if (json.notId) {
    const inner = compilePrincipal(json.notId, here);
    return (subject) => !inner(subject);
  }
  if (json.authenticated) return compileAuthenticated(json.authenticated, here);
  if (json.sourceIp) {
    const test = compileCidr(json.sourceIp, here);
    return ({ downstream }) => test(downstream.remoteHost);
  }
  if (json.directRemoteIp) {
    const test = compileCidr(json.directRemoteIp, here);
    return ({ downstream }) => test(downstream.proxied?.directHost ?? downstream.remoteHost);
  }
  if (json.remoteIp) {
    const test = compileCidr(json.remoteIp, here);
    return ({ downstream, remoteHost }) => test(remoteHost ?? downstream.remoteHost);
  }
  if (json.header) {
    const test = compileHeaderMatcher(json.header, here);
    return ({ request }) => test(request);
  }
  if (json.urlPath) return compileUrlPath(json.urlPath, here);
  if (json.metadata) return compileMetadataTest(json.metadata, here);
  if (json.filterState) return compileFilterState(json.filterState, here);
  if (json.any !== true) throw new ConfigError(here, "must be true");
  return () => true;
};
