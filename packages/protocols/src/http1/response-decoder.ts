/**
 * The client's side of HTTP/1.x: bytes in, responses out, one reading or none.
 *
 *     decoder.expect(method, upgradeAsked);    // for each request when it is written, in order
 *     decoder.receive(chunk);                  // calls the sink before it returns
 *     decoder.finish();                        // the server ended its side
 *
 * Per response the sink hears `onInterim` for each 1xx but 101, then `onHead`, `onBody` any number of times,
 * `onTrailers` when there are some, `onEnd`; or once per connection `onError`. The same rules of ownership, pausing and
 * headers as in request-decoder.ts. `tunnel` (101 to an asked upgrade, 2xx to CONNECT): what follows comes raw as
 * `onBody` until `finish()`. Bytes that answer no request are an error.
 */
import type { ResponseHead } from "../http/head.ts";
import { HeaderList } from "../http/headers.ts";
import { cr, fieldByte, lf, space } from "./bytes.ts";
import { FramingFields } from "./framing-fields.ts";
import { defaultHttp1Limits, type Http1Limits } from "./limits.ts";
import type { BodyKind, Http1Error, Http1Problem, ResponseFacts } from "./message.ts";
import { MessageReader, type MessageRole } from "./message-reader.ts";
import { isHttp1 } from "./request-decoder.ts";
import { TrailerFields } from "./trailer-fields.ts";

export interface ResponseSink {
  /** A 1xx response other than 101; the head is overwritten by the next one. */
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead, facts: ResponseFacts): void;
  onBody(bytes: Buffer): void;
  onTrailers(trailers: HeaderList): void;
  onEnd(): void;
  onError(error: Http1Error): void;
}

export interface ResponseDecoderOptions {
  readonly limits?: Partial<Http1Limits>;
}

export class ResponseDecoder {
  private readonly reader: MessageReader;
  private readonly role: ResponseRole;

  constructor(sink: ResponseSink, options: ResponseDecoderOptions = {}) {
    const limits = { ...defaultHttp1Limits, ...options.limits };
    this.role = new ResponseRole(sink, limits);
    this.reader = new MessageReader(this.role, limits, new TrailerFields());
    this.role.reader = this.reader;
  }

  /** No byte of a response is read or held. Requests may still be waiting for theirs. */
  get idle(): boolean {
    return this.reader.idle;
  }
  /** Nothing more will be read from this connection. */
  get ended(): boolean {
    return this.reader.ended;
  }
  get paused(): boolean {
    return this.reader.paused;
  }
  /** Requests whose final response has not begun. */
  get expected(): number {
    return this.role.expected;
  }

  /** A request went out: how to read its response. False when too many are waiting; then do not send it. */
  expect(method: string, upgradeAsked = false): boolean {
    return this.role.expect(method, upgradeAsked);
  }

  receive(chunk: Buffer): void {
    this.reader.receive(chunk);
  }
  /** The server ended its side: the end of a `close` body or tunnel, an error mid-message, else nothing. */
  finish(): void {
    this.reader.finish();
  }
  pause(): void {
    this.reader.pause();
  }
  resume(): void {
    this.reader.resume();
  }
  stop(): void {
    this.reader.stop();
  }
}

interface Expectation {
  readonly method: string;
  readonly upgradeAsked: boolean;
}

class ResponseRole implements MessageRole {
  readonly head: FramingFields;
  reader!: MessageReader;
  private readonly sink: ResponseSink;
  private readonly limits: Http1Limits;
  private readonly response: ResponseHead;
  private readonly facts: ResponseFacts = {
    bodyKind: "none",
    contentLength: 0,
    minorVersion: 1,
    keepAlive: true,
    idleSeconds: -1,
  };
  private readonly waiting: Expectation[] = [];
  private interimCount = 0;

  constructor(sink: ResponseSink, limits: Http1Limits) {
    this.sink = sink;
    this.limits = limits;
    const headers = new HeaderList();
    this.response = { status: 0, headers };
    this.head = new FramingFields(headers, { underscoreNames: "accept", hostField: false });
  }

  get expected(): number {
    return this.waiting.length;
  }

  expect(method: string, upgradeAsked: boolean): boolean {
    if (this.waiting.length >= this.limits.expectedMax) return false;
    const plain = upgradeAsked ? undefined : plainExpectations.get(method);
    this.waiting.push(plain ?? { method, upgradeAsked });
    return true;
  }

  begin(byte: number): Http1Problem | undefined {
    if (this.waiting.length === 0) return "unexpected-response";
    return byte === 0x48 || byte === cr ? undefined : "bad-version";
  }

  startLine(bytes: Buffer, start: number): number {
    if (!isHttp1(bytes, start)) return this.refuse(bytes, start, "bad-version");
    const version = (bytes[start + 7] as number) - 0x30;
    if ((version !== 0 && version !== 1) || bytes[start + 8] !== space) {
      return this.refuse(bytes, start, "bad-version");
    }
    const status = threeDigits(bytes, start + 9);
    let at = start + 12;
    if (status < 100 || (bytes[at] !== space && bytes[at] !== cr)) return this.refuse(bytes, start, "bad-status");
    while (fieldByte[bytes[at] as number] === 1) at++;
    if (at >= bytes.length || at + 1 === bytes.length) return this.refuse(bytes, start, "bad-status");
    if (bytes[at] !== cr || bytes[at + 1] !== lf) return this.refuse(bytes, start, "bad-status");
    this.facts.minorVersion = version;
    this.response.status = status;
    return at + 2;
  }

  cutStartLine(): void {
    this.head.clear();
  }

  headEnd(): void {
    const { head, facts, response } = this;
    const expectation = this.waiting[0] as Expectation;
    const problem = head.end() ?? this.judge(expectation);
    if (problem !== undefined) {
      this.reader.fail(problem);
      return;
    }
    if (response.status < 200 && response.status !== 101) {
      dropLength(response.headers);
      this.reader.beginNextHead();
      this.sink.onInterim(response);
      return;
    }
    this.waiting.shift();
    this.interimCount = 0;
    facts.bodyKind = this.bodyKind(expectation);
    facts.contentLength = facts.bodyKind === "length" ? head.contentLength : 0;
    facts.keepAlive = this.keepsAlive();
    facts.idleSeconds = head.keepAlive === "" ? -1 : idleSecondsOf(head.keepAlive);
    if (facts.bodyKind === "tunnel" || response.status === 204) dropLength(response.headers);
    if (head.upgrade !== "" && response.status !== 101) response.headers.remove("upgrade");
    this.reader.beginBody(facts.bodyKind, facts.contentLength, facts.keepAlive);
    this.sink.onHead(response, facts);
  }

  bodyBytes(bytes: Buffer): void {
    this.sink.onBody(bytes);
  }
  trailers(fields: TrailerFields): void {
    this.sink.onTrailers(fields.list);
  }
  messageEnd(): void {
    this.sink.onEnd();
  }
  error(reason: Http1Problem): void {
    this.sink.onError({ status: 502, reason });
  }

  private refuse(bytes: Buffer, start: number, problem: Http1Problem): number {
    return this.reader.refuseStart(bytes, start, { at: start, problem });
  }

  private judge(expectation: Expectation): Http1Problem | undefined {
    const { status } = this.response;
    if (this.facts.minorVersion === 0 && this.head.chunked) return "bad-transfer-encoding";
    if (status === 101) return expectation.upgradeAsked ? undefined : "unexpected-upgrade";
    if (status < 200 && ++this.interimCount > this.limits.interimMax) return "too-many-interim";
    return undefined;
  }

  /** RFC 9112 section 6.3. */
  private bodyKind({ method }: Expectation): BodyKind {
    const { status } = this.response;
    if (status === 101 || (method === "CONNECT" && status < 300)) return "tunnel";
    if (method === "HEAD" || status === 204 || status === 304) return "none";
    if (this.head.chunked) return "chunked";
    if (this.head.contentLength < 0) return "close";
    return this.head.contentLength > 0 ? "length" : "none";
  }

  private keepsAlive(): boolean {
    const { head, facts } = this;
    if (facts.bodyKind === "close" || facts.bodyKind === "tunnel" || head.closeAsked) return false;
    // A 204 that announces a body may well be followed by one: nothing after it can be trusted to be a response.
    if (this.response.status === 204 && (head.chunked || head.contentLength > 0)) return false;
    return facts.minorVersion === 1 || head.keepAliveAsked;
  }
}

/** RFC 9112 appendix C.2.2 leaves Keep-Alive to its peers; `timeout=N` is what all of them write. */
const idleSecondsOf = (value: string): number => {
  const match = /(?:^|[,;\s])timeout=(\d{1,9})(?:[,;\s]|$)/i.exec(value);
  return match === null ? -1 : Number(match[1]);
};

const plainExpectations: ReadonlyMap<string, Expectation> = new Map(
  ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"].map((method) => [
    method,
    { method, upgradeAsked: false },
  ]),
);

const threeDigits = (bytes: Buffer, at: number): number => {
  let value = 0;
  for (let i = at; i < at + 3; i++) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
};

/** Interim, 204 and tunnel heads have no content, whatever they say (RFC 9110 section 8.6). */
const dropLength = (headers: HeaderList): void => {
  headers.remove("content-length");
};
