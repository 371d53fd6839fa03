import type { ConfigOf } from "../config-object.ts";
import type { AuthorizationRule } from "../kinds/authorization-policy.ts";
import { httpMethods } from "../kinds/http-words.ts";
import { nearest } from "../schema/nearest.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { Analyzer, Hit } from "./analyzer.ts";

/** A policy, or a value in it, can match no request. */
export const policyMatchesNothing: Analyzer = {
  code: "WF1118",
  level: "warning",
  also: ["KIA0102"],
  title: "an AuthorizationPolicy matches nothing",
  explain: `A DENY or AUDIT policy without rules never matches. A path that does not begin with "/", a method in
lower case, or an identity that does not have the form TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT matches no
request either. An ALLOW policy with such a value denies what it was meant to allow; a DENY policy
allows what it was meant to deny.`,
  run: ({ of }) =>
    of("AuthorizationPolicy").flatMap((object): readonly Hit[] => {
      const { action = "ALLOW", rules = [] } = object.spec;
      if (rules.length === 0 && (action === "DENY" || action === "AUDIT")) {
        const message = `action ${action} without rules never matches: add rules ("rules: [{}]" matches everything)`;
        return [{ object, path: ["spec"], message }];
      }
      return rules.flatMap((rule, index) => ruleHits(object, rule, ["spec", "rules", index]));
    }),
  example: {
    bad: `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-writes}
spec:
  action: DENY
  rules:
  - to: [{operation: {methods: [delete]}}]
`,
    good: `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-writes}
spec:
  action: DENY
  rules:
  - to: [{operation: {methods: [DELETE]}}]
`,
  },
};

type Check = (value: string) => string | undefined;

const ruleHits = (object: ConfigOf<"AuthorizationPolicy">, rule: AuthorizationRule, path: FieldPath): Hit[] => {
  const hits: Hit[] = [];
  const check = (values: readonly string[] | undefined, at: FieldPath, problemOf: Check): void => {
    for (const [index, value] of (values ?? []).entries()) {
      const message = problemOf(value);
      if (message !== undefined) hits.push({ object, path: [...at, index], message });
    }
  };
  for (const [index, { operation }] of (rule.to ?? []).entries()) {
    const at = [...path, "to", index, "operation"];
    for (const name of ["methods", "notMethods"] as const) check(operation?.[name], [...at, name], methodProblem);
    for (const name of ["paths", "notPaths"] as const) check(operation?.[name], [...at, name], pathProblem);
  }
  for (const [index, { source }] of (rule.from ?? []).entries()) {
    const at = [...path, "from", index, "source"];
    for (const name of ["principals", "notPrincipals"] as const) check(source?.[name], [...at, name], principalProblem);
  }
  return hits;
};

const methodProblem: Check = (method) => {
  if (method.includes("*") || httpMethods.has(method)) return undefined;
  const guess = nearest(method, [...httpMethods]);
  if (/^[A-Z]+$/.test(method) && guess === undefined) return undefined;
  return `method "${method}" is none HTTP defines${guess === undefined ? "" : ` — did you mean ${guess}?`}`;
};

const pathProblem: Check = (path) =>
  path.startsWith("/") || path.startsWith("*") || path.startsWith("{")
    ? undefined
    : `path "${path}" matches nothing, as paths begin with "/": write "/${path}"`;

const principalProblem: Check = (principal) => {
  if (principal.includes("*") || /^[^/]+\/ns\/[^/]+\/sa\/[^/]+$/.test(principal)) return undefined;
  const bare = principal.replace(/^spiffe:\/\//, "");
  const next = bare === principal ? "write TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT" : `write "${bare}", without spiffe://`;
  return `principal "${principal}" matches no identity of the mesh: ${next}`;
};
