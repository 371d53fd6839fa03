import { readFileSync } from "node:fs";
import { getHeapStatistics } from "node:v8";

/** What this thread holds of memory, and how large its heap may become. */
export interface MemoryInUse {
  readonly heapBytes: number;
  /** Buffers and what else lives outside the heap. */
  readonly externalBytes: number;
  readonly heapLimitBytes: number;
}

export const memoryInUse = (): MemoryInUse => {
  const { used_heap_size, heap_size_limit } = getHeapStatistics();
  return {
    heapBytes: used_heap_size,
    externalBytes: process.memoryUsage().external,
    heapLimitBytes: heap_size_limit,
  };
};

/** The memory the system lets this process have: its control group's limit; `undefined` where there is none. */
export const memoryLimit = (): number | undefined => {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < Number.MAX_SAFE_INTEGER ? limit : undefined;
};

/** How many files and sockets this process may have open; `undefined` where the system does not say. */
export const openFilesMax = (): number | undefined => {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
};
