import type { Analyzer } from "./analyzer.ts";
import { labelsMatch } from "./labels.ts";

/** A subset's labels match no endpoint of its service. */
export const subsetWithoutEndpoints: Analyzer = {
  code: "WF1111",
  level: "error",
  also: ["IST0173", "KIA0203"],
  title: "a subset has no endpoints",
  explain: `None of the service's endpoints has the subset's labels, so requests routed to it are answered with 503
(no healthy upstream). The check is made only where the endpoints' labels are known.`,
  run: ({ of, serviceFor }) =>
    of("DestinationRule").flatMap((object) => {
      const known = serviceFor(object.spec.host, object.namespace)?.endpointLabels;
      if (known === undefined) return [];
      return (object.spec.subsets ?? []).flatMap(({ name, labels = {} }, index) => {
        if (Object.keys(labels).length === 0 || known.some((endpoint) => labelsMatch(labels, endpoint))) return [];
        const wanted = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
        const key = Object.keys(labels)[0] ?? "";
        const values = [...new Set(known.map((endpoint) => endpoint[key]).filter((value) => value !== undefined))];
        const seen = values.length === 0 ? `none has the label ${key}` : `${key} is ${values.join(", ")}`;
        const message = `subset "${name}" has no endpoints: none of ${known.length} has ${wanted.join(", ")} (${seen})`;
        return [{ object, path: ["spec", "subsets", index, "labels"], message }];
      });
    }),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger}
spec:
  hosts: [ledger.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.7, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ledger}
spec:
  host: ledger
  subsets: [{name: next, labels: {version: v2}}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger}
spec:
  hosts: [ledger.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.7, labels: {version: v1}}, {address: 10.0.0.8, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ledger}
spec:
  host: ledger
  subsets: [{name: next, labels: {version: v2}}]
`,
  },
};
