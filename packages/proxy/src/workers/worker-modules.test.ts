/** What a worker's thread loads, followed from its entry through every import that is there when it runs. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const runtimeImports = (text: string): readonly string[] =>
  [...text.matchAll(/(?:^|\n)(import|export)\s(?!type\b)([^"';]*?from\s+)?"([^"]+)"|\bimport\("([^"]+)"\)/g)].flatMap(
    ([, , names = "", from, dynamic]) => {
      const only = /^\{([^}]*)\}\s*from/.exec(names.trim())?.[1];
      // Of `{ type A, type B }` nothing is left but the import of the module for its own sake, which stripping leaves out.
      const types = only?.split(",").every((name) => /^\s*(type\s|$)/.test(name));
      return types ? [] : [from ?? dynamic ?? ""];
    },
  );

const load = (entry: URL): ReadonlySet<string> => {
  const seen = new Set<string>();
  const visit = (url: string): void => {
    if (seen.has(url)) return;
    seen.add(url);
    if (!url.startsWith("file:") || !url.endsWith(".ts")) return;
    const require = createRequire(url);
    for (const name of runtimeImports(readFileSync(fileURLToPath(url), "utf8"))) {
      if (name.startsWith("node:")) continue;
      visit(name.startsWith(".") ? new URL(name, url).href : pathToFileURL(require.resolve(name)).href);
    }
  };
  visit(entry.href);
  return seen;
};

test("a worker loads what serves, and neither protobuf, its descriptors, the YAML reader nor the admin interface", () => {
  const loaded = [...load(new URL("../bin/worker.ts", import.meta.url))];
  assert.ok(loaded.some((url) => url.endsWith("/listeners/active-listener.ts")));
  assert.deepEqual(
    loaded.filter(
      (url) =>
        /@bufbuild|\/gen\/|xds\/src\/codec|\/yaml\/|\/admin\/|\/discovery\/[a-z-]+\.ts|commander/.test(url) &&
        !url.includes("/clusters/discovery"),
    ),
    [],
  );
});

test("the same look at the main thread finds protobuf there", () => {
  const loaded = [...load(new URL("../bin/sidecar.ts", import.meta.url))];
  assert.ok(loaded.some((url) => url.includes("@bufbuild")));
});
