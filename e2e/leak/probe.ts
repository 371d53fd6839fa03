/** Loaded into the sidecar ahead of everything (`--import`): on SIGUSR2 it collects garbage and says what is left. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

let asked = 0;
process.on("SIGUSR2", () => {
  // What a finaliser lets go of is collected by the next one.
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  asked++;
  process.stderr.write(`probe ${asked} ${JSON.stringify({ heapUsed, external, arrayBuffers, handles })}\n`);
});
