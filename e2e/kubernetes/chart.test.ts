/** The chart of `weft install`, rendered by the template engine that Helm uses, is what the dry run prints. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { runWeft } from "./run-weft.ts";

/** Renders every file of a folder with the values of a JSON file, as Helm does: missing values are an error. */
const renderer = `package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/template"
)

func main() {
	text, _ := os.ReadFile(os.Args[1])
	var data map[string]any
	if err := json.Unmarshal(text, &data); err != nil {
		panic(err)
	}
	for _, path := range os.Args[2:] {
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		fmt.Println("---")
		parsed := template.Must(template.New(path).Option("missingkey=error").Parse(string(text)))
		if err := parsed.Execute(os.Stdout, data); err != nil {
			panic(err)
		}
	}
}
`;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
}
/** By kind and name; texts of ConfigMaps as what they say. */
const meaning = (text: string): ReadonlyMap<string, unknown> =>
  new Map(
    parseAllDocuments(text)
      .map((document) => document.toJS() as Manifest | null)
      .filter((object) => object !== null)
      .map((object) => {
        const { data } = object;
        const read = data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, parse(value)]));
        return [`${object.kind} ${object.metadata.name}`, { ...object, ...(read ? { data: read } : {}) }];
      }),
  );

test("the rendered chart is the printed manifests, with its defaults and with others", {
  timeout: 100_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "weft-test-chart-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const chart = join(folder, "chart");
  assert.equal((await runWeft(["install", "--chart", chart])).code, 0);
  writeFileSync(join(folder, "main.go"), renderer);
  const program = join(folder, "render");
  execFileSync("go", ["build", "-o", program, "main.go"], { cwd: folder });
  const templates = join(chart, "templates");
  const files = readdirSync(templates)
    .filter((name) => name !== "crds.yaml")
    .map((name) => join(templates, name));
  const defaults = parse(readFileSync(join(chart, "values.yaml"), "utf8")) as Readonly<Record<string, unknown>>;
  for (const values of [
    {},
    { revision: "canary", replicas: 5, store: "etcd://etcd:2379/weft", networkPolicy: true, createNamespace: true },
    { injectByDefault: true, nativeSidecars: false, image: "reg.example/a:1" },
  ]) {
    const data = join(folder, "data.json");
    writeFileSync(data, JSON.stringify({ Values: { ...defaults, ...values }, Release: { Namespace: "mesh" } }));
    const rendered = execFileSync(program, [data, ...files], { encoding: "utf8" });
    const given = { createNamespace: false, ...values, namespace: "mesh" };
    const settings = Object.entries(given).flatMap(([name, value]) => ["--set", `${name}=${String(value)}`]);
    const printed = await runWeft(["install", "--dry-run", ...settings]);
    assert.equal(printed.code, 0, printed.err);
    const wanted = new Map([...meaning(printed.out)].filter(([name]) => !name.startsWith("CustomResourceDefinition ")));
    assert.deepEqual(meaning(rendered), wanted);
  }
});
