/** What is asked for: a path, a header, a destination. */
import { ConfigError } from "@weft/core/config-error";
import type { PermissionJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import { member, refuseOthers, unsigned } from "../../compile/fields.ts";
import { compileCidr } from "../../matching/cidr.ts";
import { compileHeaderMatcher } from "../../matching/header-matcher.ts";
import { compileStringMatcher } from "../../matching/string-matcher.ts";
import { allOf, anyOf, compileMetadataTest, compileUrlPath } from "./common.ts";
import type { RbacTest } from "./rules.ts";

const kinds = [
  "any",
  "andRules",
  "orRules",
  "notRule",
  "header",
  "urlPath",
  "destinationIp",
  "destinationPort",
  "destinationPortRange",
  "metadata",
  "requestedServerName",
] as const;

const compileList = (rules: readonly PermissionJson[] | undefined, at: string): readonly RbacTest[] => {
  if (!rules || rules.length === 0) throw new ConfigError(member(at, "rules"), "is required");
  return rules.map((rule, index) => compilePermission(rule, `${at}.rules[${index}]`));
};

export const compilePermission = (json: PermissionJson, at: string): RbacTest => {
  refuseOthers(json, "Permission", at, [...kinds]);
  const kind = kinds.find((name) => json[name] !== undefined);
  if (!kind) throw new ConfigError(at, `needs one of ${kinds.join(", ")}`);
  const here = member(at, kind);
  if (json.andRules) return allOf(compileList(json.andRules.rules, here));
  if (json.orRules) return anyOf(compileList(json.orRules.rules, here));
  if (json.notRule) {
    const inner = compilePermission(json.notRule, here);
    return (subject) => !inner(subject);
  }
  if (json.header) {
    const test = compileHeaderMatcher(json.header, here);
    return ({ request }) => test(request);
  }
  if (json.urlPath) return compileUrlPath(json.urlPath, here);
  if (json.destinationIp) {
    const test = compileCidr(json.destinationIp, here);
    return ({ downstream }) => test(downstream.localHost);
  }
  if (json.destinationPort !== undefined) {
    const port = unsigned(json.destinationPort, here);
    return ({ downstream }) => downstream.localPort === port;
  }
  if (json.destinationPortRange) {
    const { start = 0, end = 0 } = json.destinationPortRange;
    if (start >= end) throw new ConfigError(here, "end must be greater than start");
    return ({ downstream }) => downstream.localPort >= start && downstream.localPort < end;
  }
  if (json.metadata) return compileMetadataTest(json.metadata, here);
  if (json.requestedServerName) {
    const test = compileStringMatcher(json.requestedServerName, here);
    return ({ downstream }) => test(downstream.tls?.sni ?? downstream.requestedServerName ?? "");
  }
  if (json.any !== true) throw new ConfigError(here, "must be true");
  return () => true;
};
