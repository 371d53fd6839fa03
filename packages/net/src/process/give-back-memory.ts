import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";
import { loadKoffi } from "../tcp/libc.ts";

type CollectGarbage = (options: { type: "major"; execution: "sync"; flavor: "regular" | "last-resort" }) => void;

let collect: CollectGarbage | undefined;

/**
 * The flag is the whole process's and is set once for good: a thread that took it back would take it from another that
 * is about to use it. Only contexts that are made later see it.
 */
const collector = (): CollectGarbage | undefined => {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("globalThis.gc") as CollectGarbage | undefined;
  }
  return collect;
};

/**
 * Collects this thread's garbage. Its requests wait meanwhile: for about half a millisecond for each megabyte that is
 * in use, so 0.1 s for 200 MB.
 */
export const collectGarbage = (): void => collector()?.({ type: "major", execution: "sync", flavor: "regular" });

/**
 * Collects all garbage and compacts the heap, once, at the end of a start: loading descriptors leaves more garbage than
 * it keeps, and a process that idles does not collect it. Takes some ten milliseconds; never where requests wait.
 */
export const giveBackMemory = (): void => {
  collector()?.({ type: "major", execution: "sync", flavor: "last-resort" });
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
