import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../parse-config.ts";
import { analyze } from "./analyze.ts";
import { explain, listCodes } from "./explain.ts";
import { analyzers } from "./index.ts";

const findings = (text: string) => {
  const { objects, findings: reading } = parseConfig(text, "mesh.yaml");
  assert.deepEqual(
    reading.filter(({ level }) => level === "error"),
    [],
  );
  return analyze(objects);
};

for (const { code, title, level, also, example } of analyzers) {
  test(`${code} is reported on its bad example: ${title}`, () => {
    const found = findings(example.bad).filter((finding) => finding.code === code);
    assert.ok(found.length > 0);
    for (const finding of found) {
      assert.equal(finding.file, "mesh.yaml");
      assert.ok(finding.line > 1 && finding.column > 0);
      assert.ok(finding.kind !== "" && finding.namespace !== "" && finding.name !== "");
      assert.deepEqual(finding.also, also);
      assert.match(finding.message, /[:?;]/, "the message names the cure");
    }
    assert.ok(found.some((finding) => finding.level === level));
  });

  test(`${code} is not reported once put right: ${title}`, () => {
    assert.deepEqual(
      findings(example.good).filter((finding) => finding.code === code),
      [],
    );
  });
}

test("each code is used once and explained", () => {
  const codes = listCodes().map(({ code }) => code);
  assert.deepEqual(codes, [...new Set(codes)].sort());
  for (const code of codes) assert.match(explain(code) ?? "", new RegExp(`^## ${code} .{10}`));
});

test("codes of Istio and Kiali lead to ours, and unknown codes to nothing", () => {
  assert.match(explain("ist0130") ?? "", /^## WF1109 /);
  assert.match(explain("KIA1102") ?? "", /^## WF1103 /);
  assert.equal(explain("WF9999"), undefined);
});
