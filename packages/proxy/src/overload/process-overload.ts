import { memoryLimit, openFilesMax } from "@weft/net/process/process-limits";
import { runtimeBytes } from "./limits.ts";
import { type ConfiguredOverload, defaultOverload, mergeOverload, type OverloadSettings } from "./overload-settings.ts";
import { createShrinkCell } from "./shrink-turn.ts";

/** One thread's share of what the process may use. It can cross to a worker. */
export interface OverloadShare {
  readonly settings: OverloadSettings;
  readonly memoryLimitBytes: number | undefined;
  readonly threads: number;
  /** What the threads take turns by to collect garbage. */
  readonly shrinkCell: SharedArrayBuffer;
}

/** The bootstrap's settings over the defaults for this machine, divided among `threads` that serve. */
export const overloadShare = (
  configured: ConfiguredOverload | undefined,
  memoryLimitBytes: number | undefined,
  threads: number,
): OverloadShare => {
  const whole = mergeOverload(configured, defaultOverload(openFilesMax()));
  const bytes = memoryLimitBytes ?? memoryLimit();
  // Beside several workers the main thread has a heap of its own.
  const heaps = threads === 1 ? 1 : threads + 1;
  return {
    settings: {
      ...whole,
      connectionsMax: Math.max(1, Math.floor(whole.connectionsMax / threads)),
      resources: whole.resources.map((resource) =>
        resource.kind === "memory" && resource.limitBytes !== undefined
          ? { ...resource, limitBytes: resource.limitBytes / threads }
          : resource,
      ),
    },
    memoryLimitBytes: bytes === undefined ? undefined : Math.max(1, (bytes - runtimeBytes) / heaps),
    threads,
    shrinkCell: createShrinkCell(),
  };
};
