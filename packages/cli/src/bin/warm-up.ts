/** Fills the compile cache at set-up, so that the first start of a mesh is as quick as every later one. */
import { enableCompileCache, flushCompileCache } from "node:module";
import { join } from "node:path";

enableCompileCache(join(import.meta.dirname, "../../../../node_modules/.cache/weft"));
await import("../main.ts");
await import("../commands/index.ts");
await import("@weft/control/bin/cp");
await import("@weft/proxy/bin/sidecar");
await import("@weft/proxy/bin/agent");
flushCompileCache();
process.exit(0);
