import { appendFile, closeSync, openSync, writeSync } from "node:fs";

/** Lines waiting to be written to one file; more are dropped and counted rather than held. */
const heldBytesMax = 4 * 1024 * 1024;

interface OpenFile {
  lines: string[];
  bytes: number;
  writing: boolean;
}

/** Appends lines to files and standard streams, gathered over a turn; order within a file is kept. */
export class LineFiles {
  /** Lines that were dropped because a file did not take them fast enough, or at all. */
  dropped = 0;
  private readonly files = new Map<string, OpenFile>();

  readonly write = (path: string, line: string): void => {
    let file = this.files.get(path);
    if (file === undefined) {
      file = { lines: [], bytes: 0, writing: false };
      this.files.set(path, file);
    }
    if (file.bytes + line.length > heldBytesMax) {
      this.dropped++;
      return;
    }
    file.lines.push(line);
    file.bytes += line.length;
    if (!file.writing) this.schedule(path, file);
  };

  /** Writes what is held, at once: for the end of the process. */
  flush(): void {
    for (const [path, file] of this.files) {
      if (file.lines.length === 0) continue;
      const text = take(file);
      try {
        const standard = standardStream(path);
        if (standard !== undefined) writeSync(standard, text);
        else {
          const fd = openSync(path, "a");
          writeSync(fd, text);
          closeSync(fd);
        }
      } catch {
        this.dropped++;
      }
    }
  }

  private schedule(path: string, file: OpenFile): void {
    file.writing = true;
    setImmediate(() => {
      const count = file.lines.length;
      const text = take(file);
      const done = (error?: Error | null): void => {
        if (error) this.dropped += count;
        file.writing = false;
        if (file.lines.length > 0) this.schedule(path, file);
      };
      if (text === "") done();
      else if (path === "/dev/stdout") process.stdout.write(text, done);
      else if (path === "/dev/stderr") process.stderr.write(text, done);
      else appendFile(path, text, done);
    });
  }
}

const take = (file: OpenFile): string => {
  const text = file.lines.join("");
  file.lines = [];
  file.bytes = 0;
  return text;
};

const standardStream = (path: string): number | undefined =>
  path === "/dev/stdout" ? 1 : path === "/dev/stderr" ? 2 : undefined;
