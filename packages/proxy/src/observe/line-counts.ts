import type { LineCounts } from "@weft/net/line-counts";
import type { Stats } from "./stats.ts";

/** Under Envoy's names for what it writes to files; lines that were lost are ours to name. */
export const lineCounts = (stats: Stats): LineCounts => ({
  lines: stats.counter("filesystem.write_buffered"),
  dropped: stats.counter("filesystem.lines_dropped"),
  writes: stats.counter("filesystem.write_completed"),
  failedWrites: stats.counter("filesystem.write_failed"),
  failedReopens: stats.counter("filesystem.reopen_failed"),
});
