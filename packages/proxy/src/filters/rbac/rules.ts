/** Role-based access control: policies compiled once, for HTTP requests and for bare connections alike. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { PolicyJson, RBACJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import { member, oneOf, refuseOthers } from "../../compile/fields.ts";
import type { DownstreamInfo } from "../../http/exchange.ts";
import { compilePermission } from "./permission.ts";
import { compilePrincipal } from "./principal.ts";

/** What a policy may look at. On a bare connection the request is `noRequest`. */
export interface RbacSubject {
  readonly request: RequestHead;
  readonly downstream: DownstreamInfo;
  /** The client's address as the request tells it; the connection's when absent. */
  readonly remoteHost?: string | undefined;
}

export type RbacTest = (subject: RbacSubject) => boolean;

export interface Verdict {
  readonly allowed: boolean;
  /** The policy that decided; `none` when no policy of an ALLOW list took it. */
  readonly policy: string;
}

export interface RbacRules {
  /** Results are shared objects: nothing is allocated per request. */
  readonly decide: (subject: RbacSubject) => Verdict;
}

interface Policy {
  readonly test: RbacTest;
  readonly matched: Verdict;
}

const allowedByNone: Verdict = { allowed: true, policy: "none" };
const deniedByNone: Verdict = { allowed: false, policy: "none" };

const compilePolicy = (json: PolicyJson, at: string): RbacTest => {
  refuseOthers(json, "Policy", at, ["permissions", "principals"]);
  const permissions = (json.permissions ?? []).map((rule, i) => compilePermission(rule, `${at}.permissions[${i}]`));
  const principals = (json.principals ?? []).map((rule, i) => compilePrincipal(rule, `${at}.principals[${i}]`));
  if (permissions.length === 0) throw new ConfigError(member(at, "permissions"), "is required");
  if (principals.length === 0) throw new ConfigError(member(at, "principals"), "is required");
  return (subject) => {
    for (const permission of permissions) {
      if (!permission(subject)) continue;
      for (const principal of principals) if (principal(subject)) return true;
      return false;
    }
    return false;
  };
};

/** Compiles config.rbac.v3.RBAC. LOG never denies. Policies are tried in the order of their names, as Envoy does. */
export const compileRbacRules = (json: RBACJson, at: string): RbacRules => {
  refuseOthers(json, "RBACRules", at, ["action", "policies"]);
  const action = oneOf(json.action, ["ALLOW", "DENY", "LOG"], "ALLOW", member(at, "action"));
  const allowed = action !== "DENY";
  const policies: Policy[] = Object.entries(json.policies ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, policy]) => ({
      test: compilePolicy(policy, `${member(at, "policies")}["${name}"]`),
      matched: { allowed, policy: name },
    }));
  const otherwise = action === "ALLOW" ? deniedByNone : allowedByNone;
  return {
    decide: (subject) => {
      for (const { test, matched } of policies) if (test(subject)) return matched;
      return otherwise;
    },
  };
};
