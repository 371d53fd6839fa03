import { formatPosition } from "@weft/core/error";
import type { Analyzer } from "./analyzer.ts";
import { notSuppressed } from "./suppress.ts";

/** Two objects of one kind have the same namespace and name. */
export const duplicateObject: Analyzer = {
  code: "WF1105",
  level: "error",
  also: [],
  title: "two objects have the same name",
  explain: `A kind's objects are told apart by namespace and name. Of two with the same, the later one read would
replace the earlier, depending on the order of files. Rename or remove one.`,
  run: ({ objects }) => {
    const groups = Map.groupBy(notSuppressed(objects, duplicateObject), ({ kind, namespace, name, apiVersion }) =>
      [kind, apiVersion.split("/").length > 1 ? apiVersion.split("/")[0] : "", namespace, name].join("/"),
    );
    return [...groups.values()].flatMap(([first, ...others]) =>
      others.map((object) => {
        const at = first ? formatPosition(first.source) : "";
        const name = `${object.kind} ${object.namespace}/${object.name}`;
        const message = `${name} is already defined at ${at}: rename or remove one`;
        return { object, path: ["metadata", "name"], message };
      }),
    );
  },
  example: {
    bad: `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: strict, namespace: default}
spec: {mtls: {mode: PERMISSIVE}}
`,
    good: `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: strict, namespace: other}
spec: {mtls: {mode: PERMISSIVE}}
`,
  },
};
