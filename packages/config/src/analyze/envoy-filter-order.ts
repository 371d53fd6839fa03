import type { EnvoyConfigPatch } from "../kinds/envoy-filter.ts";
import type { Analyzer } from "./analyzer.ts";

/** A patch is placed relative to something another EnvoyFilter may add. */
export const envoyFilterOrder: Analyzer = {
  code: "WF1134",
  level: "warning",
  also: ["IST0151", "IST0155"],
  title: "an EnvoyFilter's place depends on others",
  explain: `EnvoyFilters are applied by priority, then by age, then by name; those of the root namespace first. A patch that
is placed before, after or instead of a filter finds only what is there by then, so without a priority the
outcome depends on the age of the objects, and changes when one is made anew. With a match on proxyVersion it also
changes with an upgrade. Give the EnvoyFilter a priority, or use ADD or INSERT_FIRST.`,
  run: ({ of }) =>
    of("EnvoyFilter").flatMap((object) => {
      if ((object.spec.priority ?? 0) !== 0) return [];
      return (object.spec.configPatches ?? []).flatMap((patch, index) => {
        if (!isRelative(patch)) return [];
        const version = patch.match?.proxy?.proxyVersion === undefined ? "" : ", and on the proxy's version";
        const message =
          `${patch.patch.operation} depends on the order of EnvoyFilters${version}, and there is no priority: ` +
          "write spec.priority (such as 10), or use ADD or INSERT_FIRST";
        return [{ object, path: ["spec", "configPatches", index, "patch", "operation"], message }];
      });
    }),
  example: {
    bad: `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: stamp}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch: {operation: INSERT_BEFORE, value: {name: stamp}}
`,
    good: `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: stamp}
spec:
  priority: 10
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch: {operation: INSERT_BEFORE, value: {name: stamp}}
`,
  },
};

/** Filters may come from other EnvoyFilters; what is merged into a cluster or route does not depend on them. */
const isRelative = ({ applyTo, patch: { operation } }: EnvoyConfigPatch): boolean => {
  const filter = applyTo === "HTTP_FILTER" || applyTo === "NETWORK_FILTER" || applyTo === "LISTENER_FILTER";
  return filter && ["INSERT_BEFORE", "INSERT_AFTER", "REPLACE"].includes(operation);
};
