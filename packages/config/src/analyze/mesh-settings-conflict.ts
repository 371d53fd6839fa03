import { formatPosition } from "@weft/core/error";
import { compareAge } from "../config-object.ts";
import { meshConfigsOf } from "../mesh-configs.ts";
import type { Analyzer, Hit } from "./analyzer.ts";
import { notSuppressed } from "./suppress.ts";

/** Settings of the whole mesh stand twice, or where they do not hold. */
export const meshSettingsConflict: Analyzer = {
  code: "WF1147",
  level: "warning",
  also: [],
  title: "settings of the mesh stand twice or in the wrong namespace",
  explain: `A mesh has one MeshConfig and one MeshDefaults, in the root namespace (istio-system unless it was changed). Of several
there the oldest holds, whole; the others, and any in other namespaces, have no effect.`,
  run: ({ of, objects, rootNamespace }) =>
    [
      notSuppressed(meshConfigsOf(objects), meshSettingsConflict),
      notSuppressed(of("MeshDefaults"), meshSettingsConflict),
    ].flatMap((group) => {
      const inRoot = group.filter(({ namespace }) => namespace === rootNamespace).toSorted(compareAge);
      return group.flatMap((object): Hit[] => {
        const path = ["metadata", object.namespace === rootNamespace ? "name" : "namespace"];
        if (object.namespace !== rootNamespace) {
          const message = `a ${object.kind} holds only in the root namespace: write namespace: ${rootNamespace}`;
          return [{ object, path, message }];
        }
        const [oldest] = inRoot;
        if (!oldest || oldest === object) return [];
        const where = `${oldest.namespace}/${oldest.name} (${formatPosition(oldest.source)})`;
        return [{ object, path, message: `${object.kind} ${where} is older and holds: merge the two` }];
      });
    }),
  example: {
    bad: `
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: {name: mesh}
spec: {profile: istio}
`,
    good: `
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: {name: mesh, namespace: istio-system}
spec: {profile: istio}
`,
  },
};
