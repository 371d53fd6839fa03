/** Documents that are no configuration objects and yet often lie beside them: Envoy resources, parts of objects. */
import { kinds } from "./kinds/index.ts";
import type { Problem } from "./schema/problem.ts";
import type { Schema } from "./schema/schema.ts";

export const documentCodes = { fragment: "WF1010", inertKind: "WF1011", envoyResources: "WF1013" } as const;

/** `undefined` for what is, or was meant to be, an object with apiVersion, kind or metadata. */
export const describeLooseDocument = (value: Readonly<Record<string, unknown>>): Problem | undefined => {
  if (holdsEnvoyResources(value)) {
    const message = "Envoy resources have no effect in the control plane: give the file to a sidecar's bootstrap";
    return { code: documentCodes.envoyResources, level: "info", message };
  }
  if (["apiVersion", "kind", "metadata", "spec"].some((name) => Object.hasOwn(value, name))) return undefined;
  const names = Object.keys(value);
  if (names.length === 0)
    return { code: documentCodes.fragment, level: "warning", message: "an empty object is ignored" };
  if (looksMisspelt(names)) return undefined;
  const place = isContainerResources(value) ? "a container of a Kubernetes workload" : whereFieldsBelong(names);
  const hint =
    place === undefined ? "an object needs apiVersion, kind and metadata" : `it looks like a part of ${place}`;
  const message = `a document without kind is ignored (${names.slice(0, 5).join(", ")}): ${hint}`;
  return { code: documentCodes.fragment, level: "warning", message };
};

/** `resources` with requests or limits, as a Deployment or Istio's values have them. */
const isContainerResources = ({ resources, ...others }: Readonly<Record<string, unknown>>): boolean =>
  Object.keys(others).length === 0 &&
  typeof resources === "object" &&
  resources !== null &&
  Object.keys(resources).some((name) => name === "requests" || name === "limits");

/** Something as `apiversion` or `Kind`, so that an object was meant. */
const looksMisspelt = (names: readonly string[]): boolean =>
  names.some((name) => /^(api[_-]?version|kind|meta-?data|spec)$/i.test(name));

const holdsEnvoyResources = (value: Readonly<Record<string, unknown>>): boolean => {
  if ("static_resources" in value || "staticResources" in value || "dynamic_resources" in value) return true;
  if (isEnvoyType(value)) return true;
  const { resources } = value;
  return Array.isArray(resources) && resources.length > 0 && resources.every(isEnvoyType);
};

const isEnvoyType = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  "@type" in value &&
  typeof value["@type"] === "string" &&
  value["@type"].includes("/envoy.");

/** The first place in a kind's schema that has all these fields. */
const whereFieldsBelong = (names: readonly string[]): string | undefined => {
  for (const kind of kinds) {
    if (kind.inert !== undefined) continue;
    const found = findFields(kind.schema, names, kind.bodyIsRoot ? kind.name : `${kind.name}.spec`);
    if (found !== undefined) return found;
  }
  return undefined;
};

const findFields = (schema: Schema, names: readonly string[], path: string): string | undefined => {
  if (schema.kind === "array") return findFields(schema.item, names, `${path}[]`);
  if (schema.kind === "map") return findFields(schema.value, names, `${path}.*`);
  if (schema.kind !== "object") return undefined;
  if (names.every((name) => Object.hasOwn(schema.fields, name))) return path;
  for (const [name, field] of Object.entries(schema.fields)) {
    const found = findFields(field, names, `${path}.${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
};
