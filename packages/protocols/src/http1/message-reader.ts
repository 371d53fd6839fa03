/**
 * The machine under both decoders: start line, fields, then a body by its kind, message after message, from chunks cut
 * anywhere. A line is acted on only once it is whole, so the cuts never change what a role is told. The role knows what
 * a start line is and what a head means; this knows bytes, limits and order.
 */
import { cr, latin1, lf } from "./bytes.ts";
import { ChunkSizeLine, chunkLineNotWhole } from "./chunk-size-line.ts";
import { complete, FieldScanner, type FieldTarget, refused } from "./field-scanner.ts";
import type { Http1Limits } from "./limits.ts";
import { LineBuffer } from "./line-buffer.ts";
import type { BodyKind, Http1Problem } from "./message.ts";
import type { TrailerFields } from "./trailer-fields.ts";

/** What a decoder adds to the machine. `head` receives the fields between `cutStartLine` and `headEnd`. */
export interface MessageRole {
  readonly head: FieldTarget;
  /** Whether a message may begin with this byte; checked at once, before its line is whole. */
  begin(byte: number): Http1Problem | undefined;
  /** Where the line after the start line begins; else the result of `refuseStart` or `lineNotWhole`. */
  startLine(bytes: Buffer, start: number): number;
  /** Cuts the strings out of the start line just read; `text` is the latin1 of the bytes from `base` on. */
  cutStartLine(text: string, base: number): void;
  /** The head is whole: calls `beginBody`, then tells the sink; or calls `fail`. */
  headEnd(): void;
  bodyBytes(bytes: Buffer): void;
  trailers(fields: TrailerFields): void;
  messageEnd(): void;
  error(problem: Http1Problem): void;
}

export const lineNotWhole = -1;
const stopped = -2;

const inStart = 0;
const inFields = 1;
const inLength = 2;
const inChunkSize = 3;
const inChunkData = 4;
const inChunkEnd = 5;
const inTrailers = 6;
const inRaw = 7;
/** The head is out, the message has no body, its end is still to be told. */
const inNothing = 8;
/** An upgrade or CONNECT was asked for: what follows is held until it is decided whose bytes they are. */
const inDecision = 9;
const inPast = 10;
export class MessageReader {
  /** Bytes of the body still to come when its length is known. */
  remaining = 0;
  paused = false;
  private readonly role: MessageRole;
  private readonly limits: Http1Limits;
  private readonly startLineMax: number;
  private readonly scanner: FieldScanner;
  private readonly trailerFields: TrailerFields;
  private readonly line = new LineBuffer();
  private readonly sizeLine = new ChunkSizeLine();
  /** Bytes for later. They are ours: what is held again of them after a message is a view, not another copy. */
  private held: Buffer | undefined;
  private readingHeld = false;
  private state: number = inStart;
  private keepAlive = true;
  private blankLines = 0;
  private running = false;
  private finished = false;

  constructor(role: MessageRole, limits: Http1Limits, trailerFields: TrailerFields) {
    this.role = role;
    this.trailerFields = trailerFields;
    this.limits = limits;
    this.startLineMax = Math.min(limits.startLineBytesMax, limits.headBytesMax);
    this.scanner = new FieldScanner(limits.headersMax);
  }

  /** True between messages: nothing of the next one came. */
  get idle(): boolean {
    return this.state === inStart && this.line.length === 0 && this.held === undefined;
  }

  /** Bytes that wait for `resume` or `decide`. */
  get heldBytes(): number {
    return this.held?.length ?? 0;
  }

  /** Nothing more will be read: after an error, `stop`, the peer's end, or a message that ends the connection. */
  get ended(): boolean {
    return this.state === inPast;
  }

  receive(chunk: Buffer): void {
    if (this.state === inPast || chunk.length === 0) return;
    if (this.held !== undefined || this.state === inDecision) {
      this.hold(chunk, this.limits.heldBytesMax);
      return;
    }
    this.consume(chunk);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.release();
  }

  /** The peer ended its side. A body delimited by that ends; any other message in the making is an error. */
  finish(): void {
    this.finished = true;
    if (!this.running) this.settleFinish();
  }

  stop(): void {
    this.state = inPast;
    this.held = undefined;
    this.line.clear();
  }

  /** For the role: how the body of the message whose head just ended is delimited. */
  beginBody(kind: BodyKind, contentLength: number, keepAlive: boolean): void {
    this.keepAlive = keepAlive;
    this.remaining = contentLength;
    if (kind === "chunked") this.sizeLine.begin(this.limits.chunkExtensionBytesMax);
    this.state = kind === "none" ? inNothing : kind === "length" ? inLength : kind === "chunked" ? inChunkSize : inRaw;
  }

  /** For the role: the message has no body and another head follows it, as after an interim response. */
  beginNextHead(): void {
    this.state = inStart;
  }

  /** For the role: holds what follows until `decide`. */
  awaitDecision(keepAlive: boolean): void {
    this.keepAlive = keepAlive;
    this.state = inDecision;
  }

  decide(switched: boolean): void {
    if (this.state !== inDecision) return;
    if (switched) this.state = inRaw;
    else this.endMessage();
    this.release();
    if (this.finished && !this.running) this.settleFinish();
  }

  fail(problem: Http1Problem): void {
    if (this.state === inPast) return;
    this.stop();
    this.role.error(problem);
  }

  /** For the role: a start line wrong at byte `at` is refused once it is whole, first for its length. */
  refuseStart(bytes: Buffer, start: number, wrong: { readonly at: number; readonly problem: Http1Problem }): number {
    const lineFeed = bytes.indexOf(lf, wrong.at);
    if (lineFeed < 0) return lineNotWhole;
    this.fail(lineFeed + 1 - start > this.startLineMax ? "start-line-too-long" : wrong.problem);
    return stopped;
  }

  private release(): void {
    if (this.running || this.held === undefined || this.state === inDecision) return;
    if (this.paused && this.state === inStart) return;
    const bytes = this.held;
    this.held = undefined;
    this.readingHeld = true;
    this.consume(bytes);
    this.readingHeld = false;
  }

  private consume(chunk: Buffer): void {
    this.running = true;
    try {
      const start = this.line.length === 0 ? 0 : this.completeLine(chunk);
      if (start >= 0) this.run(chunk, start);
    } finally {
      this.running = false;
    }
    if (this.finished) this.settleFinish();
  }

  private settleFinish(): void {
    if (this.held !== undefined || this.state === inDecision) return;
    if (this.state === inRaw) {
      this.keepAlive = false;
      this.endMessage();
    } else if (!this.idle) this.fail("closed-mid-message");
    this.stop();
  }

  /** Adds to the line begun by an earlier chunk and reads it when it is whole; where to go on in the chunk, or -1. */
  private completeLine(chunk: Buffer): number {
    const after = chunk.indexOf(lf) + 1;
    if (after === 0) {
      this.store(chunk, 0);
      return stopped;
    }
    const line = this.line.take(chunk, after);
    this.run(line, 0);
    return after;
  }

  private run(bytes: Buffer, start: number): void {
    let at = start;
    while (at >= 0 && at < bytes.length) {
      switch (this.state) {
        case inStart:
          at = this.paused ? this.hold(bytes.subarray(at), Number.POSITIVE_INFINITY) : this.readStart(bytes, at);
          break;
        case inFields:
          at = this.readFields(bytes, at, at);
          break;
        case inLength:
          at = this.readLength(bytes, at);
          break;
        case inChunkSize:
          at = this.readChunkSize(bytes, at);
          break;
        case inChunkData:
          at = this.readChunkData(bytes, at);
          break;
        case inChunkEnd:
          at = this.readChunkEnd(bytes, at);
          break;
        case inTrailers:
          at = this.readTrailers(bytes, at);
          break;
        case inRaw:
          this.role.bodyBytes(at === 0 ? bytes : bytes.subarray(at));
          return;
        case inDecision:
          at = this.hold(bytes.subarray(at), Number.POSITIVE_INFINITY);
          break;
        case inNothing:
        case inPast:
          return;
      }
    }
  }

  private readStart(bytes: Buffer, start: number): number {
    const problem = this.role.begin(bytes[start] as number);
    if (problem !== undefined) {
      this.fail(problem);
      return stopped;
    }
    if (bytes[start] === cr && (start + 1 === bytes.length || bytes[start + 1] === lf)) {
      if (start + 1 === bytes.length) return this.store(bytes, start);
      // RFC 9112 section 2.2: one empty line before a message is ignored.
      if (this.blankLines++ === 0) return start + 2;
      this.fail("empty-lines");
      return stopped;
    }
    const next = this.role.startLine(bytes, start);
    if (next === lineNotWhole) return this.store(bytes, start);
    if (next < 0) return next;
    if (next - start > this.startLineMax) {
      this.fail("start-line-too-long");
      return stopped;
    }
    this.scanner.begin(this.limits.headBytesMax - (next - start));
    this.state = inFields;
    return this.readFields(bytes, next, start);
  }

  /** `base` is where the strings of this read begin: the start line when it is fresh, else the fields. */
  private readFields(bytes: Buffer, start: number, base: number): number {
    const { scanner, role } = this;
    const outcome = scanner.scan(bytes, start);
    if (outcome === refused) {
      this.fail(scanner.problem);
      return stopped;
    }
    const text = latin1(bytes, base, scanner.next);
    if (base !== start) role.cutStartLine(text, base);
    scanner.fill(role.head, text, base);
    if (outcome !== complete) return this.store(bytes, scanner.next);
    role.headEnd();
    if (this.state === inNothing) this.endMessage();
    return scanner.next;
  }

  private readLength(bytes: Buffer, start: number): number {
    const next = this.deliver(bytes, start);
    if (this.remaining === 0 && this.state === inLength) this.endMessage();
    return next;
  }

  private readChunkData(bytes: Buffer, start: number): number {
    const next = this.deliver(bytes, start);
    if (this.remaining === 0 && this.state === inChunkData) this.state = inChunkEnd;
    return next;
  }

  private deliver(bytes: Buffer, start: number): number {
    const next = Math.min(bytes.length, start + this.remaining);
    this.remaining -= next - start;
    this.role.bodyBytes(start === 0 && next === bytes.length ? bytes : bytes.subarray(start, next));
    return next;
  }

  private readChunkSize(bytes: Buffer, start: number): number {
    const { sizeLine } = this;
    const next = sizeLine.read(bytes, start);
    if (next === chunkLineNotWhole) return this.store(bytes, start);
    if (next >= 0) return this.beginChunk(sizeLine.size, next);
    this.fail(sizeLine.problem);
    return stopped;
  }

  private beginChunk(size: number, next: number): number {
    this.remaining = size;
    this.state = inChunkData;
    if (size === 0) {
      this.state = inTrailers;
      this.trailerFields.clear();
      this.scanner.begin(this.limits.headBytesMax);
    }
    return next;
  }

  private readChunkEnd(bytes: Buffer, start: number): number {
    if (bytes[start] === cr) {
      if (start + 1 === bytes.length) return this.store(bytes, start);
      if (bytes[start + 1] === lf) {
        this.state = inChunkSize;
        return start + 2;
      }
    }
    this.fail("bad-chunk-end");
    return stopped;
  }

  private readTrailers(bytes: Buffer, start: number): number {
    const { scanner, trailerFields } = this;
    const outcome = scanner.scan(bytes, start);
    if (outcome === refused) {
      this.fail(scanner.problem);
      return stopped;
    }
    scanner.fill(trailerFields, latin1(bytes, start, scanner.next), start);
    if (outcome !== complete) return this.store(bytes, scanner.next);
    if (trailerFields.refused) {
      this.fail("bad-trailer");
      return stopped;
    }
    if (trailerFields.list.size > 0) this.role.trailers(trailerFields);
    if (this.state === inTrailers) this.endMessage();
    return scanner.next;
  }

  private endMessage(): void {
    this.state = this.keepAlive ? inStart : inPast;
    this.blankLines = 0;
    this.role.messageEnd();
  }

  /** Keeps the beginning of a line for the next chunk, when it can still be within its limit. */
  private store(bytes: Buffer, start: number): number {
    if (start === bytes.length) return stopped;
    const problem = this.lineProblem(this.line.length + bytes.length - start);
    if (problem === undefined) this.line.add(bytes, start, bytes.length);
    else this.fail(problem);
    return stopped;
  }

  /** What is wrong with a line of which `length` bytes came and no line feed. */
  private lineProblem(length: number): Http1Problem | undefined {
    if (this.state === inStart) return length > this.startLineMax ? "start-line-too-long" : undefined;
    if (this.state === inChunkEnd) return length > 1 ? "bad-chunk-end" : undefined;
    if (this.state === inChunkSize) return this.sizeLine.exceeds(length) ? "chunk-extension-too-large" : undefined;
    return this.scanner.exceeds(length) ? "head-too-large" : undefined;
  }

  private hold(bytes: Buffer, totalMax: number): number {
    const total = (this.held?.length ?? 0) + bytes.length;
    if (total > totalMax) this.fail("held-bytes-exceeded");
    else if (this.held !== undefined) this.held = Buffer.concat([this.held, bytes], total);
    else this.held = this.readingHeld ? bytes : Buffer.from(bytes);
    return stopped;
  }
}
