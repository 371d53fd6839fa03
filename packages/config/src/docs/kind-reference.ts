/** Prints the reference of a kind from its schema. */
import { fieldsWithoutEffect } from "../effects.ts";
import type { Kind } from "../kinds/kind.ts";
import type { Schema } from "../schema/schema.ts";

/** Markdown: what the kind is for and a table of its fields, with those that have no effect yet marked. */
export const kindReference = (kind: Kind): string => {
  const apiVersions = kind.versions.map((version) => `\`${kind.group === "" ? "" : `${kind.group}/`}${version}\``);
  const head = [`# ${kind.name}`, kind.about, `apiVersion: ${apiVersions.join(", ")}`];
  if (kind.schema.open) return `${head.join("\n\n")}\n`;
  if (kind.inert !== undefined) head.push(`**No effect yet**: ${kind.inert}.`);
  const without = new Map((fieldsWithoutEffect.get(kind.name) ?? []).map((field) => [field.path, field]));
  const rows = rowsOf(kind.schema, "").map(({ path, schema }) => {
    const missing = without.get(path);
    const limited = missing?.values === undefined ? "" : `${missing.values.join(", ")}: `;
    const effect = missing === undefined ? "" : ` **${limited}no effect yet**: ${missing.note}.`;
    const old = schema.deprecated === undefined ? "" : ` *Deprecated: ${schema.deprecated}.*`;
    const must = schema.required ? " **required**" : "";
    return (
      `| \`${path}\`${must} | ${typeText(schema)} | ${cell(schema.default ?? "")} | ` +
      `${cell(schema.about)}${old}${effect} |`
    );
  });
  const table = ["| Field | Type | Default | Meaning |", "|---|---|---|---|", ...rows].join("\n");
  return `${[...head, table].join("\n\n")}\n`;
};

interface Row {
  readonly path: string;
  readonly schema: Schema;
}

const rowsOf = (schema: Schema, path: string): Row[] => {
  switch (schema.kind) {
    case "object":
      return Object.entries(schema.fields).flatMap(([name, field]) => {
        const at = path === "" ? name : `${path}.${name}`;
        return [{ path: at, schema: field }, ...rowsOf(field, at)];
      });
    case "array":
      return rowsOf(schema.item, `${path}[]`);
    case "map":
      return rowsOf(schema.value, `${path}.*`);
    default:
      return [];
  }
};

/** `list of text`, `one of A, B`, `whole number 1–65535`. */
export const typeText = (schema: Schema): string => {
  switch (schema.kind) {
    case "array":
      return `list of ${typeText(schema.item)}`;
    case "map":
      return `map of ${typeText(schema.value)}`;
    case "enum":
      return `one of ${schema.values.join(", ")}`;
    case "int":
      return `whole number ${schema.min}–${schema.max}`;
    case "number":
      return schema.max === undefined ? "number" : `number ${schema.min ?? 0}–${schema.max}`;
    case "string":
      return schema.format === "regex" || schema.format === "regexOrPresence" ? "RE2 expression" : "text";
    case "bool":
      return "true or false";
    case "intOrString":
      return "number or text";
    case "duration":
    case "object":
      return schema.kind;
    case "any":
      return "anything";
    default:
      return schema satisfies never;
  }
};

const cell = (text: string): string => text.replaceAll("|", "\\|");
