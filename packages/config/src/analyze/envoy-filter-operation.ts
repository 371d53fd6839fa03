import type { EnvoyConfigPatch } from "../kinds/envoy-filter.ts";
import type { Analyzer } from "./analyzer.ts";

const merges = ["MERGE", "MERGE_AND_REPLACE_LIST"];
const inserts = ["INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"];
const filters = ["ADD", ...inserts, "REPLACE", "REMOVE"];

/** Operations that do something, by what they are applied to. */
const operationsOf: Readonly<Record<EnvoyConfigPatch["applyTo"], readonly string[]>> = {
  LISTENER: [...merges, "ADD", "REMOVE"],
  FILTER_CHAIN: [...merges, "ADD", "REMOVE"],
  LISTENER_FILTER: filters,
  NETWORK_FILTER: [...merges, ...filters],
  HTTP_FILTER: [...merges, ...filters],
  ROUTE_CONFIGURATION: merges,
  VIRTUAL_HOST: [...merges, "ADD", "REMOVE", "REPLACE"],
  HTTP_ROUTE: [...merges, "ADD", "REMOVE", ...inserts],
  CLUSTER: [...merges, "ADD", "REMOVE"],
  EXTENSION_CONFIG: ["ADD"],
  BOOTSTRAP: merges,
};

/** An operation does nothing where it is applied. */
export const envoyFilterOperation: Analyzer = {
  code: "WF1135",
  level: "error",
  also: ["IST0152", "IST0153", "IST0154"],
  title: "an EnvoyFilter's operation does nothing",
  explain: `Not every operation works everywhere: filters can be added, placed, replaced, merged and removed; listeners,
chains and clusters only added, merged and removed; of a whole route configuration only MERGE does something;
extension configurations are only added. A patch with another operation is passed over. (Istio's check also names
ADD and REMOVE of HTTP_ROUTE, which its control plane does apply, and so does weft.)`,
  run: ({ of }) =>
    of("EnvoyFilter").flatMap((object) =>
      (object.spec.configPatches ?? []).flatMap(({ applyTo, patch: { operation } }, index) => {
        const known = operationsOf[applyTo];
        if (known.includes(operation)) return [];
        const message = `${operation} does nothing with applyTo ${applyTo}: use ${known.join(", ")}`;
        return [{ object, path: ["spec", "configPatches", index, "patch", "operation"], message }];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: retire}
spec:
  configPatches:
  - applyTo: ROUTE_CONFIGURATION
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: REMOVE}
`,
    good: `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: retire}
spec:
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: "old.default.svc.cluster.local:80"}}}
    patch: {operation: REMOVE}
`,
  },
};
