import { formatPosition } from "@weft/core/error";
import type { Analyzer } from "./analyzer.ts";

/** Two PeerAuthentications of one namespace have the same scope. */
export const peerAuthenticationConflict: Analyzer = {
  code: "WF1116",
  level: "warning",
  also: ["KIA0002", "KIA0003"],
  title: "two PeerAuthentications have the same scope",
  explain: `One PeerAuthentication without a selector holds for a namespace, and one holds for a workload: the
oldest. Another with the same scope has no effect. Merge them.`,
  run: ({ of }) => {
    const groups = Map.groupBy(of("PeerAuthentication"), ({ namespace, spec }) => {
      const labels = Object.entries(spec.selector?.matchLabels ?? {}).map(([name, value]) => `${name}=${value}`);
      return `${namespace} ${labels.sort().join()}`;
    });
    return [...groups.values()].flatMap(([oldest, ...others]) =>
      others.map((object) => {
        const at = oldest ? `${oldest.namespace}/${oldest.name} (${formatPosition(oldest.source)})` : "";
        const message = `PeerAuthentication ${at} has the same scope and is older, so it wins: merge the two`;
        return { object, path: ["spec"], message };
      }),
    );
  },
  example: {
    bad: `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: first}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: second}
spec: {mtls: {mode: PERMISSIVE}}
`,
    good: `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: first}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: second}
spec:
  selector: {matchLabels: {app: legacy}}
  mtls: {mode: PERMISSIVE}
`,
  },
};
