import { formatPosition } from "@weft/core/error";
import type { Analyzer } from "./analyzer.ts";
import { labelsMatch } from "./labels.ts";
import { notSuppressed } from "./suppress.ts";

/** Two WorkloadGroups make workloads that cannot be told apart. */
export const workloadGroupConflict: Analyzer = {
  code: "WF1146",
  level: "warning",
  also: ["KIA1702"],
  title: "two WorkloadGroups have the same labels",
  explain: `Two WorkloadGroups of a namespace give their members the same labels, so selectors of services and policies take
members of both alike. Each member still belongs to the group it registered with. Give one group a label of its own.`,
  run: ({ of }) => {
    const groups = Map.groupBy(notSuppressed(of("WorkloadGroup"), workloadGroupConflict), ({ namespace }) => namespace);
    return [...groups.values()].flatMap((group) =>
      group.flatMap((object, index) => {
        const labels = labelsOf(object.spec);
        if (Object.keys(labels).length === 0) return [];
        const twin = group.slice(0, index).find(({ spec }) => {
          const others = labelsOf(spec);
          return Object.keys(others).length === Object.keys(labels).length && labelsMatch(labels, others);
        });
        if (!twin) return [];
        const where = `WorkloadGroup ${twin.namespace}/${twin.name} (${formatPosition(twin.source)})`;
        const message = `${where} has the same labels, so selectors take members of both: give one a label of its own`;
        return [{ object, path: ["spec", object.spec.metadata?.labels ? "metadata" : "template", "labels"], message }];
      }),
    );
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: tills}
spec: {metadata: {labels: {app: till}}, template: {serviceAccount: till}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: tills-south}
spec: {metadata: {labels: {app: till}}, template: {serviceAccount: till-south}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: tills}
spec: {metadata: {labels: {app: till}}, template: {serviceAccount: till}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: tills-south}
spec: {metadata: {labels: {app: till, region: south}}, template: {serviceAccount: till-south}}
`,
  },
};

const labelsOf = ({
  metadata,
  template,
}: {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
  readonly template: { readonly labels?: Readonly<Record<string, string>> };
}) => ({
  ...template.labels,
  ...metadata?.labels,
});
