/** For tests: one pod injected, and parts of what came out. */
import assert from "node:assert/strict";
import { type InjectOutcome, type InjectRequest, injectPod } from "../inject-pod.ts";
import { defaultInjectorValues } from "../injector-values.ts";
import { type JsonObject, objectsOf, valueAt } from "../json-values.ts";

export interface PodParts {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: JsonObject;
}

export const podOf = ({ labels, annotations, spec }: PodParts = {}): JsonObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
  spec: { containers: [{ name: "web", image: "example/web" }], ...spec },
});

export const injectOne = (parts: PodParts = {}, more: Partial<InjectRequest> = {}): InjectOutcome =>
  injectPod({
    pod: podOf(parts),
    namespace: { name: "shop", labels: {} },
    values: defaultInjectorValues,
    nativeSidecars: false,
    ...more,
  });

/** The injected pod; fails where it was not. */
export const injected = (parts: PodParts = {}, more: Partial<InjectRequest> = {}): JsonObject => {
  const outcome = injectOne(parts, more);
  assert.equal(outcome.kind, "injected", JSON.stringify(outcome));
  return outcome.kind === "injected" ? outcome.pod : {};
};

export const containersNamed = (pod: JsonObject, field: "containers" | "initContainers"): readonly unknown[] =>
  objectsOf(valueAt(pod, "spec", field)).map(({ name }) => name);

export const containerOf = (pod: JsonObject, name: string): JsonObject => {
  const all = ["containers", "initContainers"].flatMap((field) => objectsOf(valueAt(pod, "spec", field)));
  return all.find((container) => container.name === name) ?? {};
};

/** The words after a flag of a container's command line. */
export const argumentOf = (container: JsonObject, flag: string): unknown => {
  const args = container.args as readonly string[];
  return args[args.indexOf(flag) + 1];
};

export const envOf = (container: JsonObject): ReadonlyMap<unknown, unknown> =>
  new Map(objectsOf(container.env).map(({ name, value }) => [name, value]));
