import type { ConfigOf } from "../config-object.ts";
import type { AuthorizationRule } from "../kinds/authorization-policy.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { Analyzer } from "./analyzer.ts";
import type { KnownService } from "./facts.ts";
import { isConnectionPort } from "./known-services.ts";
import { type LabelIndex, labelIndex } from "./labels.ts";

/** A policy uses fields of HTTP for a workload's TCP port. */
export const policyHttpOnTcp: Analyzer = {
  code: "WF1119",
  level: "warning",
  also: ["IST0167"],
  title: "an AuthorizationPolicy has HTTP fields for a TCP port",
  explain: `On a port that is not read as HTTP, hosts, methods, paths, request principals and request headers cannot
be known. There an ALLOW rule that has such a field is dropped, so it allows nothing; a DENY or AUDIT
rule keeps its other fields only, so it may deny the whole port. Limit the rule to the HTTP ports with
\`ports\`, or declare the port's protocol.`,
  run: ({ of, services }) => {
    const index = connectionServices(services);
    return of("AuthorizationPolicy").flatMap((object) => {
      const ports = connectionPorts(index, object);
      if (ports.size === 0) return [];
      return (object.spec.rules ?? []).flatMap((rule, index) => {
        const field = firstHttpField(rule, ["spec", "rules", index]);
        const reached = portsOf(rule, ports);
        if (field === undefined || reached.length === 0) return [];
        const deny = object.spec.action === "DENY" || object.spec.action === "AUDIT";
        const effect = deny ? "the field is ignored there, so the rule is wider" : "the rule is dropped there";
        const where = `TCP port ${reached.join(", ")}`;
        const message = `${field.name} has no meaning on ${where}: ${effect}; limit the rule with ports`;
        return [{ object, path: field.path, message }];
      });
    });
  },
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: queue}
spec: {ports: [{name: tcp-queue, port: 5672}], selector: {app: queue}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: queue}
spec:
  selector: {matchLabels: {app: queue}}
  rules:
  - to: [{operation: {methods: [GET]}}]
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: queue}
spec: {ports: [{name: tcp-queue, port: 5672}], selector: {app: queue}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: queue}
spec:
  selector: {matchLabels: {app: queue}}
  rules:
  - to: [{operation: {ports: ["5672"]}}]
`,
  },
};

/** Services with ports that carry connections only, by what they select and by what their endpoints have. */
const connectionServices = (services: readonly KnownService[]): LabelIndex<KnownService> =>
  labelIndex(
    services.filter(({ ports }) => ports.some(isConnectionPort)),
    ({ namespace, object, endpointLabels = [] }) => {
      const selector = object?.kind === "Service" ? object.spec.selector : undefined;
      return { namespace, sets: selector ? [selector, ...endpointLabels] : endpointLabels };
    },
  );

/** Workload ports that carry connections only, of services the policy can be seen to select. */
const connectionPorts = (
  services: LabelIndex<KnownService>,
  { namespace, spec }: ConfigOf<"AuthorizationPolicy">,
): ReadonlySet<number> => {
  const wanted = spec.selector?.matchLabels ?? {};
  if (Object.keys(wanted).length === 0) return new Set();
  const selected = services.matching(namespace, wanted);
  return new Set(selected.flatMap(({ ports }) => ports.filter(isConnectionPort).map(({ number }) => number)));
};

interface HttpField {
  readonly name: string;
  readonly path: FieldPath;
}

const operationFields = ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"] as const;
const sourceFields = ["requestPrincipals", "notRequestPrincipals", "remoteIpBlocks", "notRemoteIpBlocks"] as const;

const firstHttpField = (rule: AuthorizationRule, path: FieldPath): HttpField | undefined => {
  for (const [index, { operation }] of (rule.to ?? []).entries()) {
    const name = operationFields.find((field) => operation?.[field] !== undefined);
    if (name) return { name, path: [...path, "to", index, "operation", name] };
  }
  for (const [index, { source }] of (rule.from ?? []).entries()) {
    const name = sourceFields.find((field) => source?.[field] !== undefined);
    if (name) return { name, path: [...path, "from", index, "source", name] };
  }
  const index = (rule.when ?? []).findIndex(({ key }) => key.startsWith("request."));
  return index === -1 ? undefined : { name: rule.when?.[index]?.key ?? "", path: [...path, "when", index, "key"] };
};

/** The TCP ports that the rule can be asked about. */
const portsOf = (rule: AuthorizationRule, ports: ReadonlySet<number>): number[] => {
  const limits = (rule.to ?? []).map(({ operation }) => operation?.ports);
  const open = limits.length === 0 || limits.some((limit) => limit === undefined);
  const named = new Set(limits.flatMap((limit) => limit ?? []).map(Number));
  return [...ports].filter((port) => open || named.has(port));
};
