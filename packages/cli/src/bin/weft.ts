/** The `weft` program: reads the world once, then hands over to one command. */
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { findOwnModules } from "./own-modules.ts";

const cache = join(import.meta.dirname, "../../../../node_modules/.cache/weft");
enableCompileCache(cache);
// Ours alone: what a user's program compiles is not to be found there.
delete process.env.NODE_COMPILE_CACHE;
findOwnModules();

const { main } = await import("../main.ts");
const { exitWithParent } = await import("@weft/net/process/child");

exitWithParent(process.env);
const stopping = new AbortController();
const argv = process.argv.slice(2);
// cp, sidecar and agent drain on signals by themselves, also within a pod.
if (!["cp", "sidecar", "agent", "pod"].includes(argv[0] ?? "")) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
}
// A reader that went away (`weft get … | head`) is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const code = await main(argv, {
  env: process.env,
  cwd: process.cwd(),
  root: join(import.meta.dirname, "../../../.."),
  isTty: Boolean(process.stdout.isTTY && process.stdin.isTTY),
  print: (text) => process.stdout.write(text),
  printError: (text) => process.stderr.write(text),
  signal: stopping.signal,
});
process.exitCode = code;
// Keep-alive connections of the API client would hold the process for seconds.
if (process.stdout.writableLength === 0) process.exit(code);
process.stdout.once("drain", () => process.exit(code));
