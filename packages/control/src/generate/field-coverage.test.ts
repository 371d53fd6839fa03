import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type FieldWithoutEffect, fieldsWithoutEffect } from "@weft/config/effects";
import { kinds } from "@weft/config/kinds/index";
import type { Kind } from "@weft/config/kinds/kind";
import { parseConfig } from "@weft/config/parse-config";
import { type Leaf, type LeafPath, leafName, leavesOf, withLeaf, withoutLeaf } from "@weft/config/schema/leaves";
import { basesFor, fieldBases } from "../testing/field-bases.ts";
import { fieldMesh } from "../testing/field-mesh.ts";
import { actsElsewhere, refusedFields } from "../testing/field-pending.ts";
import { asWritten, firstSample, samplesFor } from "../testing/field-samples.ts";

const outcomeOf = fieldMesh();

type Outcome = (spec: unknown) => string | undefined;

/** What all proxies get with the object; `undefined` where it is not valid. */
const outcomes = (kind: Kind): Outcome => {
  const seen = new Map<string, string | undefined>();
  const namespace = kind.name.startsWith("Mesh") ? "istio-system" : "default";
  return (spec) => {
    const apiVersion = `${kind.group}/${kind.versions[0]}`;
    const text = JSON.stringify({ apiVersion, kind: kind.name, metadata: { name: "sample", namespace }, spec });
    if (!seen.has(text)) {
      const { objects, findings } = parseConfig(text, "field.yaml", 1000);
      const valid = findings.every(({ level }) => level !== "error");
      seen.set(text, valid ? outcomeOf(objects) : undefined);
    }
    return seen.get(text);
  };
};

/** The object with each value in turn, without the field, and as it was where it had the field already. */
const variants = (kind: Kind, base: unknown, leaf: Leaf): unknown[] => {
  const written = samplesFor(leaf).map((value) => withLeaf(kind.schema, base, { path: leaf.path, value }, firstSample));
  const bare = withoutLeaf(written[0], leaf.path);
  const same = JSON.stringify(withoutLeaf(base, leaf.path)) === JSON.stringify(bare);
  return [...written, bare, ...(same ? [base] : [])];
};

/** How much of the way to a field an object has already: the field most likely means something there. */
const depthOf = (value: unknown, [step, ...rest]: LeafPath): number => {
  if (step === undefined || typeof value !== "object" || value === null) return 0;
  const name = step === "[]" ? "0" : step === "*" ? Object.keys(value)[0] : step;
  const member = name === undefined ? undefined : (value as Readonly<Record<string, unknown>>)[name];
  return member === undefined ? 0 : 1 + depthOf(member, rest);
};

/** How many different outcomes the field alone makes with some object: 0 when no value is accepted anywhere. */
const effectOf = (kind: Kind, leaf: Leaf, outcome: Outcome, basesMax = Number.POSITIVE_INFINITY): number => {
  let most = 0;
  const nearest = basesFor(kind.name, leafName(leaf.path)).toSorted(
    (a, b) => depthOf(b, leaf.path) - depthOf(a, leaf.path),
  );
  for (const base of nearest.slice(0, basesMax)) {
    const found = new Set<string>();
    for (const spec of variants(kind, base, leaf)) {
      const given = outcome(spec);
      if (given !== undefined) found.add(given);
      if (found.size > 1) return 2;
    }
    most = Math.max(most, found.size);
  }
  return most;
};

/** What is said of the field, if it is said to have no effect. */
const toldOf = (kind: string, name: string): FieldWithoutEffect | undefined =>
  (fieldsWithoutEffect.get(kind) ?? []).find(({ path, values }) => values === undefined && isWithin(name, path));

/** The field itself, or one of its parts. */
const isWithin = (name: string, path: string): boolean =>
  name === path || name.startsWith(`${path}.`) || name.startsWith(`${path}[]`);

/** A field that is said to have no effect is tried in so many objects only, or the test would take minutes. */
const toldBasesMax = 1;

for (const kind of kinds.filter(({ name }) => fieldBases.has(name))) {
  test(`every field of ${kind.name} changes what some proxy gets, or is said to have no effect`, () => {
    const outcome = outcomes(kind);
    const refused = new Set(refusedFields.get(kind.name));
    const elsewhere = [...(actsElsewhere.get(kind.name)?.keys() ?? [])];
    const wrong: string[] = [];
    for (const leaf of leavesOf(kind.schema).map(asWritten)) {
      const name = leafName(leaf.path);
      const told = toldOf(kind.name, name);
      const acts = elsewhere.some((path) => isWithin(name, path));
      const effective = effectOf(kind, leaf, outcome, told || acts ? toldBasesMax : undefined) > 1;
      if (effective && told && !told.inResources) wrong.push(`${name} has an effect: take it out of effects.ts`);
      else if (effective && acts) wrong.push(`${name} has an effect: take it out of field-pending.ts`);
      else if (told && acts) wrong.push(`${name} is in effects.ts: take it out of one of the two`);
      else if (!effective && !told && !acts && !refused.has(name)) wrong.push(`${name} does nothing`);
    }
    assert.deepEqual(wrong, []);
  });
}

test("an object has the same outcome whatever was there before it", () => {
  for (const kind of kinds.filter(({ name }) => fieldBases.has(name))) {
    const bases = basesFor(kind.name, "");
    const first = bases.map((base) => outcomes(kind)(base));
    assert.deepEqual(
      bases.toReversed().map((base) => outcomes(kind)(base)),
      first.toReversed(),
      kind.name,
    );
  }
});

test("fields that are said to be refused are", () => {
  for (const kind of kinds) {
    const outcome = outcomes(kind);
    for (const leaf of leavesOf(kind.schema).filter(({ path }) =>
      refusedFields.get(kind.name)?.includes(leafName(path)),
    )) {
      const written = basesFor(kind.name, "").flatMap((base) =>
        variants(kind, base, leaf).slice(0, samplesFor(leaf).length),
      );
      assert.ok(written.length > 0 && written.every((spec) => outcome(spec) === undefined), leafName(leaf.path));
    }
  }
});

test("what is refused is a field of its kind, and so is what acts elsewhere, of which a test speaks", () => {
  const knownOf = (name: string): readonly string[] => {
    const kind = kinds.find((one) => one.name === name);
    assert.ok(kind, name);
    return leavesOf(kind.schema).map((leaf) => leafName(asWritten(leaf).path));
  };
  for (const [name, fields] of refusedFields)
    for (const field of fields) assert.ok(knownOf(name).includes(field), `${name}.${field}`);
  for (const [name, fields] of actsElsewhere) {
    const known = knownOf(name);
    for (const [field, file] of fields) {
      const inside = known.filter((one) => isWithin(one, field));
      assert.ok(inside.length > 0, `${name}.${field}`);
      const text = readFileSync(new URL(`../../../../${file}`, import.meta.url), "utf8");
      for (const leaf of inside) {
        const word = leaf.split(/[.[\]*]+/).findLast((step) => step !== "") ?? "";
        assert.ok(text.includes(word), `${file} does not speak of ${name}.${leaf}`);
      }
    }
  }
});
