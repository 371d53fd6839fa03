/** The mesh's settings as Istio keeps them in a cluster: the key `mesh` of the ConfigMap `istio` or `istio-REVISION`. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import { readMeshText } from "@weft/config/mesh-configs";
import { isRecord, type KubernetesObject } from "./kubernetes-object.ts";
import type { WatchedKind } from "./watched-kinds.ts";

export interface MeshConfigPlace {
  /** Of the control plane. */
  readonly namespace: string;
  readonly revision: string;
}

export const meshKey = "mesh";

/** The one ConfigMap, as a kind to be followed. */
export const meshConfigKind = ({ namespace, revision }: MeshConfigPlace): WatchedKind => {
  const name = revision === "default" ? "istio" : `istio-${revision}`;
  return {
    ...{ name: "ConfigMap", plural: "configmaps", group: "", versions: ["v1"], namespace, use: "mesh" },
    selector: `fieldSelector=metadata.name%3D${name}`,
  };
};

export interface MeshConfigRead {
  /** As an object of the root namespace, where such an object counts. `undefined`: it has an error. */
  readonly object: ConfigOf<"MeshConfig"> | undefined;
  readonly findings: readonly Finding[];
}

/** `undefined` where it says nothing of the mesh. */
export const readMeshConfigMap = (
  map: KubernetesObject,
  { file, rootNamespace }: { readonly file: string; readonly rootNamespace: string },
): MeshConfigRead | undefined => {
  const text = isRecord(map.data) ? map.data[meshKey] : undefined;
  if (typeof text !== "string") return undefined;
  const { name, creationTimestamp } = map.metadata;
  const facts = { kind: "MeshConfig", namespace: rootNamespace, name } as const;
  const findings: Finding[] = [];
  const { spec, document } = readMeshText(text, facts, (path, { code, level = "error", message }) => {
    const [line, column] = path.slice(-2).map(Number) as [number, number];
    const place = `line ${line}, column ${column} of its key ${meshKey}`;
    findings.push({ ...facts, code, level, message: `${message} (${place})`, file, line, column, also: [] });
  });
  if (spec === undefined) return { object: undefined, findings };
  const placeOf = (path: readonly (string | number)[]) => ({
    ...(document?.positionOf(path[0] === "spec" ? path.slice(1) : path) ?? { line: 0, column: 0 }),
    file,
  });
  const object: ConfigOf<"MeshConfig"> = {
    ...facts,
    ...{ apiVersion: "mesh.istio.io/v1alpha1", labels: {}, annotations: {}, spec },
    ...{ creationTimestamp, creationOrder: 0, source: placeOf([]), positionOf: placeOf },
  };
  return { object, findings };
};
