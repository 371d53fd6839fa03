/** Reads DER strictly: definite, shortest lengths, no bytes left over. What BER would let pass is an error here. */
import { derTag } from "./der.ts";

/** Bytes that are not the DER expected there. */
export class DerError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = "DerError";
  }
}

export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content: what a signature covers. */
  readonly whole: Buffer;
}

/** Walks the elements at one level. Never recurses: who wants to go deeper makes a reader of an element's content. */
export class DerReader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  /** Whether the next element has that tag. */
  has(tag: number): boolean {
    return this.bytes[this.at] === tag;
  }

  /** The next element, of that tag when one is given. Throws DerError. */
  next(tag?: number): DerElement {
    const start = this.at;
    const found = this.bytes[start];
    if (found === undefined) throw new DerError("ends too early");
    if (tag !== undefined && found !== tag) throw new DerError(`tag ${hex(found)} where ${hex(tag)} was expected`);
    if ((found & 0x1f) === 0x1f) throw new DerError("a tag of more than one byte");
    const contentStart = this.readLength(start + 1);
    return {
      tag: found,
      content: this.bytes.subarray(contentStart, this.at),
      whole: this.bytes.subarray(start, this.at),
    };
  }

  /** The next element if it has that tag. */
  optional(tag: number): DerElement | undefined {
    return this.has(tag) ? this.next(tag) : undefined;
  }

  /** A reader of the next element's content. */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag).content);
  }

  /** Throws DerError when something is left. */
  end(): void {
    if (!this.done) throw new DerError("bytes are left over");
  }

  /** Sets `at` behind the element; returns where its content begins. */
  private readLength(position: number): number {
    const first = this.bytes[position];
    if (first === undefined) throw new DerError("ends in a length");
    let length = first;
    let start = position + 1;
    if (first >= 0x80) {
      const size = first & 0x7f;
      if (size === 0 || size > 4 || start + size > this.bytes.length) throw new DerError("a length DER does not have");
      length = this.bytes.readUIntBE(start, size);
      if (length < 0x80 || this.bytes[start] === 0) throw new DerError("a length longer than needed");
      start += size;
    }
    if (start + length > this.bytes.length) throw new DerError("ends too early");
    this.at = start + length;
    return start;
  }
}

const hex = (tag: number): string => `0x${tag.toString(16).padStart(2, "0")}`;

/** The one element the bytes consist of, as a reader of its content. Throws DerError. */
export const enterOnly = (bytes: Buffer, tag: number = derTag.sequence): DerReader => {
  const outer = new DerReader(bytes);
  const inner = outer.enter(tag);
  outer.end();
  return inner;
};

const oidArcsMax = 32;

/** An object identifier's content as dotted numbers. Throws DerError. */
export const oidText = (content: Buffer): string => {
  const arcs: number[] = [];
  let value = 0;
  let inside = false;
  for (const byte of content) {
    if (!inside && byte === 0x80) throw new DerError("an object identifier longer than needed");
    value = value * 128 + (byte & 0x7f);
    inside = byte >= 0x80;
    if (value > Number.MAX_SAFE_INTEGER / 128 || arcs.length > oidArcsMax)
      throw new DerError("a huge object identifier");
    if (inside) continue;
    if (arcs.length > 0) arcs.push(value);
    else arcs.push(...(value < 80 ? [Math.floor(value / 40), value % 40] : [2, value - 80]));
    value = 0;
  }
  if (inside || arcs.length === 0) throw new DerError("an object identifier cut short");
  return arcs.join(".");
};

/** A boolean's content. Throws DerError. */
export const booleanValue = (content: Buffer): boolean => {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff))
    throw new DerError("a boolean DER does not have");
  return content[0] === 0xff;
};

/** A small non-negative integer's content. Throws DerError. */
export const smallInteger = (content: Buffer): number => {
  checkInteger(content);
  if (content.length > 4 || (content[0] as number) >= 0x80) throw new DerError("an integer out of range");
  return content.readUIntBE(0, content.length);
};

/** Throws DerError unless the content is an integer, as short as it can be. */
export const checkInteger = (content: Buffer): void => {
  if (content.length === 0) throw new DerError("an integer without bytes");
  const [first, second = 0] = content;
  if (content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw new DerError("an integer longer than needed");
  }
};

/** A bit string's bytes, which must have no unused bits. Throws DerError. */
export const wholeBits = (content: Buffer): Buffer => {
  if (content[0] !== 0) throw new DerError("a bit string of unfinished bytes");
  return content.subarray(1);
};

/** The numbers of the bits set in a named bit list. Throws DerError. */
export const bitNumbers = (content: Buffer): ReadonlySet<number> => {
  const unused = content[0];
  const last = content[content.length - 1] as number;
  if (unused === undefined || unused > 7 || (content.length === 1 && unused > 0))
    throw new DerError("a broken bit string");
  if (content.length > 1 && (last & ((1 << unused) - 1)) !== 0) throw new DerError("unused bits that are set");
  const bits = new Set<number>();
  for (let i = 0; i < (content.length - 1) * 8; i++) {
    if (((content[1 + (i >> 3)] as number) & (0x80 >> (i & 7))) !== 0) bits.add(i);
  }
  return bits;
};

/** UTCTime or GeneralizedTime in the form RFC 5280 section 4.1.2.5 wants, as ms since 1970. Throws DerError. */
export const timeMs = ({ tag, content }: DerElement): number => {
  const text = content.toString("latin1");
  const utc = tag === derTag.utcTime && /^\d{12}Z$/.test(text);
  if (!utc && !(tag === derTag.generalizedTime && /^\d{14}Z$/.test(text))) throw new DerError("a time in another form");
  const digits = utc ? `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}` : text;
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z");
  const ms = Date.parse(iso);
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso.replace("Z", ".000Z")) throw new DerError("no such time");
  return ms;
};
