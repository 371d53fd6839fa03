/** Fills the compile cache at set-up, so that the first start of a mesh is as quick as every later one. */
import { globSync } from "node:fs";
import { enableCompileCache, flushCompileCache } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "../../../..");
enableCompileCache(join(root, "node_modules/.cache/weft"));
await import("./own-modules.ts");
await import("../main.ts");
await (await import("../commands/index.ts")).loadCommands();
await import("@weft/config/parse-config");
await import("@weft/control/bin/cp");
await import("@weft/proxy/bin/sidecar");
await import("@weft/proxy/bin/agent");
// The shop's programs start when they are loaded: on any port, calling nobody, and without a word.
process.env.PORT = "0";
process.env.TARGET = "http://127.0.0.1:9/";
process.stdout.write = () => true;
for (const path of globSync("examples/shop/services/*.ts", { cwd: root })) {
  await import(pathToFileURL(join(root, path)).href);
}
flushCompileCache();
process.exit(0);
