import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { ownModule } from "./own-modules.ts";

const root = join(import.meta.dirname, "../../../..");
const importer = pathToFileURL(join(root, "packages/proxy/src/bin/sidecar.ts")).href;

test("every import of a module of ours leads where Node would go", () => {
  const seen = new Set<string>();
  for (const path of globSync("packages/*/src/**/*.ts", { cwd: root })) {
    const file = join(root, path);
    for (const [, name = ""] of readFileSync(file, "utf8").matchAll(/^(?:import|\} from) .*?"([^"]+)";$/gm)) {
      const key = name.startsWith(".") ? `${dirname(file)} ${name}` : name;
      const url = ownModule(name, pathToFileURL(file).href);
      if (url === undefined || seen.has(key)) continue;
      seen.add(key);
      assert.equal(url, pathToFileURL(createRequire(file).resolve(name)).href, `${path} imports ${name}`);
    }
  }
  assert.ok(seen.size > 100);
});

test("generated modules, other packages and builtins are left to Node", () => {
  for (const name of ["@weft/xds/gen/istio/ca", "@weft/xds", "commander", "node:fs", "./data.json", "#x"])
    assert.equal(ownModule(name, importer), undefined, name);
});

test("imports by others are left to Node", () => {
  const others = [undefined, "file:///elsewhere/packages/proxy/src/a.ts", importer.replace("/bin/", "/node_modules/")];
  for (const parent of others) assert.equal(ownModule("./b.ts", parent), undefined, `from ${parent}`);
});
