/** Gives JSON Schema (draft 2020-12) for a kind, so that editors complete and check the files. */
import type { Kind } from "../kinds/kind.ts";
import { metadataSchema } from "../metadata.ts";
import type { Schema } from "../schema/schema.ts";

export type JsonSchema = { readonly [keyword: string]: unknown };

/** A schema for whole objects of the kind. */
export const kindJsonSchema = (kind: Kind): JsonSchema => {
  const body = valueJsonSchema(kind.schema);
  const apiVersions = kind.versions.map((version) => (kind.group === "" ? version : `${kind.group}/${version}`));
  const head = {
    apiVersion: { enum: apiVersions },
    kind: { const: kind.name },
    metadata: valueJsonSchema(metadataSchema),
    status: {},
  };
  const spec = kind.bodyIsRoot ? (body.properties as JsonSchema) : { spec: body };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: kind.name,
    description: kind.about,
    type: "object",
    properties: { ...head, ...spec },
    required: ["apiVersion", "kind", "metadata"],
    additionalProperties: kind.schema.open === true,
  };
};

/** A schema for a value. Formats that only weft can check stay texts. */
export const valueJsonSchema = (schema: Schema): JsonSchema => {
  const notes = { description: schema.about, ...(schema.deprecated === undefined ? {} : { deprecated: true }) };
  switch (schema.kind) {
    case "string":
      return { type: "string", ...notes, ...defined({ minLength: schema.minLength, maxLength: schema.maxLength }) };
    case "enum":
      return { enum: schema.values, ...notes };
    case "int":
      return { type: "integer", minimum: schema.min, maximum: schema.max, ...notes };
    case "number":
      return { type: "number", ...notes, ...defined({ minimum: schema.min, maximum: schema.max }) };
    case "bool":
      return { type: "boolean", ...notes };
    case "duration":
      return { type: "string", pattern: "^[+-]?(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$", ...notes };
    case "intOrString":
      return { type: ["integer", "string"], ...notes };
    case "any":
      return notes;
    case "array": {
      const bounds = defined({ minItems: schema.minItems, maxItems: schema.maxItems });
      return { type: "array", items: valueJsonSchema(schema.item), ...notes, ...bounds };
    }
    case "map":
      return { type: "object", additionalProperties: valueJsonSchema(schema.value), ...notes };
    case "object": {
      const entries = Object.entries(schema.fields);
      const required = entries.filter(([, field]) => field.required).map(([name]) => name);
      return {
        type: "object",
        ...notes,
        properties: Object.fromEntries(entries.map(([name, field]) => [name, valueJsonSchema(field)])),
        ...(required.length === 0 ? {} : { required }),
        additionalProperties: schema.open === true,
      };
    }
    default:
      return schema satisfies never;
  }
};

const defined = (values: Readonly<Record<string, unknown>>): JsonSchema =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
