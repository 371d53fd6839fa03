/** Injection of a text of YAML or JSON documents, with the place of everything that is said about it. */
import type { Finding } from "../finding.ts";
import { parseDocuments, type SourceDocument } from "../yaml/parse-documents.ts";
import { type InjectNote, injectCodes } from "./inject-note.ts";
import { type InjectedPart, injectObject, type ObjectFacts } from "./inject-object.ts";
import { type InjectorValues, readInjectorValues } from "./injector-values.ts";
import { isObject, type JsonObject, nameOf, objectOf, valueAt } from "./json-values.ts";

export interface InjectedText {
  /** One for each document that could be read, injected where it has pods. */
  readonly documents: readonly unknown[];
  readonly parts: readonly InjectedPart[];
  readonly findings: readonly Finding[];
}

/** Never throws. Labels of namespaces are taken from Namespaces in the text, else from the facts. */
export const injectText = (text: string, file: string, facts: ObjectFacts): InjectedText => {
  const { documents, problems } = parseDocuments(text, file);
  const labels = new Map(documents.flatMap(({ value }) => [...namespaceLabels(value)]));
  const known = { ...facts, namespaceLabels: (name: string) => labels.get(name) ?? facts.namespaceLabels(name) };
  const findings: Finding[] = [...problems];
  const parts: InjectedPart[] = [];
  const values = documents.map((document) => {
    if (!isObject(document.value)) {
      findings.push(findingAt(document, notAnObject));
      return document.value;
    }
    const done = injectObject(document.value, known);
    findings.push(...done.notes.map((note) => findingAt(document, note)));
    parts.push(...done.parts);
    return done.value;
  });
  return { documents: values, parts, findings };
};

const notAnObject: InjectNote = {
  ...{ code: injectCodes.badPod, level: "error" },
  message: "a document must be an object with apiVersion, kind and metadata",
  path: [],
};

const namespaceLabels = (value: unknown): ReadonlyMap<string, Readonly<Record<string, string>>> => {
  if (!isObject(value) || value.kind !== "Namespace") return new Map();
  const metadata = objectOf(value.metadata);
  return new Map([[nameOf(metadata), objectOf(metadata.labels) as Readonly<Record<string, string>>]]);
};

const findingAt = (document: SourceDocument, { code, level, message, path }: InjectNote): Finding => {
  const metadata = objectOf(valueAt(document.value, "metadata"));
  return {
    ...{ code, level, message, also: [] },
    kind: String(valueAt(document.value, "kind") ?? ""),
    namespace: String(metadata.namespace ?? ""),
    name: nameOf(metadata),
    ...document.positionOf(path, path.at(-2) === "annotations"),
  };
};

/** Values as a file has them: the injector's ConfigMap, or what is in its `values` alone. */
export const readValuesText = (
  text: string,
  file: string,
): { readonly values: InjectorValues; readonly notes: readonly InjectNote[] } => {
  const { documents } = parseDocuments(text, file);
  const maps = documents
    .map(({ value }) => value)
    .filter((value): value is JsonObject => isObject(value) && value.kind === "ConfigMap");
  const map = maps.find((one) => typeof valueAt(one, "data", "values") === "string") ?? maps[0];
  if (!map) return readInjectorValues(text, file);
  const inner = valueAt(map, "data", "values");
  return readInjectorValues(typeof inner === "string" ? inner : "", `${file} (data.values)`);
};
