/** The fields of a schema that hold values, and ways to write to them in a value. */
import type { ObjectSchema, Schema } from "./schema.ts";

/** Steps from the root: a field's name, `[]` for an item of a list, `*` for an entry of a map. */
export type LeafPath = readonly string[];

export interface Leaf {
  readonly path: LeafPath;
  readonly schema: Schema;
}

/** Every field that holds a value and no further fields; an object without any is one itself. */
export const leavesOf = (schema: Schema, path: LeafPath = []): Leaf[] => {
  switch (schema.kind) {
    case "object": {
      const fields = Object.entries(schema.fields);
      return fields.length === 0
        ? [{ path, schema }]
        : fields.flatMap(([name, field]) => leavesOf(field, [...path, name]));
    }
    case "array":
      return leavesOf(schema.item, [...path, "[]"]);
    case "map":
      return leavesOf(schema.value, [...path, "*"]);
    default:
      return [{ path, schema }];
  }
};

/** `http[].match[].headers.*.exact`, as `effects.ts` writes it. */
export const leafName = (path: LeafPath): string => path.join(".").replaceAll(".[]", "[]");

/** Values for fields by schema: what is put where an object needs a field to be valid. */
export type SampleOf = (schema: Schema, path: LeafPath) => unknown;

/**
 * The value with the leaf written: what is missing on the way is made, with its required fields from `sampleOf`, and
 * fields that exclude those on the way are taken out. Lists and maps are written at their first entry.
 */
export const withLeaf = (
  schema: Schema,
  value: unknown,
  leaf: { readonly path: LeafPath; readonly value: unknown; readonly at?: LeafPath },
  sampleOf: SampleOf,
): unknown => {
  const { path, at = [] } = leaf;
  const [step, ...rest] = path;
  if (step === undefined) return leaf.value;
  const inner = { path: rest, value: leaf.value, at: [...at, step] };
  if (schema.kind === "array") {
    const [first, ...others] = Array.isArray(value) ? value : [];
    return [withLeaf(schema.item, first, inner, sampleOf), ...others];
  }
  if (schema.kind === "map") {
    const entries = Object.entries((value as Readonly<Record<string, unknown>> | undefined) ?? {});
    const [name, given] = entries[0] ?? [String(sampleOf({ kind: "string", about: "" }, [...at, "key"])), undefined];
    return { ...Object.fromEntries(entries), [name]: withLeaf(schema.value, given, inner, sampleOf) };
  }
  if (schema.kind !== "object") return leaf.value;
  const field = schema.fields[step];
  if (!field) throw new Error(`no field ${step}`);
  const given = (value as Readonly<Record<string, unknown>> | undefined) ?? requiredFields(schema, at, sampleOf);
  const rivals = new Set((schema.oneOf ?? []).flatMap((group) => (group.includes(step) ? group : [])));
  const kept = Object.entries(given).filter(([name]) => name === step || !rivals.has(name));
  return { ...Object.fromEntries(kept), [step]: withLeaf(field, given[step], inner, sampleOf) };
};

/** The value without the leaf; a list or map of plain values goes whole. */
export const withoutLeaf = (value: unknown, path: LeafPath): unknown => {
  const [step, next, ...rest] = path;
  if (step === undefined || value === undefined || value === null) return value;
  if (Array.isArray(value)) {
    const [first, ...others] = value;
    return value.length === 0 ? value : [withoutLeaf(first, path.slice(1)), ...others];
  }
  const entries = Object.entries(value as Readonly<Record<string, unknown>>);
  const last = next === undefined || (rest.length === 0 && (next === "[]" || next === "*"));
  const name = step === "*" ? entries[0]?.[0] : step;
  return Object.fromEntries(
    entries.flatMap(([key, member]) => {
      if (key !== name) return [[key, member]];
      return last ? [] : [[key, withoutLeaf(member, path.slice(1))]];
    }),
  );
};

const requiredFields = (schema: ObjectSchema, at: LeafPath, sampleOf: SampleOf): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(schema.fields).flatMap(([name, field]) =>
      field.required ? [[name, sampleValue(field, [...at, name], sampleOf)]] : [],
    ),
  );

/** A value of the schema with what is required and no more. */
export const sampleValue = (schema: Schema, at: LeafPath, sampleOf: SampleOf): unknown => {
  if (schema.kind === "object") return requiredFields(schema, at, sampleOf);
  if (schema.kind === "array") return [sampleValue(schema.item, [...at, "[]"], sampleOf)];
  if (schema.kind === "map") return { sample: sampleValue(schema.value, [...at, "*"], sampleOf) };
  return sampleOf(schema, at);
};
