import { formatPosition } from "@weft/core/error";
import type { ConfigObject } from "../config-object.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { Analyzer, Hit } from "./analyzer.ts";
import type { Facts } from "./facts.ts";
import { type Labels, labelsMatch } from "./labels.ts";
import { notSuppressed } from "./suppress.ts";

interface Selection {
  readonly object: ConfigObject;
  readonly labels: Labels;
  readonly path: FieldPath;
}

/** Two objects of a kind of which a workload takes one select the same workload. */
export const selectionConflict: Analyzer = {
  code: "WF1131",
  level: "error",
  also: ["IST0110", "IST0111", "IST0159", "IST0160", "KIA0002", "KIA0003"],
  title: "two objects select the same workload",
  explain: `A workload takes one Sidecar, one ProxyConfig and one Telemetry of its namespace: the one that selects it,
else the one without a selector, else the root namespace's without a selector. Of several equals the oldest
holds and the others have no effect. Merge them, or make their selectors differ.`,
  run: (facts) =>
    (["Sidecar", "ProxyConfig", "Telemetry"] as const).flatMap((kind) => {
      const all = notSuppressed(facts.of(kind) as readonly ConfigObject[], selectionConflict).map(selectionOf);
      const groups = Map.groupBy(all, ({ object }) => object.namespace);
      return [...groups.values()].flatMap((group) => conflictsIn(group, facts));
    }),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow}
spec: {egress: [{hosts: ["./*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: wide}
spec: {egress: [{hosts: ["./*", "istio-system/*"]}]}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow}
spec: {egress: [{hosts: ["./*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: wide}
spec:
  workloadSelector: {labels: {app: jobs}}
  egress: [{hosts: ["./*", "istio-system/*"]}]
`,
  },
};

const selectionOf = (object: ConfigObject): Selection => {
  if (object.kind === "Sidecar") {
    const labels = object.spec.workloadSelector?.labels ?? {};
    return { object, labels, path: ["spec", "workloadSelector", "labels"] };
  }
  const known = object.kind === "ProxyConfig" || object.kind === "Telemetry";
  const labels = known ? (object.spec.selector?.matchLabels ?? {}) : {};
  return { object, labels, path: ["spec", "selector", "matchLabels"] };
};

const conflictsIn = (group: readonly Selection[], { workloadsByLabels }: Facts): Hit[] =>
  group.flatMap((selection, index): Hit[] => {
    const { object, labels, path } = selection;
    const earlier = group
      .slice(0, index)
      .find((other) => clash(other.labels, labels, workloadsByLabels, object.namespace));
    if (!earlier) return [];
    const { kind, namespace, name } = earlier.object;
    const where = `${kind} ${namespace}/${name} (${formatPosition(earlier.object.source)})`;
    const what = Object.keys(labels).length === 0 ? "holds for the whole namespace too" : "selects the same workloads";
    const message = `${where} ${what} and is older, so this one has no effect there: merge the two`;
    return [{ object, path: Object.keys(labels).length === 0 ? ["metadata", "name"] : path, message }];
  });

/** Equal selectors, or a workload in sight that both select. A general one and a particular one do not clash. */
const clash = (a: Labels, b: Labels, workloads: Facts["workloadsByLabels"], namespace: string): boolean => {
  const [general, particular] = [Object.keys(a).length === 0, Object.keys(b).length === 0];
  if (general || particular) return general && particular;
  if (Object.keys(a).length === Object.keys(b).length && labelsMatch(a, b)) return true;
  const both = { ...a, ...b };
  return labelsMatch(a, both) && workloads.hasMatching(namespace, both);
};
