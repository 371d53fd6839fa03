/** AuthorizationPolicy: who may call what. */
import { type Infer, list, object, oneWord, required, text } from "../schema/schema.ts";
import { validateAuthorizationPolicy } from "./authorization-policy-rules.ts";
import { targetRef, targetRefs, workloadSelector } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";

const texts = (about: string) => list(text("Exact, `prefix*`, `*suffix` or `*`."), about);
const blocks = (about: string) => list(text("Address or CIDR.", { format: "ipOrCidr" }), about);

const source = object("Facts about the caller, which must all hold.", {
  principals: texts("Identities `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; needs mTLS."),
  notPrincipals: texts("Identities it must not have."),
  requestPrincipals: texts("JWT identities `ISSUER/SUBJECT`."),
  notRequestPrincipals: texts("JWT identities it must not have."),
  namespaces: texts("Namespaces; needs mTLS."),
  notNamespaces: texts("Namespaces it must not be of."),
  serviceAccounts: list(text("ACCOUNT or NAMESPACE/ACCOUNT.", { maxLength: 320 }), "Service accounts; needs mTLS.", {
    maxItems: 16,
  }),
  notServiceAccounts: list(text("ACCOUNT or NAMESPACE/ACCOUNT.", { maxLength: 320 }), "Accounts it must not have.", {
    maxItems: 16,
  }),
  ipBlocks: blocks("Addresses the connection comes from."),
  notIpBlocks: blocks("Addresses it must not come from."),
  remoteIpBlocks: blocks("Addresses of the original client, as X-Forwarded-For tells."),
  notRemoteIpBlocks: blocks("Addresses the original client must not have."),
  trustDomains: texts("Trust domains; needs mTLS."),
  notTrustDomains: texts("Trust domains it must not be of."),
});
export interface AuthorizationSource extends Infer<typeof source> {}

const operation = object("Facts about the request, which must all hold.", {
  hosts: texts("Host header, without regard to case."),
  notHosts: texts("Hosts it must not be for."),
  ports: texts("Ports of the workload."),
  notPorts: texts("Ports it must not be for."),
  methods: texts("HTTP methods; for gRPC always POST."),
  notMethods: texts("Methods it must not have."),
  paths: texts("Paths; `{*}` is one segment, a last `{**}` the rest."),
  notPaths: texts("Paths it must not have."),
});
export interface AuthorizationOperation extends Infer<typeof operation> {}

const condition = object("A fact by name.", {
  key: required(text("Name, such as `request.headers[x]` or `source.ip`.", { minLength: 1 })),
  values: list(text("A value."), "Values of which one must hold."),
  notValues: list(text("A value."), "Values that must not hold."),
});
export interface AuthorizationCondition extends Infer<typeof condition> {}

const rule = object("Holds when one source, one operation and all conditions hold.", {
  from: list(object("A caller.", { source }), "Callers, of which one must match.", { maxItems: 512 }),
  to: list(object("A request.", { operation }), "Requests, of which one must match."),
  when: list(condition, "Conditions, which must all hold."),
});
export interface AuthorizationRule extends Infer<typeof rule> {}

export const authorizationPolicySpec = object(
  "Rules for requests to the workloads selected.",
  {
    selector: workloadSelector,
    targetRef: { ...targetRef, deprecated: "write targetRefs" },
    targetRefs,
    rules: list(rule, "Rules, of which one must match. Absent: none matches, so ALLOW then denies all.", {
      maxItems: 512,
    }),
    action: oneWord(["ALLOW", "DENY", "AUDIT", "CUSTOM"], "What a match does.", { default: "ALLOW" }),
    provider: object("Who decides, for CUSTOM.", {
      name: text("Extension provider of the mesh's configuration."),
    }),
  },
  { oneOf: [["selector", "targetRef", "targetRefs"]] },
);
export interface AuthorizationPolicySpec extends Infer<typeof authorizationPolicySpec> {}

export const authorizationPolicy: Kind = defineKind({
  name: "AuthorizationPolicy",
  plural: "authorizationpolicies",
  shortNames: ["ap"],
  group: "security.istio.io",
  versions: ["v1", "v1beta1"],
  about: "Allows, denies or audits requests by caller, operation and conditions.",
  schema: authorizationPolicySpec,
  validate: validateAuthorizationPolicy,
});
