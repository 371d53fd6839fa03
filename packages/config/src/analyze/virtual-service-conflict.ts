import { formatPosition } from "@weft/core/error";
import type { ConfigOf } from "../config-object.ts";
import type { Analyzer, Hit } from "./analyzer.ts";
import { fullHost } from "./hosts.ts";
import { notSuppressed } from "./suppress.ts";

/** Two VirtualServices route the same host inside the mesh. */
export const virtualServiceConflict: Analyzer = {
  code: "WF1106",
  level: "error",
  also: ["IST0109", "KIA1106"],
  title: "two VirtualServices route the same host",
  explain: `Inside the mesh one VirtualService routes a host: the oldest that the client can see. The others have no
effect for that host. (At a Gateway, rules of several VirtualServices for one host are put together, so
they are not reported.) Merge them, or make them visible to different namespaces with \`exportTo\`.`,
  run: ({ of }) => {
    const claims = new Map<string, ConfigOf<"VirtualService">[]>();
    const hits: Hit[] = [];
    for (const object of notSuppressed(of("VirtualService"), virtualServiceConflict)) {
      const { hosts = [], gateways = [] } = object.spec;
      if (gateways.length > 0 && !gateways.includes("mesh")) continue;
      for (const [index, host] of hosts.entries()) {
        const name = fullHost(host, object.namespace);
        const earlier = claims.get(name) ?? [];
        const winner = earlier.find((other) => seenTogether(other, object));
        if (winner) {
          const where = `${winner.namespace}/${winner.name} (${formatPosition(winner.source)})`;
          const claim = `host "${name}" is already routed by VirtualService ${where}`;
          const message = `${claim}, which is older and wins: merge the two`;
          hits.push({ object, path: ["spec", "hosts", index], message });
        }
        claims.set(name, [...earlier, object]);
      }
    }
    return hits;
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: search}
spec:
  hosts: [search]
  http: [{route: [{destination: {host: search}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: search-again}
spec:
  hosts: [search.default.svc.cluster.local]
  http: [{timeout: 2s, route: [{destination: {host: search}}]}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: search}
spec:
  hosts: [search]
  http:
  - match: [{uri: {prefix: /slow}}]
    route: [{destination: {host: search}}]
  - timeout: 2s
    route: [{destination: {host: search}}]
`,
  },
};

/** Some namespace sees both. Objects of one name are told of as such. */
const seenTogether = (a: ConfigOf<"VirtualService">, b: ConfigOf<"VirtualService">): boolean => {
  const scopes = ({ spec, namespace }: ConfigOf<"VirtualService">) =>
    spec.exportTo?.length ? spec.exportTo.map((scope) => (scope === "." ? namespace : scope)) : ["*"];
  const [scopesA, scopesB] = [scopes(a), scopes(b)];
  if (a.namespace === b.namespace && a.name === b.name) return false;
  return scopesA.some((scope) => scope === "*" || scopesB.includes(scope) || scopesB.includes("*"));
};
