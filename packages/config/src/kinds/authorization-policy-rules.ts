/** Rules of AuthorizationPolicy that its schema cannot say. */
import { formatProblem } from "../schema/formats.ts";
import type { FieldPath } from "../schema/problem.ts";
import type {
  AuthorizationCondition,
  AuthorizationOperation,
  AuthorizationPolicySpec,
  AuthorizationRule,
  AuthorizationSource,
} from "./authorization-policy.ts";
import type { RuleTools } from "./kind.ts";
import { type Reporter, reporter } from "./rules.ts";

export const validateAuthorizationPolicy = (spec: AuthorizationPolicySpec, tools: RuleTools): void => {
  const report = reporter(tools);
  const { action = "ALLOW", provider, rules } = spec;
  if (action === "CUSTOM") {
    if (!provider?.name) report.missing(["action"], "action CUSTOM needs provider.name");
    if (!rules?.length) report.missing(["action"], "action CUSTOM needs rules: without them it matches nothing");
  } else if (provider) report.bad(["provider"], `provider belongs to action CUSTOM, not ${action}: remove it`);
  for (const [index, rule] of (rules ?? []).entries()) checkRule(rule, ["rules", index], report);
  const dryRun = tools.annotations["istio.io/dry-run"];
  if (dryRun !== undefined && dryRun !== "true" && dryRun !== "false") {
    report.bad([], `annotation istio.io/dry-run is "${dryRun}"; it must be "true" or "false"`);
  }
};

const checkRule = (rule: AuthorizationRule, path: FieldPath, report: Reporter): void => {
  for (const name of ["from", "to", "when"] as const) {
    if (rule[name]?.length !== 0) continue;
    report.bad([...path, name], `${name} is an empty list: add an entry, or remove it to match everything`);
  }
  for (const [index, { source }] of (rule.from ?? []).entries()) {
    const at = [...path, "from", index];
    if (!source || Object.keys(source).length === 0) report.missing(at, "from needs a source with at least one field");
    else checkSource(source, [...at, "source"], report);
  }
  for (const [index, { operation }] of (rule.to ?? []).entries()) {
    const at = [...path, "to", index];
    if (!operation || Object.keys(operation).length === 0) {
      report.missing(at, "to needs an operation with at least one field");
    } else checkOperation(operation, [...at, "operation"], report);
  }
  for (const [index, condition] of (rule.when ?? []).entries()) {
    checkCondition(condition, [...path, "when", index], report);
  }
};

const checkSource = (source: AuthorizationSource, path: FieldPath, report: Reporter): void => {
  checkLists(source, path, report);
  if (source.serviceAccounts ?? source.notServiceAccounts) {
    for (const name of ["principals", "notPrincipals", "namespaces", "notNamespaces"] as const) {
      if (source[name]) report.both([...path, name], `${name} cannot stand beside serviceAccounts: keep one of them`);
    }
  }
  for (const name of ["serviceAccounts", "notServiceAccounts"] as const) {
    for (const [index, account] of (source[name] ?? []).entries()) {
      if (/^([a-z0-9-]+\/)?[a-z0-9.-]+$/.test(account)) continue;
      report.bad([...path, name, index], `"${account}" is not ACCOUNT or NAMESPACE/ACCOUNT; wildcards are not allowed`);
    }
  }
};

const checkOperation = (operation: AuthorizationOperation, path: FieldPath, report: Reporter): void => {
  checkLists(operation, path, report);
  for (const name of ["ports", "notPorts"] as const) {
    for (const [index, port] of (operation[name] ?? []).entries()) {
      if (!isPort(port)) report.bad([...path, name, index], `"${port}" is not a port from 1 to 65535`);
    }
  }
  for (const name of ["paths", "notPaths"] as const) {
    for (const [index, text] of (operation[name] ?? []).entries()) {
      const problem = pathTemplateProblem(text);
      if (problem !== undefined) report.bad([...path, name, index], `path "${text}" ${problem}`);
    }
  }
};

/** Templates hold `{*}` for one segment and, last, `{**}` for the rest. */
const pathTemplateProblem = (path: string): string | undefined => {
  if (!/[{}]/.test(path)) return undefined;
  const segments = path.split("/");
  const odd = segments.find((segment) => /[{}]/.test(segment) && segment !== "{*}" && segment !== "{**}");
  if (odd !== undefined) return `has "${odd}": a template's segment is {*} or {**} and nothing else`;
  const rest = segments.indexOf("{**}");
  if (rest !== -1 && rest !== segments.length - 1) return "has {**} before its end: it can only be the last segment";
  return path.includes("*", path.indexOf("{")) && /(^|[^{*])\*([^}*]|$)/.test(path)
    ? "mixes * with {*}: use {*} or {**} throughout"
    : undefined;
};

const checkLists = (lists: Readonly<Record<string, unknown>>, path: FieldPath, { bad }: Reporter): void => {
  for (const [name, values] of Object.entries(lists)) {
    if (!Array.isArray(values)) continue;
    if (values.length === 0) bad([...path, name], `${name} is an empty list: add a value, or remove it`);
    const empty = values.indexOf("");
    if (empty !== -1) bad([...path, name, empty], `${name} has an empty text: write a value, or "*" for any`);
  }
};

const headerKey = /^request\.headers\[[!#$%&'*+\-.^_`|~0-9a-zA-Z:]+\]$/;
const claimKey = /^request\.auth\.claims(\[[^[\]]+\])+$/;
const addressKeys = new Set(["source.ip", "remote.ip", "destination.ip"]);
const plainKeys = new Set([
  ...addressKeys,
  "source.namespace",
  "source.serviceAccount",
  "source.trustDomain",
  "source.principal",
  "request.auth.principal",
  "request.auth.audiences",
  "request.auth.presenter",
  "destination.port",
  "connection.sni",
]);

const checkCondition = (condition: AuthorizationCondition, path: FieldPath, report: Reporter): void => {
  const { key, values = [], notValues = [] } = condition;
  const known = plainKeys.has(key) || headerKey.test(key) || claimKey.test(key);
  if (!known && !key.startsWith("experimental.envoy.filters.")) {
    const some = [...plainKeys, "request.headers[NAME]", "request.auth.claims[NAME]"].join(", ");
    report.bad([...path, "key"], `condition key "${key}" is not known (accepted: ${some})`);
  }
  if (values.length + notValues.length === 0) report.missing(path, `condition "${key}" needs values or notValues`);
  for (const [name, list] of [["values", values] as const, ["notValues", notValues] as const]) {
    for (const [index, value] of list.entries()) {
      const problem = valueProblem(key, value);
      if (problem !== undefined) report.bad([...path, name, index], `condition "${key}" has "${value}": ${problem}`);
    }
  }
};

const valueProblem = (key: string, value: string): string | undefined => {
  if (value === "") return "a value must not be empty";
  if (addressKeys.has(key)) return formatProblem("ipOrCidr", value);
  return key === "destination.port" && !isPort(value) ? "not a port from 1 to 65535" : undefined;
};

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;
