import { nearest } from "../schema/nearest.ts";
import type { Analyzer } from "./analyzer.ts";
import { destinationsOf } from "./destinations.ts";

/** A route leads to a subset that no DestinationRule defines. */
export const subsetReference: Analyzer = {
  code: "WF1102",
  level: "error",
  also: ["IST0101", "KIA1107"],
  title: "a route leads to an unknown subset",
  explain: `A VirtualService names a subset that no DestinationRule for the host defines. Requests that take the
route are answered with 503, as there is no such cluster. Define the subset with the labels of its
endpoints. Where neither the host nor a rule for it is known, the finding is a warning.`,
  run: ({ of, rulesFor, serviceFor }) =>
    of("VirtualService").flatMap((object) =>
      destinationsOf(object).flatMap(({ destination: { host, subset }, path }) => {
        if (subset === undefined) return [];
        const rules = rulesFor(host, object.namespace);
        const names = rules.flatMap(({ spec }) => (spec.subsets ?? []).map(({ name }) => name));
        if (names.includes(subset)) return [];
        const guess = nearest(subset, names);
        const known = names.length === 0 ? "" : ` (defined: ${names.join(", ")})`;
        const next =
          guess !== undefined
            ? `did you mean "${guess}"?`
            : rules[0]
              ? `add it to DestinationRule ${rules[0].namespace}/${rules[0].name}`
              : `add a DestinationRule for "${host}" that defines it`;
        const message = `subset "${subset}" of "${host}" is not defined${known}: ${next}`;
        const certain = rules.length > 0 || serviceFor(host, object.namespace) !== undefined;
        return [{ object, path: [...path, "subset"], message, level: certain ? "error" : "warning" } as const];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock}
spec:
  host: stock
  subsets: [{name: blue, labels: {version: blue}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock}
spec:
  hosts: [stock]
  http:
  - route:
    - destination: {host: stock, subset: green}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock}
spec:
  host: stock
  subsets:
  - {name: blue, labels: {version: blue}}
  - {name: green, labels: {version: green}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock}
spec:
  hosts: [stock]
  http:
  - route:
    - destination: {host: stock, subset: green}
`,
  },
};
