import { meshConfigsOf } from "../mesh-configs.ts";
import type { Analyzer } from "./analyzer.ts";
import { notSuppressed } from "./suppress.ts";

/** MeshConfig names another trust domain than the one that identities are issued under. */
export const trustDomainConflict: Analyzer = {
  code: "WF1152",
  level: "warning",
  also: [],
  title: "MeshConfig names another trust domain than the control plane has",
  explain: `Identities are issued under the trust domain that the control plane and the sidecars were started with (\`--trust-domain\`,
cluster.local unless given); MeshConfig does not change it. Policies that name principals of another one match nobody.`,
  run: ({ objects, trustDomain }) =>
    notSuppressed(meshConfigsOf(objects), trustDomainConflict).flatMap((object) => {
      const wanted = object.spec.trustDomain;
      if (!wanted || wanted === trustDomain) return [];
      const message = `identities are of ${trustDomain}, not of ${wanted}: start the control plane and the sidecars with --trust-domain ${wanted}, or write ${trustDomain} here`;
      return [{ object, path: ["spec", "trustDomain"], message }];
    }),
  example: {
    bad: `
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {trustDomain: shop.example}
`,
    good: `
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {trustDomain: cluster.local}
`,
  },
};
