/**
 * Reads field lines (headers or trailers) in two passes: `scan` checks bytes and notes offsets, `fill` cuts strings
 * out of one slice of the whole block. A line counts only when its line feed is there, so an error is reported at the
 * same byte wherever the network cut the block.
 */
import { colon, cr, fieldByte, lf, space, tab, tokenLower } from "./bytes.ts";
import { hashStep, knownNameId, knownNames, nameEndAt, unknownName } from "./known-names.ts";
import type { Http1Problem } from "./message.ts";

/** Outcomes of `scan`; `next` then tells how far it came. */
export const needMore = 0;
export const complete = 1;
export const refused = 2;
export type ScanOutcome = typeof needMore | typeof complete | typeof refused;

/** Receives each field of a block, in order. `id` is from known-names, `name` is lower case. */
export interface FieldTarget {
  field(id: number, name: string, value: string): void;
}

/** The id noted for a name that is not in the table and has to be lowered. */
const mixedCaseName = unknownName - 1;

const spanSize = 5;
/** Offsets between a `scan` and its `fill`, which nothing comes between: all scanners share them. */
let spans = new Int32Array(128 * spanSize);

/** How many of a block's first fields are looked for under the name they had in the block before. */
const hintsMax = 24;

export class FieldScanner {
  /** Why `scan` refused. */
  problem: Http1Problem = "bad-header-name";
  /** The first byte `scan` did not use. */
  next = 0;
  /** Ids of the last block's fields: on one connection they mostly come again in the same order. */
  private readonly hints = new Int16Array(hintsMax).fill(unknownName);
  private readonly countMax: number;
  /** Fields in the block, and those of them that `fill` handed on. */
  private count = 0;
  private filled = 0;
  private bytesLeft = 0;

  constructor(countMax: number) {
    this.countMax = countMax;
  }

  /** Starts a block that may have `bytesMax` bytes, its closing empty line included. */
  begin(bytesMax: number): void {
    this.count = 0;
    this.filled = 0;
    this.bytesLeft = bytesMax;
  }

  /** Whether a line of which `length` bytes came so far, without a line feed, is already over the limit. */
  exceeds(length: number): boolean {
    return length > this.bytesLeft;
  }

  /**
   * Takes every whole line from `start` on. After it, `fill` must be called before the bytes change; and what is left
   * of the last line is to be judged by `exceeds`.
   */
  scan(bytes: Buffer, start: number): ScanOutcome {
    const end = bytes.length;
    const limit = start + this.bytesLeft;
    let line = start;
    while (line < end) {
      if (bytes[line] === cr) {
        if (line + 1 === end) break;
        if (bytes[line + 1] !== lf) return this.settle(bytes, { start, line, at: line + 1, problem: "bare-cr" });
        line += 2;
        if (line > limit) return this.fail("head-too-large");
        this.advance(start, line);
        return complete;
      }
      const after = this.scanLine(bytes, line, limit);
      if (after === line) break;
      if (after < 0) return this.settle(bytes, { start, line, at: -after - 1, problem: this.problem });
      line = after;
    }
    this.advance(start, line);
    return needMore;
  }

  /** Hands the fields scanned since the last call to `target`; `text` is the latin1 of the bytes from `base` on. */
  fill(target: FieldTarget, text: string, base: number): void {
    const fresh = this.count - this.filled;
    for (let i = 0; i < fresh; i++) {
      const at = i * spanSize;
      const id = spans[at] as number;
      const value = text.substring((spans[at + 3] as number) - base, (spans[at + 4] as number) - base);
      if (id >= 0) {
        target.field(id, knownNames[id] as string, value);
        continue;
      }
      const name = text.substring((spans[at + 1] as number) - base, (spans[at + 2] as number) - base);
      target.field(unknownName, id === unknownName ? name : name.toLowerCase(), value);
    }
    this.filled = this.count;
  }

  /** The start of the next line; `line` itself when it is not whole yet; -1 - P when it is wrong at byte P. */
  private scanLine(bytes: Buffer, line: number, limit: number): number {
    const end = bytes.length;
    let at = line;
    let id = this.count < hintsMax ? (this.hints[this.count] as number) : unknownName;
    const hinted = id === unknownName ? -1 : nameEndAt(id, bytes, line);
    if (hinted >= 0 && bytes[hinted] === colon) {
      at = hinted;
    } else {
      let hash = 0;
      let upper = 0;
      let byte = 0;
      while (at < end) {
        byte = bytes[at] as number;
        const lower = tokenLower[byte] as number;
        if (lower === 0) break;
        hash = hashStep(hash, lower);
        upper |= byte ^ lower;
        at++;
      }
      if (at === end) return line;
      if (byte !== colon || at === line) {
        const folded = at === line && (byte === space || byte === tab);
        return this.wrong(at, folded ? "folded-line" : byte === lf ? "bare-lf" : "bad-header-name");
      }
      id = knownNameId(bytes, line, at, hash);
      if (this.count < hintsMax) this.hints[this.count] = id;
      if (id === unknownName && upper !== 0) id = mixedCaseName;
    }
    const nameEnd = at++;
    while (at < end && (bytes[at] === space || bytes[at] === tab)) at++;
    const valueStart = at;
    while (at < end && fieldByte[bytes[at] as number] === 1) at++;
    if (at === end) return line;
    if (bytes[at] !== cr) return this.wrong(at, bytes[at] === lf ? "bare-lf" : "bad-header-value");
    if (at + 1 === end) return line;
    if (bytes[at + 1] !== lf) return this.wrong(at + 1, "bare-cr");
    if (at + 2 > limit) return this.wrong(at + 1, "head-too-large");
    if (this.count === this.countMax) return this.wrong(at + 1, "too-many-headers");
    const next = at + 2;
    while (at > valueStart && (bytes[at - 1] === space || bytes[at - 1] === tab)) at--;
    this.note(id, line, nameEnd, valueStart, at);
    return next;
  }

  private note(id: number, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const span = (this.count - this.filled) * spanSize;
    if (span === spans.length) {
      const grown = new Int32Array(span * 2);
      grown.set(spans);
      spans = grown;
    }
    spans[span] = id;
    spans[span + 1] = nameStart;
    spans[span + 2] = nameEnd;
    spans[span + 3] = valueStart;
    spans[span + 4] = valueEnd;
    this.count++;
  }

  private wrong(at: number, problem: Http1Problem): number {
    this.problem = problem;
    return -1 - at;
  }

  /**
   * A wrong line is refused once its line feed came, and for its size first when it reaches over the limit: the same
   * answer as when its bytes come one by one.
   */
  private settle(bytes: Buffer, wrong: WrongLine): ScanOutcome {
    const limit = wrong.start + this.bytesLeft;
    const lineFeed = bytes.indexOf(lf, wrong.at);
    if (lineFeed >= 0) return this.fail(lineFeed + 1 > limit ? "head-too-large" : wrong.problem);
    this.advance(wrong.start, wrong.line);
    return needMore;
  }

  private fail(problem: Http1Problem): ScanOutcome {
    this.problem = problem;
    return refused;
  }

  private advance(start: number, next: number): void {
    this.bytesLeft -= next - start;
    this.next = next;
  }
}

interface WrongLine {
  /** Where this scan began. */
  readonly start: number;
  readonly line: number;
  /** The wrong byte; the line's feed is here or after it. */
  readonly at: number;
  readonly problem: Http1Problem;
}
