/** A kind's schema as Kubernetes wants it: structural OpenAPI v3. */
import type { Schema } from "../schema/schema.ts";

export type OpenApi = { readonly [keyword: string]: unknown };

/**
 * Types, words and required fields. Texts with a form of their own stay texts, and bounds of numbers stay out: they are
 * the validation webhook's, so that an object some cluster holds already is not locked.
 */
export const structuralSchema = (schema: Schema, withAbout: boolean): OpenApi => {
  const notes = withAbout ? { description: schema.about } : {};
  switch (schema.kind) {
    case "string":
    case "duration":
      return { type: "string", ...notes };
    case "enum":
      return { type: "string", enum: schema.values, ...notes };
    case "int":
      return { type: "integer", ...(schema.max > 2_147_483_647 ? { format: "int64" } : {}), ...notes };
    case "number":
      return { type: "number", ...notes };
    case "bool":
      return { type: "boolean", ...notes };
    case "intOrString":
      return { "x-kubernetes-int-or-string": true, ...notes };
    case "any":
      return { "x-kubernetes-preserve-unknown-fields": true, ...notes };
    case "array":
      return { type: "array", items: structuralSchema(schema.item, withAbout), ...notes };
    case "map":
      return { type: "object", additionalProperties: structuralSchema(schema.value, withAbout), ...notes };
    case "object": {
      const entries = Object.entries(schema.fields);
      const required = entries.filter(([, field]) => field.required).map(([name]) => name);
      const properties = entries.map(([name, field]) => [name, structuralSchema(field, withAbout)]);
      return {
        type: "object",
        ...notes,
        ...(entries.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
        ...(required.length === 0 ? {} : { required }),
        ...(schema.open === true || entries.length === 0 ? { "x-kubernetes-preserve-unknown-fields": true } : {}),
      };
    }
    default:
      return schema satisfies never;
  }
};
