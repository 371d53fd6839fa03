import { type FieldWithoutEffect, fieldsWithoutEffect } from "../effects.ts";
import { type FieldPath, formatPath } from "../schema/problem.ts";
import type { Analyzer } from "./analyzer.ts";

/** A field is used that weft does not act on yet. */
export const fieldWithoutEffect: Analyzer = {
  code: "WF1130",
  level: "warning",
  also: [],
  title: "a field has no effect yet",
  explain: `The field is checked and kept, and nothing in the mesh acts on it so far. The message says what happens
instead. Nothing is dropped in silence: every such use is reported here.`,
  run: ({ objects }) =>
    objects.flatMap((object) =>
      (lookedFor.get(object.kind) ?? []).flatMap(({ steps, values, note, level }) =>
        placesOf(object.spec, steps)
          .filter(({ value }) => values === undefined || values.some((one) => one === value))
          .map(({ path: place, value }) => {
            const shown = values === undefined ? formatPath(place) : `${formatPath(place)} ${String(value)}`;
            const message = `${object.kind}.${shown} has no effect yet: ${note}`;
            return { object, path: [...root(object.kind), ...place], message, ...(level ? { level } : {}) };
          }),
      ),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: files}
spec:
  host: files
  trafficPolicy: {outlierDetection: {outlierDetectionHttpErrorCodes: [429]}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: files}
spec:
  host: files
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}
`,
  },
};

/** Kinds whose fields stand at the object's root. */
const rootKinds = new Set(["Endpoints", "EndpointSlice"]);
const root = (kind: string): FieldPath => (rootKinds.has(kind) ? [] : ["spec"]);

const splitIndex = (step: string): string[] => (step.endsWith("[]") ? [step.slice(0, -2), "[]"] : [step]);

const lookedFor: ReadonlyMap<string, readonly (FieldWithoutEffect & { readonly steps: readonly string[] })[]> = new Map(
  [...fieldsWithoutEffect].map(([kind, fields]) => [
    kind,
    fields.map((field) => ({ ...field, steps: field.path.split(".").flatMap(splitIndex) })),
  ]),
);

interface Place {
  readonly value: unknown;
  readonly path: FieldPath;
}

const none: readonly Place[] = [];

/** Most objects have none of it, so what is not there costs nothing. */
const placesOf = (value: unknown, steps: readonly string[], at = 0, path: FieldPath = []): readonly Place[] => {
  const step = steps[at];
  if (step === undefined) return [{ value, path }];
  if (Array.isArray(value)) {
    return step === "[]" ? value.flatMap((item, index) => placesOf(item, steps, at + 1, [...path, index])) : none;
  }
  if (typeof value !== "object" || value === null || step === "[]") return none;
  if (step === "*") {
    return Object.entries(value).flatMap(([name, member]) => placesOf(member, steps, at + 1, [...path, name]));
  }
  if (!Object.hasOwn(value, step)) return none;
  return placesOf((value as Readonly<Record<string, unknown>>)[step], steps, at + 1, [...path, step]);
};
