import type { ConfigOf } from "../config-object.ts";
import type { Analyzer, Hit } from "./analyzer.ts";
import type { Facts } from "./facts.ts";
import { labelsMatch } from "./labels.ts";

/** A route looks at a token's claims where no RequestAuthentication reads tokens. */
export const jwtClaimRoute: Analyzer = {
  code: "WF1141",
  level: "error",
  also: ["IST0149"],
  title: "a route by token has no RequestAuthentication",
  explain: `A match on \`@request.auth.claims\` looks at claims of a token that was checked. Only at a Gateway is that done, and only
where a RequestAuthentication of the Gateway's namespace (or the root namespace) selects its proxies. Without one the
match never holds; with withoutHeaders it always does.`,
  run: (facts) =>
    facts.of("VirtualService").flatMap((object) =>
      (object.spec.http ?? []).flatMap(({ match = [] }, rule) =>
        match.flatMap((one, index): Hit[] => {
          for (const field of ["headers", "withoutHeaders"] as const) {
            const name = Object.keys(one[field] ?? {}).find((key) => key.startsWith("@request.auth.claims"));
            const problem = name === undefined ? undefined : problemAt(object, facts);
            if (name === undefined || problem === undefined) continue;
            return [{ object, path: ["spec", "http", rule, "match", index, field, name], message: problem }];
          }
          return [];
        }),
      ),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  selector: {istio: gate}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [app.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.example]
  gateways: [gate]
  http:
  - match: [{headers: {"@request.auth.claims.group": {exact: staff}}}]
    directResponse: {status: 200}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  selector: {istio: gate}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [app.example]}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: gate}
spec:
  selector: {matchLabels: {istio: gate}}
  jwtRules: [{issuer: "https://login.example", jwksUri: "https://login.example/keys"}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.example]
  gateways: [gate]
  http:
  - match: [{headers: {"@request.auth.claims.group": {exact: staff}}}]
    directResponse: {status: 200}
`,
  },
};

const problemAt = (object: ConfigOf<"VirtualService">, { of, rootNamespace }: Facts): string | undefined => {
  const named = (object.spec.gateways ?? []).filter((name) => name !== "mesh");
  if (named.length === 0) return "claims of tokens are looked at only at a Gateway: bind the VirtualService to one";
  const full = new Set(named.map((name) => (name.includes("/") ? name : `${object.namespace}/${name}`)));
  const gateways = of("Gateway").filter(({ namespace, name }) => full.has(`${namespace}/${name}`));
  const open = gateways.find(
    (gateway) =>
      !of("RequestAuthentication").some(
        ({ namespace, spec }) =>
          (namespace === gateway.namespace || namespace === rootNamespace) &&
          labelsMatch(spec.selector?.matchLabels, gateway.spec.selector ?? {}),
      ),
  );
  if (!open) return undefined;
  return `no RequestAuthentication selects the proxies of Gateway ${open.namespace}/${open.name}: add one with its labels`;
};
