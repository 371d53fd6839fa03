import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPath, type Problem } from "./problem.ts";
import { bool, duration, int, intOrString, list, mapOf, object, oneWord, required, text } from "./schema.ts";
import { validateValue } from "./validate.ts";

const schema = object(
  "A thing.",
  {
    name: required(text("Its name.", { minLength: 1, maxLength: 8 })),
    size: int("Its size.", { min: 1, max: 9 }),
    mode: oneWord(["FAST", "SLOW"], "How."),
    wait: duration("How long.", { minMs: 1 }),
    on: bool("Whether."),
    port: intOrString("A port."),
    parts: list(object("A part.", { id: text("Id."), count: int("Count.") }, { oneOf: [["id", "count"]] }), "Parts.", {
      maxItems: 2,
    }),
    labels: mapOf(text("A value."), "Labels."),
    old: text("Old.", { deprecated: "write name" }),
  },
  { oneOf: [["size", "mode"]] },
);

const run = (value: unknown) => {
  const problems: string[] = [];
  const report = (path: readonly (string | number)[], { code, message, level = "error" }: Problem) =>
    problems.push(`${code} ${level} ${formatPath(path)}: ${message}`);
  return { value: validateValue(schema, value, "Thing", [], report), problems };
};

test("a value that fits comes back without nulls, and older words for booleans as booleans", () => {
  const { value, problems } = run({
    name: "a",
    size: null,
    on: "yes",
    parts: [{ id: "x" }],
    labels: { k: "v" },
    port: "http",
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(value, { name: "a", on: true, parts: [{ id: "x" }], labels: { k: "v" }, port: "http" });
});

const bad: readonly (readonly [string, unknown, string])[] = [
  [
    "an unknown field near a known one",
    { name: "a", sise: 1 },
    'WF1003 error sise: unknown field "sise" in Thing — did you mean "size"?',
  ],
  [
    "an unknown field inside a list",
    { name: "a", parts: [{ ident: "x" }] },
    'WF1003 error parts[0].ident: unknown field "ident" in Thing.parts[0]',
  ],
  ["the only missing field under another name", { label_text: "a" }, 'did you mean "name"?'],
  ["a missing field", { size: 1 }, 'WF1005 error : Thing lacks "name": Its name.'],
  ["a missing field given as null", { name: null }, 'WF1005 error : Thing lacks "name"'],
  [
    "a number for a text",
    { name: 1.1 },
    "WF1004 error name: Thing.name must be a text, not the number 1.1; put it in quotes",
  ],
  [
    "a text for a number",
    { name: "a", size: "3" },
    'WF1004 error size: Thing.size must be a whole number, not the text "3"',
  ],
  ["a fraction", { name: "a", size: 1.5 }, "WF1004 error size"],
  ["a number out of range", { name: "a", size: 10 }, "WF1006 error size: Thing.size is 10; it must be at most 9"],
  ["an empty text", { name: "" }, "WF1006 error name: Thing.name must not be empty"],
  ["a long text", { name: "x".repeat(9) }, "WF1006 error name: Thing.name is longer than 8 characters"],
  [
    "a word in the wrong case",
    { name: "a", mode: "fast" },
    'Thing.mode is "fast" — did you mean FAST? (accepted: FAST, SLOW)',
  ],
  ["a duration without unit", { name: "a", wait: 5 }, "write a unit, such as 5s"],
  ["a duration that is none", { name: "a", wait: "5 minutes" }, "WF1006 error wait"],
  ["a duration no proxy can hold", { name: "a", wait: "2562048h" }, "it must be shorter than 292 years"],
  ["a duration that is too short", { name: "a", wait: "0s" }, "it must be at least 1ms"],
  ["a word for a boolean", { name: "a", on: "maybe" }, "WF1004 error on: Thing.on must be true or false"],
  [
    "an object for a list",
    { name: "a", parts: { id: "x" } },
    "WF1004 error parts: Thing.parts must be a list, not an object",
  ],
  [
    "an empty entry",
    { name: "a", parts: [null] },
    "WF1004 error parts[0]: Thing.parts[0] must be an object, not empty",
  ],
  ["too many entries", { name: "a", parts: [{}, {}, {}] }, "WF1006 error parts: Thing.parts has 3 entries"],
  ["a number in a map of texts", { name: "a", labels: { version: 1 } }, "WF1004 error labels.version"],
  [
    "fields that exclude each other",
    { name: "a", size: 1, mode: "FAST" },
    'WF1007 error mode: Thing has "size" and "mode"',
  ],
  [
    "fields that exclude each other further in",
    { name: "a", parts: [{ id: "x", count: 1 }] },
    "WF1007 error parts[0].count",
  ],
  ["a deprecated field", { name: "a", old: "x" }, "WF1014 warning old: Thing.old is deprecated: write name"],
  ["something else than an object", [], "WF1004 error : Thing must be an object, not a list"],
];

for (const [what, value, wanted] of bad) {
  test(`${what} is told with its place and cure`, () => {
    const { problems } = run(value);
    assert.ok(problems[0]?.includes(wanted), `${problems[0]}`);
  });
}
