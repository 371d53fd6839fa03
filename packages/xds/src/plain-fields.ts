/** From here on a byte goes on into the next one, and text is not ASCII. */
const byteMax = 0x80;
/** A number of more bytes is left to others. */
const numberBytesMax = 4;

/** How a field stands before its content, by wire type; for fields up to 15, which is one byte. */
export const numberTag = (field: number): number => field << 3;
export const doubleTag = (field: number): number => (field << 3) | 1;
export const bytesTag = (field: number): number => (field << 3) | 2;

/**
 * Reads the fields of one message of plain content: text in ASCII, small numbers. What is not so makes it give up: it is
 * no longer `plain`, there is no next field, and what it gave means nothing.
 */
export class PlainFields {
  plain = true;
  readonly #buffer: Buffer;
  #at: number;
  #end: number;

  constructor(buffer: Buffer, at = 0, end: number = buffer.length) {
    this.#buffer = buffer;
    this.#at = at;
    this.#end = end;
  }

  /** Where the next field is. */
  get at(): number {
    return this.#at;
  }

  /** What was read since. */
  since(at: number): Buffer {
    return this.#buffer.subarray(at, this.#at);
  }
  /** Reads from there on again. */
  back(at: number): void {
    if (this.plain) this.#at = at;
  }

  /** The next field's tag; 0 at the message's end. */
  next(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.#buffer[this.#at++] as number;
    if (tag > 0 && tag < byteMax) return tag;
    this.giveUp();
    return 0;
  }

  giveUp(): void {
    this.plain = false;
    this.#at = this.#end;
  }

  /** Goes into the message that a field is; gives what `leave` takes once its fields are read. */
  enter(): number {
    const size = this.#size();
    const outer = this.#end;
    this.#end = this.#at + size;
    return outer;
  }
  leave(outer: number): void {
    this.#end = outer;
    if (!this.plain) this.#at = outer;
  }

  /** Passes the content of a field of bytes over. */
  skip(): void {
    const size = this.#size();
    this.#at += size;
  }

  text(): string {
    const size = this.#size();
    const from = this.#at;
    const to = from + size;
    for (let at = from; at < to; at++) {
      if ((this.#buffer[at] as number) < byteMax) continue;
      this.giveUp();
      return "";
    }
    this.#at = to;
    return this.#buffer.toString("latin1", from, to);
  }

  /** `undefined`: it gave up. */
  flag(): boolean | undefined {
    const value = this.number();
    if (value > 1) this.giveUp();
    return this.plain ? value === 1 : undefined;
  }

  number(): number {
    let value = 0;
    for (let bytes = 0; bytes < numberBytesMax && this.#at < this.#end; bytes++) {
      const byte = this.#buffer[this.#at++] as number;
      value |= (byte & 0x7f) << (7 * bytes);
      if (byte < byteMax) return value;
    }
    this.giveUp();
    return 0;
  }

  double(): number {
    if (this.#at + 8 <= this.#end) {
      const value = this.#buffer.readDoubleLE(this.#at);
      this.#at += 8;
      if (Number.isFinite(value)) return value;
    }
    this.giveUp();
    return 0;
  }

  /** Of what follows, which is all there. */
  #size(): number {
    const size = this.number();
    if (this.#at + size <= this.#end) return size;
    this.giveUp();
    return 0;
  }
}
