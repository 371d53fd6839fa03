/** The difference of two JSON values as RFC 6902 has it. */
import { isObject } from "./json-values.ts";

export type JsonPatchStep =
  | { readonly op: "add" | "replace"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

/**
 * Steps that turn `before` into `after`: objects field by field, arrays by what lies between their common beginning and
 * end. A field that is `undefined` is absent.
 */
export const jsonPatch = (before: unknown, after: unknown): readonly JsonPatchStep[] => {
  const steps: JsonPatchStep[] = [];
  addDifference(steps, "", before, after);
  return steps;
};

const addDifference = (steps: JsonPatchStep[], path: string, before: unknown, after: unknown): void => {
  if (isObject(before) && isObject(after)) objectDifference(steps, path, before, after);
  else if (Array.isArray(before) && Array.isArray(after)) arrayDifference(steps, path, before, after);
  else if (before !== after) steps.push({ op: "replace", path, value: after });
};

const escapeKey = (key: string): string => key.replaceAll("~", "~0").replaceAll("/", "~1");

const objectDifference = (
  steps: JsonPatchStep[],
  path: string,
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): void => {
  const has = (value: object, key: string): boolean =>
    Object.hasOwn(value, key) && (value as Readonly<Record<string, unknown>>)[key] !== undefined;
  for (const key of Object.keys(before)) {
    if (has(before, key) && !has(after, key)) steps.push({ op: "remove", path: `${path}/${escapeKey(key)}` });
  }
  for (const key of Object.keys(after)) {
    if (!has(after, key)) continue;
    const at = `${path}/${escapeKey(key)}`;
    if (has(before, key)) addDifference(steps, at, before[key], after[key]);
    else steps.push({ op: "add", path: at, value: after[key] });
  }
};

const arrayDifference = (
  steps: JsonPatchStep[],
  path: string,
  before: readonly unknown[],
  after: readonly unknown[],
): void => {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && sameJson(before[start], after[start])) start++;
  let end = 0;
  while (end < shorter - start && sameJson(before[before.length - 1 - end], after[after.length - 1 - end])) end++;
  const removed = before.length - end - start;
  const added = after.length - end - start;
  const changed = Math.min(removed, added);
  for (let i = start; i < start + changed; i++) addDifference(steps, `${path}/${i}`, before[i], after[i]);
  for (let i = before.length - end - 1; i >= start + changed; i--) steps.push({ op: "remove", path: `${path}/${i}` });
  for (let i = start + changed; i < after.length - end; i++) {
    steps.push({ op: "add", path: `${path}/${i}`, value: after[i] });
  }
};

const sameJson = (a: unknown, b: unknown): boolean => {
  const steps: JsonPatchStep[] = [];
  addDifference(steps, "", a, b);
  return steps.length === 0;
};
