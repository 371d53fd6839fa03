import { close, closeSync, constants, open, openSync, write, writeSync } from "node:fs";

/** Bytes waiting to be written to one file; further lines are dropped and counted rather than held. */
const heldBytesMax = 4 * 1024 * 1024;
/** Lines are written when so many bytes wait, or so long after the first of them. */
const flushBytes = 64 * 1024;
const flushMs = 100;
/** Lines are gathered in pieces of this size; one that was written is kept for each file. */
const pieceBytes = 80 * 1024;

/** Not to wait for a reader where the path is a pipe: nothing of the process may hang on a log. */
const openFlags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

interface Count {
  add(n: number): void;
  readonly value: number;
}
/** How the writing of lines goes. */
export interface LineCounts {
  /** Lines handed over, and those that were lost: the file did not take them fast enough, or at all. */
  readonly lines: Count;
  readonly dropped: Count;
  readonly writes: Count;
  readonly failedWrites: Count;
  readonly failedReopens: Count;
}

const count = (): Count => {
  let value = 0;
  return {
    add: (n) => {
      value += n;
    },
    get value() {
      return value;
    },
  };
};
const ownCounts = (): LineCounts => ({
  lines: count(),
  dropped: count(),
  writes: count(),
  failedWrites: count(),
  failedReopens: count(),
});

interface LineFile {
  readonly path: string;
  fd: number | undefined;
  /** It was open before: that it cannot be opened again is another failure than that it never was. */
  opened: boolean;
  /** What is being filled, and how far; those that are full before it. */
  piece: Buffer | undefined;
  at: number;
  readonly full: Buffer[];
  spare: Buffer | undefined;
  heldBytes: number;
  heldLines: number;
  writing: boolean;
  reopening: boolean;
  timer: NodeJS.Timeout | undefined;
}

type Done = (error: NodeJS.ErrnoException | null) => void;

/**
 * Appends lines to files and standard streams without ever waiting for them: lines are gathered and written by other
 * threads, at most one write at a time for each file. Order within a file is kept.
 */
export class LineFiles {
  readonly counts: LineCounts;
  private readonly files = new Map<string, LineFile>();

  constructor(counts: LineCounts = ownCounts()) {
    this.counts = counts;
  }

  readonly write = (path: string, line: string): void => {
    const file = this.files.get(path) ?? this.add(path);
    this.counts.lines.add(1);
    if (file.heldBytes + line.length > heldBytesMax) {
      this.counts.dropped.add(1);
      return;
    }
    // Bytes at once: text that waits is copied by each collection of garbage.
    const piece = spaceFor(file, line.length * utf8BytesMax);
    const bytes = piece.write(line, file.at);
    file.at += bytes;
    file.heldBytes += bytes;
    file.heldLines++;
    if (file.writing) return;
    if (file.heldBytes >= flushBytes) this.send(file);
    else file.timer ??= setTimeout(() => this.send(file), flushMs).unref();
  };

  get heldBytes(): number {
    let bytes = 0;
    for (const { heldBytes } of this.files.values()) bytes += heldBytes;
    return bytes;
  }

  /** Files are opened by their paths again with the next line: what was moved away is left alone from then on. */
  reopen(): void {
    for (const file of this.files.values()) file.reopening = true;
  }

  /** Writes what is held, at once: for the end of the process. Keeps no file open. */
  flush(): void {
    for (const file of this.files.values()) {
      clearTimeout(file.timer);
      file.timer = undefined;
      if (file.heldBytes > 0) this.writeNow(file);
      if (file.writing || file.fd === undefined || isStandard(file.fd)) continue;
      closeSync(file.fd);
      file.fd = undefined;
    }
  }

  private writeNow(file: LineFile): void {
    const count = file.heldLines;
    const bytes = take(file);
    try {
      const fd = file.fd ?? openSync(file.path, openFlags, 0o644);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      if (file.fd === undefined) closeSync(fd);
      this.counts.writes.add(1);
    } catch {
      this.failed(count);
    }
  }

  private add(path: string): LineFile {
    const fd = path === "/dev/stdout" ? 1 : path === "/dev/stderr" ? 2 : undefined;
    const file: LineFile = {
      path,
      fd,
      opened: false,
      piece: undefined,
      at: 0,
      full: [],
      spare: undefined,
      heldBytes: 0,
      heldLines: 0,
      writing: false,
      reopening: false,
      timer: undefined,
    };
    this.files.set(path, file);
    return file;
  }

  private send(file: LineFile): void {
    clearTimeout(file.timer);
    file.timer = undefined;
    if (file.heldBytes === 0 || file.writing) return;
    file.writing = true;
    const count = file.heldLines;
    const bytes = take(file);
    const done: Done = (error) => {
      file.writing = false;
      giveBack(file, bytes);
      if (error) this.failed(count);
      else this.counts.writes.add(1);
      if (file.heldBytes >= flushBytes) this.send(file);
      else if (file.heldBytes > 0) file.timer ??= setTimeout(() => this.send(file), flushMs).unref();
    };
    this.ready(file, (error, fd) => {
      if (error || fd === undefined) done(error);
      else writeAll(fd, bytes, 0, done);
    });
  }

  /** The file's descriptor, opened where there is none or another one is asked for. */
  private ready(file: LineFile, then: (error: NodeJS.ErrnoException | null, fd?: number) => void): void {
    const { fd } = file;
    if (fd !== undefined && (!file.reopening || isStandard(fd))) {
      then(null, fd);
      return;
    }
    file.reopening = false;
    file.fd = undefined;
    if (fd !== undefined) close(fd, () => undefined);
    open(file.path, openFlags, 0o644, (error, opened) => {
      if (error) {
        if (file.opened) this.counts.failedReopens.add(1);
        then(error);
        return;
      }
      file.opened = true;
      file.fd = opened;
      then(null, opened);
    });
  }

  private failed(count: number): void {
    this.counts.failedWrites.add(1);
    this.counts.dropped.add(count);
  }
}

const isStandard = (fd: number): boolean => fd <= 2;

/** What one character of a string takes at most. */
const utf8BytesMax = 3;

/** The piece to write into, with so much free behind `at`. */
const spaceFor = (file: LineFile, bytes: number): Buffer => {
  if (file.piece !== undefined && file.piece.length - file.at >= bytes) return file.piece;
  if (file.piece !== undefined && file.at > 0) file.full.push(file.piece.subarray(0, file.at));
  const { spare } = file;
  file.spare = undefined;
  file.piece =
    spare !== undefined && spare.length >= bytes ? spare : Buffer.allocUnsafeSlow(Math.max(pieceBytes, bytes));
  file.at = 0;
  return file.piece;
};

const take = (file: LineFile): Buffer => {
  const last = file.piece?.subarray(0, file.at) ?? Buffer.alloc(0);
  const bytes = file.full.length === 0 ? last : Buffer.concat([...file.full, last]);
  file.full.length = 0;
  file.piece = undefined;
  file.at = 0;
  file.heldBytes = 0;
  file.heldLines = 0;
  return bytes;
};

/** The memory of what was written serves again. */
const giveBack = (file: LineFile, { buffer }: Buffer): void => {
  if (buffer.byteLength === pieceBytes) file.spare = Buffer.from(buffer);
};

/** A pipe whose reader lags is asked again after so long, so often. */
const retryMs = 20;
const retriesMax = 50;

const writeAll = (fd: number, bytes: Buffer, at: number, done: Done, tries = 0): void => {
  write(fd, bytes, at, bytes.length - at, null, (error, written) => {
    if (error?.code === "EAGAIN" && tries < retriesMax) {
      setTimeout(() => writeAll(fd, bytes, at, done, tries + 1), retryMs).unref();
    } else if (error) done(error);
    else if (at + written < bytes.length) writeAll(fd, bytes, at + written, done);
    else done(null);
  });
};
