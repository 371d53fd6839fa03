import { fieldsWithoutEffect } from "../effects.ts";
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
      (fieldsWithoutEffect.get(object.kind) ?? []).flatMap(({ path, values, note, level }) =>
        placesOf(object.spec, path.split(".").flatMap(splitIndex))
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

interface Place {
  readonly value: unknown;
  readonly path: FieldPath;
}

const placesOf = (value: unknown, steps: readonly string[], path: FieldPath = []): Place[] => {
  const [step, ...rest] = steps;
  if (step === undefined) return [{ value, path }];
  if (step === "[]") {
    return Array.isArray(value) ? value.flatMap((item, index) => placesOf(item, rest, [...path, index])) : [];
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  const entries = Object.entries(value).filter(([name]) => step === "*" || name === step);
  return entries.flatMap(([name, member]) => placesOf(member, rest, [...path, name]));
};
