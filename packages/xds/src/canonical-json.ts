import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { StructSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { knownMessages } from "./registry.ts";

/** JSON names of the fields whose JSON object has keys that somebody chose: maps and Structs. */
const keyedFields: ReadonlySet<string> = new Set(
  knownMessages().flatMap(({ fields }) =>
    fields.flatMap((field) => {
      const free =
        field.message?.typeName === StructSchema.typeName || field.message?.typeName === ValueSchema.typeName;
      return field.fieldKind === "map" || free ? [field.jsonName, field.name] : [];
    }),
  ),
);

const isObject = (json: JsonValue): json is JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json);

const isSorted = (keys: readonly string[]): boolean => {
  for (let i = 1; i < keys.length; i++) if ((keys[i - 1] as string) > (keys[i] as string)) return false;
  return true;
};

/**
 * The same JSON with the keys of every protobuf map and Struct in ascending order, which is the order they are
 * encoded in. Members of messages keep their order: field numbers decide theirs. Copies only what it changes.
 */
export const canonicalJson = (json: JsonValue): JsonValue => rebuild(json, false);

const rebuild = (json: JsonValue, sort: boolean): JsonValue => {
  if (Array.isArray(json)) {
    let copy: JsonValue[] | undefined;
    for (let i = 0; i < json.length; i++) {
      const before = json[i] as JsonValue;
      const after = rebuild(before, sort);
      if (after !== before) {
        copy ??= json.slice();
        copy[i] = after;
      }
    }
    return copy ?? json;
  }
  return isObject(json) ? rebuildObject(json, sort) : json;
};

const rebuildObject = (json: JsonObject, sort: boolean): JsonValue => {
  const keys = Object.keys(json);
  const changed = new Map<string, JsonValue>();
  for (const key of keys) {
    const before = json[key] as JsonValue;
    if (typeof before !== "object" || before === null) continue;
    const after = rebuild(before, sort || keyedFields.has(key));
    if (after !== before) changed.set(key, after);
  }
  if (changed.size === 0 && (!sort || isSorted(keys))) return json;
  const order = sort ? keys.sort() : keys;
  return Object.fromEntries(order.map((key) => [key, changed.get(key) ?? (json[key] as JsonValue)]));
};
