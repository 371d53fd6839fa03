/** The beginning of a line whose rest has not come yet. Copies: a chunk is its sender's again after `receive`. */
export class LineBuffer {
  length = 0;
  private bytes: Buffer | undefined;

  /** Adds bytes [start, end). The caller bounds the sum. */
  add(from: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (this.bytes === undefined || this.bytes.length < needed) {
      const grown = Buffer.allocUnsafeSlow(Math.max(256, needed * 2));
      this.bytes?.copy(grown, 0, 0, this.length);
      this.bytes = grown;
    }
    from.copy(this.bytes, this.length, start, end);
    this.length = needed;
  }

  /** The line, made whole by the first `end` bytes of `from`; valid until the next call. Empties the buffer. */
  take(from: Buffer, end: number): Buffer {
    this.add(from, 0, end);
    const line = (this.bytes as Buffer).subarray(0, this.length);
    this.clear();
    return line;
  }

  clear(): void {
    this.length = 0;
    // An idle connection must not keep what one long line once needed.
    this.bytes = undefined;
  }
}
