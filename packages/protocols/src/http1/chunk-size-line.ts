/** The line before a chunk's bytes: its size in hexadecimal, and extensions, which are read over within a bound. */
import { cr, fieldByte, hexValue, lf, tokenLower } from "./bytes.ts";
import type { Http1Problem } from "./message.ts";

export const chunkLineNotWhole = -1;
const refused = -2;

/** 13 hexadecimal digits stay below 2^53; two more bytes end the line. */
const digitsMax = 13;
const plainLineBytesMax = digitsMax + 2;
const semicolon = 0x3b;
const equals = 0x3d;
const quote = 0x22;
const backslash = 0x5c;

export class ChunkSizeLine {
  /** Of the chunk whose line was read last. */
  size = 0;
  /** Why the last line was refused. */
  problem: Http1Problem = "bad-chunk-size";
  private extensionBytesLeft = 0;

  /** Starts a message whose extensions may have that many bytes in all. */
  begin(extensionBytesMax: number): void {
    this.extensionBytesLeft = extensionBytesMax;
  }

  /** Whether a line of which `length` bytes came so far, without a line feed, is already over the limit. */
  exceeds(length: number): boolean {
    return length > plainLineBytesMax + this.extensionBytesLeft;
  }

  /** Where the chunk's bytes begin; `chunkLineNotWhole`, or another negative number when the line is refused. */
  read(bytes: Buffer, start: number): number {
    let at = start;
    let size = 0;
    for (; at < bytes.length; at++) {
      const digit = hexValue[bytes[at] as number] as number;
      if (digit === 255) break;
      size = size * 16 + digit;
    }
    const digits = at - start;
    const sized = digits > 0 && digits <= digitsMax;
    this.size = size;
    if (sized && bytes[at] === cr && bytes[at + 1] === lf) return at + 2;
    const lineFeed = bytes.indexOf(lf, at);
    if (lineFeed < 0) return chunkLineNotWhole;
    if (this.exceeds(lineFeed + 1 - start)) return this.refuse("chunk-extension-too-large");
    if (!sized || bytes[at] !== semicolon) return this.refuse("bad-chunk-size");
    const end = extensionsEnd(bytes, at);
    if (bytes[end] !== cr || end + 1 !== lineFeed) return this.refuse("bad-chunk-extension");
    this.extensionBytesLeft -= end - at;
    return this.extensionBytesLeft < 0 ? this.refuse("chunk-extension-too-large") : lineFeed + 1;
  }

  private refuse(problem: Http1Problem): number {
    this.problem = problem;
    return refused;
  }
}

/** Where well-formed extensions from `start` on end: RFC 9112 section 7.1.1 without the white space it calls bad. */
const extensionsEnd = (bytes: Buffer, start: number): number => {
  let at = start;
  while (bytes[at] === semicolon) {
    const nameEnd = tokenEnd(bytes, at + 1);
    if (nameEnd === at + 1) return at;
    at = nameEnd;
    if (bytes[at] !== equals) continue;
    const valueEnd = bytes[at + 1] === quote ? quotedEnd(bytes, at + 1) : tokenEnd(bytes, at + 1);
    if (valueEnd === at + 1) return at;
    at = valueEnd;
  }
  return at;
};

const tokenEnd = (bytes: Buffer, start: number): number => {
  let at = start;
  while (at < bytes.length && tokenLower[bytes[at] as number] !== 0) at++;
  return at;
};

/** After the closing quote of the string that opens at `start`; `start` when it does not close. */
const quotedEnd = (bytes: Buffer, start: number): number => {
  let at = start + 1;
  while (fieldByte[bytes[at] as number] === 1) {
    if (bytes[at] === quote) return at + 1;
    if (bytes[at] === backslash && fieldByte[bytes[++at] as number] !== 1) return start;
    at++;
  }
  return start;
};
