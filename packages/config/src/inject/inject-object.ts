/** Injection of what people have in files: workloads, pods, and lists of them. */
import type { FieldPath } from "../schema/problem.ts";
import type { InjectNote } from "./inject-note.ts";
import { type InjectRequest, injectPod } from "./inject-pod.ts";
import { isObject, type JsonObject, nameOf, objectOf, textsOf, valueAt } from "./json-values.ts";

/** What happened to one pod or template. */
export interface InjectedPart {
  readonly kind: "injected" | "left" | "refused";
  /** Such as `Deployment shop/web`. */
  readonly what: string;
  /** Why it was left; empty otherwise. */
  readonly why: string;
}

export interface InjectedObject {
  /** The object with every pod of it injected; the rest as it was. */
  readonly value: unknown;
  readonly parts: readonly InjectedPart[];
  /** Paths count from the object given. */
  readonly notes: readonly InjectNote[];
}

/** Where a kind has its pod. */
const templatePaths: ReadonlyMap<string, readonly string[]> = new Map([
  ["Pod", []],
  ["Deployment", ["spec", "template"]],
  ["StatefulSet", ["spec", "template"]],
  ["DaemonSet", ["spec", "template"]],
  ["ReplicaSet", ["spec", "template"]],
  ["ReplicationController", ["spec", "template"]],
  ["Job", ["spec", "template"]],
  ["CronJob", ["spec", "jobTemplate", "spec", "template"]],
  ["DeploymentConfig", ["spec", "template"]],
]);

export interface ObjectFacts extends Omit<InjectRequest, "pod" | "namespace" | "owner"> {
  /** Of objects that name none. */
  readonly defaultNamespace: string;
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>;
}

/** Objects of other kinds come back as they are, with no part. Never throws. */
export const injectObject = (value: unknown, facts: ObjectFacts): InjectedObject => {
  if (!isObject(value)) return { value, parts: [], notes: [] };
  if (Array.isArray(value.items) && String(value.kind ?? "").endsWith("List"))
    return injectList(value, value.items, facts);
  const path = templatePaths.get(String(value.kind));
  if (!path) return { value, parts: [], notes: [] };
  const metadata = objectOf(value.metadata);
  const name = nameOf(metadata) || String(metadata.generateName ?? "");
  const namespace = typeof metadata.namespace === "string" ? metadata.namespace : facts.defaultNamespace;
  const { defaultNamespace: _, namespaceLabels, ...common } = facts;
  const outcome = injectPod({
    ...common,
    pod: templateOf(value, path),
    namespace: { name: namespace, labels: namespaceLabels(namespace) },
    ...(path.length === 0
      ? {}
      : { owner: { apiVersion: String(value.apiVersion ?? "v1"), kind: String(value.kind), name } }),
  });
  const notes = outcome.notes.map((note) => ({ ...note, path: [...path, ...note.path] }));
  const what = `${String(value.kind)} ${namespace}/${name}`;
  const part = { kind: outcome.kind, what, why: outcome.kind === "left" ? outcome.why : "" };
  const injected = outcome.kind === "injected" ? replaceAt(value, path, outcome.pod) : value;
  return { value: injected, parts: [part], notes };
};

const injectList = (list: JsonObject, items: readonly unknown[], facts: ObjectFacts): InjectedObject => {
  const done = items.map((item) => injectObject(item, facts));
  const under = (index: number, path: FieldPath): FieldPath => ["items", index, ...path];
  return {
    value: { ...list, items: done.map(({ value }) => value) },
    parts: done.flatMap(({ parts }) => parts),
    notes: done.flatMap(({ notes }, index) => notes.map((note) => ({ ...note, path: under(index, note.path) }))),
  };
};

/** A template without the word of its object: what is said of the object's injection holds for its pods too. */
const templateOf = (value: JsonObject, path: readonly string[]): unknown => {
  const template = path.length === 0 ? value : valueAt(value, ...path);
  const label = textsOf(objectOf(value.metadata).labels)["sidecar.istio.io/inject"];
  if (path.length === 0 || label !== "false" || !isObject(template)) return template;
  const metadata = objectOf(template.metadata);
  return {
    ...template,
    metadata: { ...metadata, labels: { "sidecar.istio.io/inject": label, ...textsOf(metadata.labels) } },
  };
};

const replaceAt = (value: JsonObject, [key, ...rest]: readonly string[], pod: JsonObject): JsonObject =>
  key === undefined ? pod : { ...value, [key]: replaceAt(objectOf(value[key]), rest, pod) };
