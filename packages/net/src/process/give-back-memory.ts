import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type CollectGarbage = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/**
 * Collects all garbage and compacts the heap, once, at the end of a start: loading descriptors leaves more garbage than
 * it keeps, and a process that idles does not collect it. Takes some ten milliseconds; never where requests wait.
 */
export const giveBackMemory = (): void => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("globalThis.gc") as CollectGarbage | undefined;
  setFlagsFromString("--no-expose-gc");
  collect?.({ type: "major", execution: "sync", flavor: "last-resort" });
};
