/** YAML reads `name: 80` as a number; where a message has text, the text is what was meant. */
import { type DescField, type DescMessage, type Registry, ScalarType } from "@bufbuild/protobuf";
import { registry as knownTypes } from "./registry.ts";

const depthMax = 100;

const isObject = (json: unknown): json is Readonly<Record<string, unknown>> =>
  typeof json === "object" && json !== null && !Array.isArray(json);

/**
 * The same with whole numbers as text where the message has a string. Other numbers stay, for 1.10 was not 1.1; so does
 * everything else that does not fit.
 */
export const integersAsText = (desc: DescMessage, json: unknown, registry: Registry = knownTypes): unknown =>
  inMessage(desc, json, { registry, depth: 0 });

interface Context {
  readonly registry: Registry;
  readonly depth: number;
}

const inMessage = (desc: DescMessage, json: unknown, { registry, depth }: Context): unknown => {
  if (!isObject(json) || depth > depthMax) return json;
  const context = { registry, depth: depth + 1 };
  if (desc.typeName === "google.protobuf.Any") {
    const url = json["@type"];
    const inner = typeof url === "string" ? registry.getMessage(url.slice(url.lastIndexOf("/") + 1)) : undefined;
    return inner && inner.typeName !== "google.protobuf.Any" ? inMessage(inner, json, context) : json;
  }
  if (desc.typeName.startsWith("google.protobuf.")) return json;
  const entries = Object.entries(json).map(([key, value]): [string, unknown] => {
    const field = desc.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    return [key, field ? inField(field, value, context) : value];
  });
  return Object.fromEntries(entries);
};

const inField = (field: DescField, json: unknown, context: Context): unknown => {
  if (field.fieldKind === "list")
    return Array.isArray(json) ? json.map((item) => inSingle(field, item, context)) : json;
  if (field.fieldKind !== "map" || !isObject(json)) return inSingle(field, json, context);
  return Object.fromEntries(Object.entries(json).map(([key, item]) => [key, inSingle(field, item, context)]));
};

const inSingle = (field: DescField, json: unknown, context: Context): unknown => {
  if (field.message) return inMessage(field.message, json, context);
  return field.scalar === ScalarType.STRING && Number.isSafeInteger(json) ? String(json) : json;
};
