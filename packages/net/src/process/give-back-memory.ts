import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";
import { loadKoffi } from "../tcp/libc.ts";

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
  if (isMainThread) trimAllocator();
};

/** What was freed outside the heap stays with the C library until it is told; others than glibc have no word for it. */
const trimAllocator = (): void => {
  try {
    loadKoffi()?.load(null).func("int malloc_trim(size_t pad)")(0);
  } catch {
    // It is only a saving.
  }
};
