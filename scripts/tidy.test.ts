/** Checks of the code itself: who may import whom, who may touch the world, how long a file may grow. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");

/** A package imports only packages of a lower number; 0 and 1 do no input or output at all. */
const layers: ReadonlyMap<string, number> = new Map([
  ["core", 0],
  ["protocols", 1],
  ["xds", 1],
  ["config", 1],
  ["net", 2],
  ["control", 3],
  ["proxy", 3],
  ["testkit", 4],
  ["cli", 4],
]);
const pureBuiltins = new Set(["node:assert/strict", "node:assert", "node:crypto", "node:test", "node:util"]);

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly package: string;
  readonly imports: readonly string[];
  readonly kind: "code" | "bin" | "test";
}

const readSource = (path: string): SourceFile => {
  const text = readFileSync(join(root, path), "utf8");
  const imports = [
    ...text.matchAll(
      /(?:^|\n)(?:import|export)[^"';]*?from\s+"([^"]+)"|(?:^|\n)import\s+"([^"]+)"|import\("([^"]+)"\)/g,
    ),
  ];
  return {
    path,
    text,
    package: path.split("/")[1] ?? "",
    imports: imports.map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? ""),
    kind: path.endsWith(".test.ts") ? "test" : path.includes("/bin/") || path.includes("/testing/") ? "bin" : "code",
  };
};

/** What is wrong with one file, in words; empty when nothing is. */
export const untidy = (file: SourceFile): readonly string[] => {
  const found: string[] = [];
  const own = layers.get(file.package);
  if (own === undefined) return [`package ${file.package} has no layer; give it one in tidy.test.ts`];
  for (const name of file.imports) {
    const target = /^@weft\/([^/]+)/.exec(name)?.[1];
    if (target === file.package && !name.includes("/gen/"))
      found.push(`imports its own package as ${name}; use a relative path`);
    if (target && target !== file.package && file.kind !== "test" && (layers.get(target) ?? 99) >= own) {
      found.push(`imports ${name}, which is not below ${file.package}`);
    }
    const touchesWorld = name.startsWith("node:") && !pureBuiltins.has(name);
    if (touchesWorld && file.kind === "code" && file.package !== "net" && file.package !== "testkit") {
      found.push(`imports ${name}; only net and bin/ touch the world`);
    }
  }
  if (file.kind === "code" && file.package !== "testkit" && /\bprocess\.(env|argv)\b/.test(file.text))
    found.push("reads the environment; only bin/ does");
  const lines = file.text.split("\n").length;
  if (lines > (file.kind === "test" ? 600 : 400)) found.push(`has ${lines} lines: what second idea is in here?`);
  if (/\b(?:test|it|describe)\.only\(/.test(file.text)) found.push("narrows the tests with .only");
  if (file.kind === "code" && /\bconsole\./.test(file.text)) found.push("prints with console; take a logger");
  return found;
};

const paths = globSync("packages/*/src/**/*.ts", { cwd: root }).sort();

test("every source file keeps the layers, the purity rules and the size limit", () => {
  const problems = paths.map(readSource).flatMap((file) => untidy(file).map((problem) => `${file.path} ${problem}`));
  assert.deepEqual(problems, []);
});

test("planted violations are found", () => {
  const plant = (over: Partial<SourceFile>): readonly string[] =>
    untidy({ path: "packages/core/src/x.ts", text: "", package: "core", imports: [], kind: "code", ...over });
  assert.match(plant({ imports: ["@weft/proxy/routing/route"] })[0] ?? "", /not below core/);
  assert.match(plant({ package: "control", imports: ["@weft/proxy/x"] })[0] ?? "", /not below control/);
  assert.match(plant({ imports: ["node:fs"] })[0] ?? "", /touch the world/);
  assert.match(plant({ text: "process.env.HOME" })[0] ?? "", /environment/);
  assert.match(plant({ text: "\n".repeat(401) })[0] ?? "", /second idea/);
  assert.match(plant({ package: "new" })[0] ?? "", /no layer/);
  assert.match(plant({ imports: ["@weft/core/x"] })[0] ?? "", /relative/);
  assert.deepEqual(plant({ package: "proxy", imports: ["@weft/net/tcp/listen", "node:crypto"] }), []);
});

test("everything pluggable is in its folder's list", () => {
  for (const path of paths.filter((name) => !name.endsWith(".test.ts"))) {
    const text = readFileSync(join(root, path), "utf8");
    const name = /export const (\w+): (?:\w+Kind|Analyzer|Command) =/.exec(text)?.[1];
    if (!name || basename(path) === "index.ts") continue;
    const index = join(root, dirname(path), "index.ts");
    assert.match(readFileSync(index, "utf8"), new RegExp(`\\b${name}\\b`), `${path} is not listed in ${index}`);
  }
});

test("documents link to files that are there", () => {
  for (const document of globSync(["*.md", "docs/**/*.md"], { cwd: root })) {
    const text = readFileSync(join(root, document), "utf8");
    for (const [, target = ""] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const path = join(dirname(document), target);
      assert.ok(globSync(path, { cwd: root }).length > 0, `${document} links to ${target}, which does not exist`);
    }
  }
});

test("the lock file names no registry host", () => {
  assert.doesNotMatch(readFileSync(join(root, "package-lock.json"), "utf8"), /"resolved": "https?:/);
});
