import { close, closeSync, constants, open, openSync, write, writeSync } from "node:fs";
import type { LineOut } from "@weft/core/line-out";
import type { LineCounts } from "./line-counts.ts";

/** Bytes waiting to be written to one file; further lines are dropped and counted rather than held. */
const heldBytesMax = 4 * 1024 * 1024;
/** So much is left for a line whose length is not known when it begins. */
const lineBytes = 80 * 1024;
/** Lines are written when so many bytes wait, or so long after the first of them. */
const flushBytes = 64 * 1024;
const flushMs = 100;
/** Lines are gathered in pieces of this size; one that was written is kept for each file. */
const pieceBytes = 80 * 1024;

/** Not to wait for a reader where the path is a pipe: nothing of the process may hang on a log. */
const openFlags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

type Done = (error: NodeJS.ErrnoException | null) => void;

const nothing = Buffer.alloc(0);

/** One file that takes lines: they are gathered as bytes and written by other threads, one write at a time, in order. */
export class LineFile implements LineOut {
  /** The piece being filled, and how far; those that are full come before it. */
  bytes: Buffer = nothing;
  at = 0;
  private readonly path: string;
  private readonly counts: LineCounts;
  private readonly full: Buffer[] = [];
  private fullBytes = 0;
  private spare: Buffer | undefined;
  private fd: number | undefined;
  /** It was open before: that it cannot be opened again is another failure than that it never was. */
  private opened = false;
  private heldLines = 0;
  private writing = false;
  private reopening = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(path: string, counts: LineCounts) {
    this.path = path;
    this.counts = counts;
    this.fd = path === "/dev/stdout" ? 1 : path === "/dev/stderr" ? 2 : undefined;
  }

  get heldBytes(): number {
    return this.fullBytes + this.at;
  }

  begin(): boolean {
    this.counts.lines.add(1);
    if (this.fullBytes + this.at <= heldBytesMax - lineBytes) return true;
    this.counts.dropped.add(1);
    return false;
  }

  room(bytes: number): void {
    if (this.bytes.length - this.at >= bytes) return;
    if (this.at > 0) {
      this.full.push(this.bytes.subarray(0, this.at));
      this.fullBytes += this.at;
    }
    const { spare } = this;
    this.spare = undefined;
    this.bytes =
      spare !== undefined && spare.length >= bytes ? spare : Buffer.allocUnsafeSlow(Math.max(pieceBytes, bytes));
    this.at = 0;
  }

  end(): void {
    this.heldLines++;
    if (this.writing) return;
    if (this.fullBytes + this.at >= flushBytes) this.send();
    else if (this.timer === undefined) this.arm();
  }

  /** The path is opened again with the next line: what was moved away is left alone from then on. */
  reopen(): void {
    this.reopening = true;
  }

  /** Writes what is held, at once, and keeps nothing open. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.heldBytes > 0) this.writeNow();
    if (this.writing || this.fd === undefined || isStandard(this.fd)) return;
    closeSync(this.fd);
    this.fd = undefined;
  }

  private arm(): void {
    this.timer = setTimeout(() => this.send(), flushMs).unref();
  }

  private take(): Buffer {
    const last = this.bytes.subarray(0, this.at);
    const all = this.full.length === 0 ? last : Buffer.concat([...this.full, last]);
    this.full.length = 0;
    this.fullBytes = 0;
    this.bytes = nothing;
    this.at = 0;
    this.heldLines = 0;
    return all;
  }

  private writeNow(): void {
    const count = this.heldLines;
    const bytes = this.take();
    try {
      const fd = this.fd ?? openSync(this.path, openFlags, 0o644);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      if (this.fd === undefined) closeSync(fd);
      this.counts.writes.add(1);
    } catch {
      this.failed(count);
    }
  }

  private send(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.heldBytes === 0 || this.writing) return;
    this.writing = true;
    const count = this.heldLines;
    const bytes = this.take();
    const done: Done = (error) => {
      this.writing = false;
      // The memory of what was written serves again.
      if (bytes.buffer.byteLength === pieceBytes) this.spare = Buffer.from(bytes.buffer);
      if (error) this.failed(count);
      else this.counts.writes.add(1);
      if (this.heldBytes >= flushBytes) this.send();
      else if (this.heldBytes > 0 && this.timer === undefined) this.arm();
    };
    this.ready((error, fd) => {
      if (error || fd === undefined) done(error);
      else writeAll(fd, bytes, 0, done);
    });
  }

  /** The file's descriptor, opened where there is none or another one is asked for. */
  private ready(then: (error: NodeJS.ErrnoException | null, fd?: number) => void): void {
    const { fd } = this;
    if (fd !== undefined && (!this.reopening || isStandard(fd))) {
      then(null, fd);
      return;
    }
    this.reopening = false;
    this.fd = undefined;
    if (fd !== undefined) close(fd, () => undefined);
    open(this.path, openFlags, 0o644, (error, opened) => {
      if (error) {
        if (this.opened) this.counts.failedReopens.add(1);
        then(error);
        return;
      }
      this.opened = true;
      this.fd = opened;
      then(null, opened);
    });
  }

  private failed(count: number): void {
    this.counts.failedWrites.add(1);
    this.counts.dropped.add(count);
  }
}

const isStandard = (fd: number): boolean => fd <= 2;

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
