import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldsWithoutEffect } from "./effects.ts";
import { kinds } from "./kinds/index.ts";
import type { Schema } from "./schema/schema.ts";

const schemaAt = (schema: Schema | undefined, steps: readonly string[]): Schema | undefined => {
  const [step, ...rest] = steps;
  if (step === undefined || schema === undefined) return schema;
  if (schema.kind === "map") return step === "*" ? schemaAt(schema.value, rest) : undefined;
  if (schema.kind !== "object") return undefined;
  const field = schema.fields[step.replace("[]", "")];
  return schemaAt(step.endsWith("[]") ? (field?.kind === "array" ? field.item : undefined) : field, rest);
};

test("every field said to be without effect is a field of its kind", () => {
  for (const [name, fields] of fieldsWithoutEffect) {
    const kind = kinds.find((one) => one.name === name && one.inert === undefined);
    assert.ok(kind, name);
    for (const { path, values } of fields) {
      const schema = schemaAt(kind.schema, path.split("."));
      assert.ok(schema, `${name}.${path}`);
      if (schema.kind === "enum") assert.ok(values?.every((value) => schema.values.includes(String(value))) ?? true);
    }
  }
});

test("every kind with an effect says which of its fields have none", () => {
  const effective = kinds.filter(({ inert }) => inert === undefined).map(({ name }) => name);
  assert.deepEqual([...fieldsWithoutEffect.keys()].sort(), effective.sort());
});
