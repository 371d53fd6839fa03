import type { LineOut } from "@weft/core/line-out";
import { type LineCounts, ownLineCounts } from "./line-counts.ts";
import { LineFile } from "./line-file.ts";

/** What one character of a string takes at most. */
const utf8BytesMax = 3;

/**
 * Appends lines to files and standard streams without ever waiting for them: lines are gathered and written by other
 * threads, at most one write at a time for each file. Order within a file is kept.
 */
export class LineFiles {
  readonly counts: LineCounts;
  private readonly files = new Map<string, LineFile>();

  constructor(counts: LineCounts = ownLineCounts()) {
    this.counts = counts;
  }

  /** Where the lines of that file go; the same for the same path. */
  readonly open = (path: string): LineOut => this.fileAt(path);

  readonly write = (path: string, line: string): void => {
    const file = this.fileAt(path);
    if (!file.begin()) return;
    file.room(line.length * utf8BytesMax);
    file.at += file.bytes.write(line, file.at);
    file.end();
  };

  get heldBytes(): number {
    let bytes = 0;
    for (const { heldBytes } of this.files.values()) bytes += heldBytes;
    return bytes;
  }

  /** Files are opened by their paths again with the next line: what was moved away is left alone from then on. */
  reopen(): void {
    for (const file of this.files.values()) file.reopen();
  }

  /** Writes what is held, at once: for the end of the process. Keeps no file open. */
  flush(): void {
    for (const file of this.files.values()) file.flush();
  }

  private fileAt(path: string): LineFile {
    const known = this.files.get(path);
    if (known) return known;
    const file = new LineFile(path, this.counts);
    this.files.set(path, file);
    return file;
  }
}
