import type { Analyzer } from "./analyzer.ts";

/** An object of the root namespace has a selector, so it does not hold for the mesh. */
export const rootSelection: Analyzer = {
  code: "WF1149",
  level: "warning",
  also: ["KIA1006"],
  title: "a selector in the root namespace picks only workloads there",
  explain: `A Sidecar or ProxyConfig of the root namespace holds for the whole mesh only without a selector. With one it
picks workloads of the root namespace alone, where there are usually none. Remove the selector, or move the object to
the namespace of the workloads.`,
  run: ({ of, workloads, rootNamespace }) =>
    workloads.some(({ namespace }) => namespace === rootNamespace)
      ? []
      : [...of("Sidecar"), ...of("ProxyConfig")].flatMap((object) => {
          const [field, labels] =
            object.kind === "Sidecar"
              ? ["workloadSelector", object.spec.workloadSelector?.labels]
              : ["selector", object.spec.selector?.matchLabels];
          if (object.namespace !== rootNamespace || Object.keys(labels ?? {}).length === 0) return [];
          const message = `with a selector this ${object.kind} holds only for workloads of ${rootNamespace}: remove it, or move the object`;
          return [{ object, path: ["spec", field ?? ""], message }];
        }),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: all, namespace: istio-system}
spec: {workloadSelector: {labels: {tier: web}}, egress: [{hosts: ["./*"]}]}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: all, namespace: istio-system}
spec: {egress: [{hosts: ["./*"]}]}
`,
  },
};
