import type { ConfigObject } from "../config-object.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { Analyzer } from "./analyzer.ts";
import type { Labels } from "./labels.ts";

interface Selection {
  readonly object: ConfigObject;
  readonly labels: Labels;
  readonly path: FieldPath;
  /** Every namespace is searched, as for policies of the root namespace. */
  readonly everywhere: boolean;
}

/** Kinds that, in the root namespace, select workloads of every namespace. */
const fromRoot = new Set(["AuthorizationPolicy", "RequestAuthentication", "EnvoyFilter", "LocalRateLimit"]);

/** A selector picks no workload. */
export const selectorWithoutWorkloads: Analyzer = {
  code: "WF1104",
  level: "warning",
  also: ["IST0127", "KIA0004"],
  title: "a selector picks no workload",
  explain: `The labels of a selector match no workload of the namespace, so the object has no effect. The check is
made only where workloads of that namespace are known.`,
  run: ({ of, workloadsByLabels, rootNamespace }) => {
    const selections: Selection[] = [
      ...[
        ...of("PeerAuthentication"),
        ...of("AuthorizationPolicy"),
        ...of("RequestAuthentication"),
        ...of("ProxyConfig"),
        ...of("LocalRateLimit"),
      ].map((object) => ({
        object,
        labels: object.spec.selector?.matchLabels ?? {},
        path: ["spec", "selector", "matchLabels"],
        everywhere: fromRoot.has(object.kind) && object.namespace === rootNamespace,
      })),
      ...[...of("ServiceEntry"), ...of("Sidecar"), ...of("EnvoyFilter")].map((object) => ({
        object,
        labels: object.spec.workloadSelector?.labels ?? {},
        path: ["spec", "workloadSelector", "labels"],
        everywhere: fromRoot.has(object.kind) && object.namespace === rootNamespace,
      })),
      ...of("DestinationRule").map((object) => ({
        object,
        labels: object.spec.workloadSelector?.matchLabels ?? {},
        path: ["spec", "workloadSelector", "matchLabels"],
        everywhere: false,
      })),
    ];
    return selections.flatMap(({ object, labels, path, everywhere }) => {
      if (Object.keys(labels).length === 0) return [];
      const where = everywhere ? undefined : object.namespace;
      if (!workloadsByLabels.hasMatching(where, {}) || workloadsByLabels.hasMatching(where, labels)) return [];
      const wanted = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
      const message =
        `no workload of namespace ${object.namespace} has the labels ${wanted.join(", ")}: correct ` +
        `the selector or label the workloads`;
      return [{ object, path, message }];
    });
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: till-1}
spec: {address: 10.0.0.4, labels: {app: till}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: till}
spec:
  selector: {matchLabels: {app: tills}}
  mtls: {mode: STRICT}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: till-1}
spec: {address: 10.0.0.4, labels: {app: till}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: till}
spec:
  selector: {matchLabels: {app: till}}
  mtls: {mode: STRICT}
`,
  },
};
