import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { depthMax, documentsMax } from "./limits.ts";
import { parseDocuments } from "./parse-documents.ts";

const values = (text: string) => parseDocuments(text, "f.yaml").documents.map(({ value }) => value);
const problems = (text: string) =>
  parseDocuments(text, "f.yaml").problems.map(({ code, line, column }) => `${code} ${line}:${column}`);

test("documents are read in order, and blank ones and comments are none", () => {
  assert.deepEqual(values("# head\n---\na: 1\n---\n\n---\n# only a comment\n---\nb: [x, 'y']\n...\n"), [
    { a: 1 },
    { b: ["x", "y"] },
  ]);
});

test("JSON is taken, also with tabs as indentation", () => {
  assert.deepEqual(values('{\n\t"a": [1, true, null],\n\t"b": "\\u00e9"\n}'), [{ a: [1, true, null], b: "é" }]);
});

test("a byte order mark, CRLF and directives are no part of the values", () => {
  assert.deepEqual(values("\uFEFF%YAML 1.2\r\n---\r\na: x\r\nb:\r\n- 1\r\n"), [{ a: "x", b: [1] }]);
});

test("words of other YAML versions stay texts and keys are texts", () => {
  assert.deepEqual(values("a: yes\n8080: {true: on}\n0x10: 1"), [{ a: "yes", "8080": { true: "on" }, "0x10": 1 }]);
});

test("a broken document is a problem at its place and the others are read", () => {
  for (const broken of ['a: "never closed', "a: {b: [1, 2", "a: [1, 2", "a: b: c", "a:\n\tb: 1", "- a\nb: 1", "@x"]) {
    const text = `x: 1\n---\n${broken}\n---\ny: 2\n`;
    assert.deepEqual(values(text), [{ x: 1 }, { y: 2 }], broken);
    const [problem, ...more] = parseDocuments(text, "f.yaml").problems;
    assert.deepEqual([problem?.code, problem?.level, more.length], ["WF1001", "error", 0], broken);
    assert.ok(problem && problem.line >= 3 && problem.line <= 5, broken);
  }
});

test("a marker ends a document even within a block scalar, as YAML says", () => {
  assert.deepEqual(values("a: |\n  text\n---\nb: 1"), [{ a: "text\n" }, { b: 1 }]);
  assert.deepEqual(values("a: |\n  text\n  --- inside\nb: 1"), [{ a: "text\n--- inside\n", b: 1 }]);
});

test("a key that stands twice refuses the document, with the place of the second", () => {
  assert.deepEqual(problems("a: 1\nb: 2\na: 3"), ["WF1012 3:1"]);
  assert.deepEqual(problems("x:\n  k: 1\n  'k': 2"), ["WF1012 3:3"]);
  assert.deepEqual(problems('{"k": 1,\n "k": 2}'), ["WF1012 2:2"]);
  assert.deepEqual(values("a: 1\na: 3"), []);
});

test("aliases are expanded and merge keys filled in", () => {
  assert.deepEqual(values("p: &p {x: 1, y: 2}\nq: {<<: *p, y: 3}\nr: [*p]"), [
    { p: { x: 1, y: 2 }, q: { y: 3, x: 1 }, r: [{ x: 1, y: 2 }] },
  ]);
});

test("an alias to nothing, to itself, or a merge of no map is refused", () => {
  assert.deepEqual(problems("a: *nothing").length, 1);
  assert.deepEqual(problems("a: &a [*a]"), ["WF1008 1:7"]);
  assert.deepEqual(problems("a: {<<: 3}").length, 1);
  assert.deepEqual(problems("? {a: 1}\n: 2"), ["WF1001 1:3"]);
});

test("aliases that multiply are stopped", () => {
  const lines = Array.from({ length: 12 }, (_, i) =>
    i === 0
      ? "a0: &a0 [x, x, x, x, x, x, x, x, x]"
      : `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(", ")}]`,
  );
  assert.deepEqual(
    parseDocuments(lines.join("\n"), "f").problems.map(({ code }) => code),
    ["WF1008"],
  );
});

test("nesting is bounded, whatever makes it", () => {
  const flow = (depth: number) => `a: ${"[".repeat(depth)}${"]".repeat(depth)}`;
  assert.deepEqual(problems(flow(depthMax - 2)), []);
  for (const deep of [flow(depthMax + 1), flow(20_000), "[".repeat(20_000), `${"- ".repeat(5000)}x`]) {
    assert.deepEqual(
      parseDocuments(deep, "f").problems.map(({ code }) => code),
      ["WF1008"],
    );
  }
});

test("documents beyond the bound are told and the first ones read", () => {
  const { documents, problems: found } = parseDocuments("---\na: 1\n".repeat(documentsMax + 1), "f");
  assert.equal(documents.length, documentsMax);
  assert.deepEqual(
    found.map(({ code, line }) => [code, line]),
    [["WF1008", 2 * documentsMax + 1]],
  );
});

test("control characters are refused", () => {
  assert.deepEqual(problems("a: 1\nb: \0x"), ["WF1001 2:4"]);
  assert.deepEqual(problems("\u0007"), ["WF1001 1:1"]);
});

test("names that JavaScript objects have by birth are plain keys", () => {
  const [value] = values("__proto__: {polluted: true}\nconstructor: 1");
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  assert.deepEqual(Object.keys(value as object), ["__proto__", "constructor"]);
});

test("every place is the key's line and column, across documents, lists and aliases", () => {
  const text =
    "x: 1\n---\nspec:\n  http:\n  - match:\n    - uri: {prefix: /a}\n    route: &r\n    - host: h\n  more: *r\n";
  const [, document] = parseDocuments(text, "f.yaml").documents;
  const at = (...path: (string | number)[]) => {
    const { line, column } = document!.positionOf(path);
    return `${line}:${column}`;
  };
  assert.equal(at(), "3:1");
  assert.equal(at("spec"), "3:1");
  assert.equal(at("spec", "http"), "4:3");
  assert.equal(at("spec", "http", 0), "5:5");
  assert.equal(at("spec", "http", 0, "match", 0, "uri", "prefix"), "6:21");
  assert.equal(at("spec", "http", 0, "route", 0, "host"), "8:13");
  assert.equal(at("spec", "more", 0, "host"), "8:13");
  assert.equal(at("spec", "http", 0, "timeout"), "5:5");
  assert.equal(at("spec", "tcp", 4), "3:1");
  assert.deepEqual(document!.positionOf(["spec", "http", 0, "route", 0, "host"], true), {
    file: "f.yaml",
    line: 8,
    column: 7,
  });
});

test("no text makes it throw, and what it reads as JSON equals JSON", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."ab:-[]{}&*!|>'\"#%@`, \n\t0<?"), maxLength: 60 }), (text) => {
      for (const { line, column } of parseDocuments(text, "f").problems) assert.ok(line >= 1 && column >= 1);
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const found = values(JSON.stringify(value));
      assert.deepEqual(found, value === null ? [] : [JSON.parse(JSON.stringify(value))]);
    }),
    { numRuns: 200 },
  );
});
