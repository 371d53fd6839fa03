/** MeshConfig where Istio keeps it: the key `mesh` of a ConfigMap `istio` or `istio-REVISION`. */
import { type ConfigObject, type ConfigOf, compareAge, objectsOfKind } from "./config-object.ts";
import { type MeshConfigSpec, meshConfig } from "./kinds/mesh-config.ts";
import { shapeCodes } from "./schema/codes.ts";
import type { FieldPath, Problem } from "./schema/problem.ts";
import { validateValue } from "./schema/validate.ts";
import { parseDocuments, type SourceDocument } from "./yaml/parse-documents.ts";

/**
 * Every MeshConfig, oldest first: documents of that kind, and those in ConfigMaps, which have the ConfigMap's name and
 * namespace. A text that is not valid is left out; reading the ConfigMap has told why.
 */
export const meshConfigsOf = (objects: readonly ConfigObject[]): readonly ConfigOf<"MeshConfig">[] =>
  [...objectsOfKind(objects, "MeshConfig"), ...objects.flatMap(fromConfigMap)].toSorted(compareAge);

/** What a ConfigMap says of the mesh; `undefined` where it is none for that. */
export const meshTextOf = (kind: string, name: string, body: unknown): string | undefined => {
  if (kind !== "ConfigMap" || !/^istio(-[a-z0-9-]+)?$/.test(name)) return undefined;
  const mesh = (body as { readonly data?: { readonly mesh?: unknown } | null } | undefined)?.data?.mesh;
  return typeof mesh === "string" ? mesh : undefined;
};

/**
 * Checks the text. `path` counts from the ConfigMap's root, with line and column within the text at its end. A field that
 * is not known is a warning and is dropped: the text may be of a newer Istio.
 */
export const readMeshText = (
  text: string,
  names: { readonly name: string; readonly namespace: string },
  report: (path: FieldPath, problem: Problem) => void,
): ReadMeshText => {
  const { documents, problems } = parseDocuments(text, "");
  let failed = problems.length > 0;
  for (const { code, message, line, column } of problems) report([...meshPath, line, column], { code, message });
  const [document] = documents;
  if (!document) return { spec: failed ? undefined : {}, document };
  const tell = (path: FieldPath, problem: Problem): void => {
    const { line, column } = document.positionOf(path, problem.onKey);
    const level = problem.code === shapeCodes.unknownField ? "warning" : (problem.level ?? "error");
    failed ||= level === "error";
    report([...meshPath, line, column], { ...problem, level, onKey: false });
  };
  const spec = validateValue(meshConfig.schema, document.value, "MeshConfig", [], tell) as MeshConfigSpec | undefined;
  if (!failed) meshConfig.validate(spec, { ...names, labels: {}, annotations: {}, report: tell });
  return { spec: failed ? undefined : spec, document };
};

interface ReadMeshText {
  /** Absent when the text has an error. */
  readonly spec: MeshConfigSpec | undefined;
  readonly document: SourceDocument | undefined;
}

const meshPath: FieldPath = ["data", "mesh"];

const fromConfigMap = (object: ConfigObject): ConfigOf<"MeshConfig">[] => {
  const text = meshTextOf(object.kind, object.name, object.spec);
  if (text === undefined) return [];
  const { spec, document } = readMeshText(text, object, () => {});
  if (spec === undefined) return [];
  const positionOf: ConfigObject["positionOf"] = (path) => {
    const at = document?.positionOf(path[0] === "spec" ? path.slice(1) : path);
    return object.positionOf(at ? [...meshPath, at.line, at.column] : meshPath);
  };
  return [{ ...object, kind: "MeshConfig", apiVersion: "mesh.istio.io/v1alpha1", spec, positionOf }];
};
