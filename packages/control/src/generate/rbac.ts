/** AuthorizationPolicies as Envoy's RBAC filters: which rule of which policy allows or denies. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type {
  AuthorizationCondition,
  AuthorizationOperation,
  AuthorizationRule,
  AuthorizationSource,
} from "@weft/config/kinds/authorization-policy";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { PermissionJson, PolicyJson, PrincipalJson, RBACJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import type { HttpFilterJson } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { any } from "@weft/xds/resource";
import type { WorkloadAuthorization } from "../model/workload-policies.ts";
import {
  accountPrincipal,
  addressRange,
  authenticated,
  headerMatches,
  hostMatches,
  namespacePrincipal,
  pathMatches,
  spiffeMatcher,
  textMatcher,
  trustDomainPrincipal,
} from "./rbac-matchers.ts";
import { note } from "./resource-set.ts";

type Policy = ConfigOf<"AuthorizationPolicy">;

export interface RbacContext {
  readonly tcp: boolean;
  /** Whether traffic of this chain has that destination port, where that is known; else RBAC looks. */
  readonly isPort: ((port: number) => boolean) | undefined;
  readonly notes: Finding[];
}

/** What a condition comes to: matchers of which one must hold, or nothing because it cannot be asked of a connection. */
type Asked<T> = readonly T[] | "http only";

const anyPermission: PermissionJson = { any: true };
const anyPrincipal: PrincipalJson = { any: true };
const noPermission: PermissionJson = { notRule: { any: true } };
const noPrincipal: PrincipalJson = { notId: { any: true } };

const oneOfRules = (rules: readonly PermissionJson[]): PermissionJson =>
  rules.length === 1 && rules[0] ? rules[0] : { orRules: { rules: [...rules] } };
const oneOfIds = (ids: readonly PrincipalJson[]): PrincipalJson =>
  ids.length === 1 && ids[0] ? ids[0] : { orIds: { ids: [...ids] } };

/** The condition cannot be met here: the rule is dropped when it would allow, the condition when it would deny. */
const httpOnly = Symbol("http only");

interface Field<T> {
  readonly values: readonly string[] | undefined;
  readonly not: readonly string[] | undefined;
  readonly make: (value: string) => Asked<T>;
}

const conjunction = <T>(
  fields: readonly Field<T>[],
  tools: { readonly or: (list: readonly T[]) => T; readonly not: (one: T) => T; readonly dropField: boolean },
): readonly T[] | typeof httpOnly => {
  const all: T[] = [];
  for (const { values, not, make } of fields) {
    for (const [list, negated] of [
      [values, false],
      [not, true],
    ] as const) {
      if (!list?.length) continue;
      const asked = list.map(make);
      if (asked.includes("http only")) {
        if (tools.dropField) continue;
        return httpOnly;
      }
      const matchers = asked.flatMap((one) => (one === "http only" ? [] : one));
      all.push(negated ? tools.not(tools.or(matchers)) : tools.or(matchers));
    }
  }
  return all;
};

const destinationPort = (text: string, { isPort }: RbacContext): PermissionJson => {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) return noPermission;
  return isPort ? (isPort(port) ? anyPermission : noPermission) : { destinationPort: port };
};

const operationFields = (operation: AuthorizationOperation, context: RbacContext): Field<PermissionJson>[] => {
  const http =
    (make: (value: string) => PermissionJson) =>
    (value: string): Asked<PermissionJson> =>
      context.tcp ? "http only" : [make(value)];
  return [
    { values: operation.hosts, not: operation.notHosts, make: http((host) => ({ header: hostMatches(host) })) },
    { values: operation.ports, not: operation.notPorts, make: (port) => [destinationPort(port, context)] },
    {
      values: operation.methods,
      not: operation.notMethods,
      make: http((m) => ({ header: headerMatches(":method", m) })),
    },
    { values: operation.paths, not: operation.notPaths, make: http((path) => ({ urlPath: pathMatches(path) })) },
  ];
};

const sourceFields = (source: AuthorizationSource, namespace: string, context: RbacContext): Field<PrincipalJson>[] => [
  { values: source.principals, not: source.notPrincipals, make: (v) => [authenticated(spiffeMatcher(v))] },
  // Without a JWT filter no request has such a principal.
  {
    values: source.requestPrincipals,
    not: source.notRequestPrincipals,
    make: () => (context.tcp ? "http only" : [noPrincipal]),
  },
  { values: source.namespaces, not: source.notNamespaces, make: (v) => [namespacePrincipal(v)] },
  { values: source.serviceAccounts, not: source.notServiceAccounts, make: (v) => [accountPrincipal(v, namespace)] },
  { values: source.ipBlocks, not: source.notIpBlocks, make: (v) => [{ directRemoteIp: addressRange(v) }] },
  { values: source.remoteIpBlocks, not: source.notRemoteIpBlocks, make: (v) => [{ remoteIp: addressRange(v) }] },
  { values: source.trustDomains, not: source.notTrustDomains, make: (v) => [trustDomainPrincipal(v)] },
];

const headerKey = /^request\.headers\[([^\]]+)\]$/;

const principalCondition = (
  { key, values, notValues }: AuthorizationCondition,
  namespace: string,
  context: RbacContext,
): Field<PrincipalJson> | undefined => {
  const field = (make: (value: string) => PrincipalJson): Field<PrincipalJson> => ({
    values,
    not: notValues,
    make: (value) => [make(value)],
  });
  const header = headerKey.exec(key)?.[1];
  if (header !== undefined) {
    const make = (value: string): Asked<PrincipalJson> =>
      context.tcp ? "http only" : [{ header: headerMatches(header, value) }];
    return { values, not: notValues, make };
  }
  if (key === "source.ip") return field((value) => ({ directRemoteIp: addressRange(value) }));
  if (key === "remote.ip") return field((value) => ({ remoteIp: addressRange(value) }));
  if (key === "source.namespace") return field(namespacePrincipal);
  if (key === "source.principal") return field((value) => authenticated(spiffeMatcher(value)));
  if (key === "source.serviceAccount") return field((value) => accountPrincipal(value, namespace));
  if (key === "source.trustDomain") return field(trustDomainPrincipal);
  if (key.startsWith("request.auth.")) {
    return { values, not: notValues, make: () => (context.tcp ? "http only" : [noPrincipal]) };
  }
  return undefined;
};

const permissionCondition = (
  { key, values, notValues }: AuthorizationCondition,
  context: RbacContext,
): Field<PermissionJson> | undefined => {
  if (key === "destination.ip") {
    return { values, not: notValues, make: (value) => [{ destinationIp: addressRange(value) }] };
  }
  if (key === "destination.port") return { values, not: notValues, make: (value) => [destinationPort(value, context)] };
  if (key === "connection.sni") {
    return { values, not: notValues, make: (value) => [{ requestedServerName: textMatcher(value) }] };
  }
  return undefined;
};

/** One rule; `undefined` when it cannot be asked here and must not allow. */
const policyOf = (rule: AuthorizationRule, object: Policy, context: RbacContext): PolicyJson | undefined => {
  const dropField = (object.spec.action ?? "ALLOW") !== "ALLOW";
  const forPermissions = { or: oneOfRules, not: (notRule: PermissionJson) => ({ notRule }), dropField };
  const forPrincipals = { or: oneOfIds, not: (notId: PrincipalJson) => ({ notId }), dropField };
  const permissionWhen: Field<PermissionJson>[] = [];
  const principalWhen: Field<PrincipalJson>[] = [];
  for (const condition of rule.when ?? []) {
    const principal = principalCondition(condition, object.namespace, context);
    const permission = principal ? undefined : permissionCondition(condition, context);
    if (principal) principalWhen.push(principal);
    else if (permission) permissionWhen.push(permission);
    else {
      context.notes.push(note("WF4010", `condition "${condition.key}" is not known, so the rule never holds`, object));
      principalWhen.push({ values: ["*"], not: undefined, make: () => [noPrincipal] });
    }
  }
  const alternatives = <T, S>(
    list: readonly S[] | undefined,
    fields: (one: S | undefined) => Field<T>[],
    tools: Parameters<typeof conjunction<T>>[1],
  ) => (list?.length ? list : [undefined]).map((one) => conjunction(fields(one), tools));
  const permissions = alternatives(
    rule.to,
    (to) => [...operationFields(to?.operation ?? {}, context), ...permissionWhen],
    forPermissions,
  ).filter((one) => one !== httpOnly);
  const principals = alternatives(
    rule.from,
    (from) => [...sourceFields(from?.source ?? {}, object.namespace, context), ...principalWhen],
    forPrincipals,
  ).filter((one) => one !== httpOnly);
  if (permissions.length === 0 || principals.length === 0) return undefined;
  return {
    permissions: permissions.map(
      (rules): PermissionJson => (rules.length === 0 ? anyPermission : { andRules: { rules: [...rules] } }),
    ),
    principals: principals.map(
      (ids): PrincipalJson => (ids.length === 0 ? anyPrincipal : { andIds: { ids: [...ids] } }),
    ),
  };
};

const never: PolicyJson = { permissions: [noPermission], principals: [noPrincipal] };

/** All policies of one action; `undefined` when there is none. An ALLOW policy without rules denies what no other allows. */
const rulesOf = (policies: readonly Policy[], action: "ALLOW" | "DENY", context: RbacContext): RBACJson | undefined => {
  if (policies.length === 0) return undefined;
  const table: Record<string, PolicyJson> = {};
  for (const object of policies) {
    const rules = object.spec.rules ?? [];
    const prefix = `ns[${object.namespace}]-policy[${object.name}]-rule`;
    if (rules.length === 0 && action === "ALLOW") table[`${prefix}[0]`] = never;
    for (const [index, rule] of rules.entries()) {
      const policy = policyOf(rule, object, context);
      if (policy) table[`${prefix}[${index}]`] = policy;
    }
  }
  if (Object.keys(table).length === 0) return action === "ALLOW" ? { action, policies: { none: never } } : undefined;
  return { action, policies: table };
};

const isDryRun = ({ annotations }: Policy): boolean => annotations["istio.io/dry-run"] === "true";

interface Decision {
  readonly rules?: RBACJson;
  readonly shadowRules?: RBACJson;
  readonly shadowRulesStatPrefix?: string;
}

const decision = (
  policies: readonly Policy[],
  action: "ALLOW" | "DENY",
  context: RbacContext,
): Decision | undefined => {
  const rules = rulesOf(
    policies.filter((policy) => !isDryRun(policy)),
    action,
    context,
  );
  const shadowRules = rulesOf(policies.filter(isDryRun), action, context);
  if (!rules && !shadowRules) return undefined;
  return {
    ...(rules ? { rules } : {}),
    ...(shadowRules ? { shadowRules, shadowRulesStatPrefix: `istio_dry_run_${action.toLowerCase()}_` } : {}),
  };
};

/** In the order of Istio: what denies, then what allows. CUSTOM has no provider here, so what it selects is denied. */
const decisions = (authorization: WorkloadAuthorization, context: RbacContext): readonly Decision[] => {
  for (const object of authorization.custom) {
    const text = "no extension provider is configured, so requests that the CUSTOM policy selects are denied";
    context.notes.push(note("WF4011", text, object));
  }
  for (const object of authorization.audit) {
    context.notes.push(note("WF4012", "AUDIT policies are not recorded yet: the policy has no effect", object));
  }
  return [
    decision([...authorization.custom, ...authorization.deny], "DENY", context),
    decision(authorization.allow, "ALLOW", context),
  ].flatMap((one) => one ?? []);
};

export const httpRbac = (authorization: WorkloadAuthorization, context: RbacContext): HttpFilterJson[] =>
  decisions(authorization, context).map((config) => ({
    name: "envoy.filters.http.rbac",
    typedConfig: any("envoy.extensions.filters.http.rbac.v3.RBAC", config),
  }));

export const networkRbac = (authorization: WorkloadAuthorization, context: RbacContext): FilterJson[] =>
  decisions(authorization, { ...context, tcp: true }).map((config) => ({
    name: "envoy.filters.network.rbac",
    typedConfig: any("envoy.extensions.filters.network.rbac.v3.RBAC", { statPrefix: "tcp.", ...config }),
  }));
