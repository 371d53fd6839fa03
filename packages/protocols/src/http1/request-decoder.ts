/**
 * The server's side of HTTP/1.x: bytes in, requests out, one reading or none.
 *
 *     const decoder = new RequestDecoder(sink, { scheme: "https" });
 *     socket.on("data", (chunk) => decoder.receive(chunk));   // calls the sink before it returns
 *     socket.on("end", () => decoder.finish());
 *
 * Per message the sink hears `onHead`, `onBody` any number of times, `onTrailers` when there are some, `onEnd`; or, at
 * any point and once per connection, `onError`: answer if nothing was answered yet, and close. Rules of the house:
 * - head, facts and trailers belong to the decoder and are overwritten by the next message; body slices are views of
 *   the chunk, valid during the call.
 * - `head.headers` holds no host (it is `head.authority`), no connection-specific fields and nothing that Connection
 *   named; `te` is there only as `trailers`, `upgrade` stays for routing. `expect` is a fact, not a field.
 *   Encoders skip what frames.
 * - Pipelining: `pause()` inside `onEnd` (or any time) stops before the next message; what is at hand is kept, so stop
 *   reading the socket while `paused`. `resume()` goes on at once.
 * - CONNECT, and an `Upgrade` that `options.upgrades` hears (named in `head.protocol`), have body kind `tunnel`: bytes
 *   are held until `acceptUpgrade()`, then come raw as `onBody` until `finish()`; `declineUpgrade()` ends the message.
 * - After a message that ends the connection (`facts.keepAlive` false) further bytes are ignored.
 */
import type { RequestHead } from "../http/head.ts";
import { HeaderList } from "../http/headers.ts";
import { hasPort, isAuthority } from "./authority.ts";
import { cr, lf, space, targetByte, tokenLower } from "./bytes.ts";
import { FramingFields, type UnderscoreNames } from "./framing-fields.ts";
import { defaultHttp1Limits, type Http1Limits } from "./limits.ts";
import type { BodyKind, Http1Error, Http1Problem, RequestFacts } from "./message.ts";
import { lineNotWhole, MessageReader, type MessageRole } from "./message-reader.ts";
import { TrailerFields } from "./trailer-fields.ts";

export interface RequestSink {
  onHead(head: RequestHead, facts: RequestFacts): void;
  onBody(bytes: Buffer): void;
  onTrailers(trailers: HeaderList): void;
  onEnd(): void;
  onError(error: Http1Error): void;
}

export interface RequestDecoderOptions {
  readonly limits?: Partial<Http1Limits>;
  /** The scheme of targets that name none: that of the connection. `http` if not given. */
  readonly scheme?: string;
  /** False refuses HTTP/1.0 with 426. True if not given. */
  readonly acceptHttp10?: boolean;
  /**
   * Protocols an Upgrade may switch to, lower case, other ones being ignored; or `any`, for who refuses what it does not
   * take. HTTP/2 is never switched to. `websocket` if not given.
   */
  readonly upgrades?: readonly string[] | "any";
  /** `accept` if not given. */
  readonly underscoreNames?: UnderscoreNames;
}

/** `HTTP/d.d` and the line's end: a version, but none of ours. */
const isOtherVersion = (bytes: Uint8Array, at: number): boolean =>
  /^HTTP\/\d\.\d\r\n$/.test(String.fromCharCode(...bytes.subarray(at, at + 10)));

const statusOf = (problem: Http1Problem): number => {
  switch (problem) {
    case "start-line-too-long":
      return 414;
    case "head-too-large":
    case "too-many-headers":
      return 431;
    case "unknown-expectation":
      return 417;
    // Where HTTP would have 505 for an unknown version Envoy says this.
    case "unsupported-version":
    case "http10-refused":
      return 426;
    case "unsupported-transfer-encoding":
      return 501;
    default:
      return 400;
  }
};

export class RequestDecoder {
  private readonly reader: MessageReader;

  constructor(sink: RequestSink, options: RequestDecoderOptions = {}) {
    const limits = { ...defaultHttp1Limits, ...options.limits };
    const role = new RequestRole(sink, options);
    this.reader = new MessageReader(role, limits, new TrailerFields(options.underscoreNames ?? "accept"));
    role.reader = this.reader;
  }

  /** Between messages, with no byte of the next one read or held. */
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
  /** Bytes kept back by `pause` or until an upgrade is decided: stop reading when they are enough. */
  get heldBytes(): number {
    return this.reader.heldBytes;
  }

  /** Takes the bytes in order, whatever their cuts. Not to be called from within a sink's method. */
  receive(chunk: Buffer): void {
    this.reader.receive(chunk);
  }
  /** The peer ended its side: mid-message that is an error, in a tunnel it is the end, else nothing. */
  finish(): void {
    this.reader.finish();
  }
  pause(): void {
    this.reader.pause();
  }
  resume(): void {
    this.reader.resume();
  }
  /** The protocol switched: what was held and all that follows is raw. */
  acceptUpgrade(): void {
    this.reader.decide(true);
  }
  /** Goes on with the next message, after `onEnd`. */
  declineUpgrade(): void {
    this.reader.decide(false);
  }
  /** Drops everything; the sink hears nothing more. */
  stop(): void {
    this.reader.stop();
  }
}

class RequestRole implements MessageRole {
  readonly head: FramingFields;
  reader!: MessageReader;
  private readonly sink: RequestSink;
  private readonly scheme: string;
  private readonly acceptHttp10: boolean;
  private readonly upgrades: readonly string[] | "any";
  private readonly request: RequestHead;
  private readonly facts: RequestFacts = {
    bodyKind: "none",
    contentLength: 0,
    minorVersion: 1,
    keepAlive: true,
    expectContinue: false,
  };
  private methodEnd = 0;
  private targetEnd = 0;
  private lineStart = 0;
  private target = "";
  /** The last host found valid: a connection mostly names one. */
  private goodHost: string | undefined;

  constructor(sink: RequestSink, options: RequestDecoderOptions) {
    this.sink = sink;
    this.scheme = options.scheme ?? "http";
    this.acceptHttp10 = options.acceptHttp10 ?? true;
    this.upgrades = options.upgrades ?? ["websocket"];
    const headers = new HeaderList();
    this.request = { method: "", scheme: this.scheme, authority: "", path: "", protocol: "", headers };
    this.head = new FramingFields(headers, {
      underscoreNames: options.underscoreNames ?? "accept",
      hostField: true,
    });
  }

  begin(byte: number): Http1Problem | undefined {
    return tokenLower[byte] === 0 && byte !== cr ? "bad-method" : undefined;
  }

  startLine(bytes: Buffer, start: number): number {
    const end = bytes.length;
    let at = start;
    while (at < end && tokenLower[bytes[at] as number] !== 0) at++;
    if (at === end) return lineNotWhole;
    if (bytes[at] !== space) return this.reader.refuseStart(bytes, start, { at, problem: "bad-method" });
    this.lineStart = start;
    this.methodEnd = at++;
    while (at < end && targetByte[bytes[at] as number] === 1) at++;
    if (at === end) return lineNotWhole;
    if (bytes[at] !== space || at === this.methodEnd + 1) {
      return this.reader.refuseStart(bytes, start, { at, problem: "bad-target" });
    }
    this.targetEnd = at++;
    const version = isHttp1(bytes, at) ? (bytes[at + 7] as number) - 0x30 : -1;
    const ended = bytes[at + 8] === cr && bytes[at + 9] === lf;
    if (!ended || (version !== 0 && version !== 1)) {
      const problem = isOtherVersion(bytes, at) ? "unsupported-version" : "bad-version";
      return this.reader.refuseStart(bytes, start, { at, problem });
    }
    this.facts.minorVersion = version;
    return at + 10;
  }

  cutStartLine(text: string, base: number): void {
    const start = this.lineStart - base;
    const methodEnd = this.methodEnd - base;
    this.request.method = methodOf(text, start, methodEnd);
    this.target = text.substring(methodEnd + 1, this.targetEnd - base);
    this.head.clear();
  }

  headEnd(): void {
    const { head, request, facts } = this;
    const problem = head.end() ?? this.readHead();
    if (problem !== undefined) {
      this.reader.fail(problem);
      return;
    }
    facts.keepAlive = facts.minorVersion === 1 ? !head.closeAsked : head.keepAliveAsked && !head.closeAsked;
    facts.expectContinue = head.expectContinue && facts.minorVersion === 1;
    facts.contentLength = Math.max(0, head.contentLength);
    facts.bodyKind = this.bodyKind();
    request.protocol = "";
    if (facts.bodyKind === "none" && head.upgradeAsked && facts.minorVersion === 1) {
      request.protocol = this.acceptedUpgrade();
    }
    if (request.method === "CONNECT") facts.keepAlive = false;
    if (request.method === "CONNECT" || request.protocol !== "") {
      facts.bodyKind = "tunnel";
      this.reader.awaitDecision(facts.keepAlive);
    } else {
      if (head.upgrade !== "") request.headers.remove("upgrade");
      this.reader.beginBody(facts.bodyKind, facts.contentLength, facts.keepAlive);
    }
    this.sink.onHead(request, facts);
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
    this.sink.onError({ status: statusOf(reason), reason });
  }

  private bodyKind(): BodyKind {
    if (this.head.chunked) return "chunked";
    return this.head.contentLength > 0 ? "length" : "none";
  }

  private acceptedUpgrade(): string {
    for (const token of this.head.upgrade.toLowerCase().split(",")) {
      const protocol = token.trim();
      if (this.upgrades === "any" ? protocol !== "" && !isHttp2(protocol) : this.upgrades.includes(protocol)) {
        return protocol;
      }
    }
    return "";
  }

  private readHead(): Http1Problem | undefined {
    const { head, request } = this;
    const old = this.facts.minorVersion === 0;
    if (old && !this.acceptHttp10) return "http10-refused";
    // The beginning of HTTP/2's preface (RFC 9113 section 3.4): what is behind it is not for a reader of HTTP/1.
    if (request.method === "PRI") return "bad-method";
    if (old && head.chunked) return "bad-transfer-encoding";
    if (head.hostCount > 1) return "duplicate-host";
    if (head.hostCount === 0 && !(old && this.namesAuthority())) return "missing-host";
    if (head.expectOther && !old) return "unknown-expectation";
    if (head.hostCount === 1 && head.host !== this.goodHost) {
      if (!isAuthority(head.host)) return head.host.includes("@") ? "userinfo" : "bad-host";
      this.goodHost = head.host;
    }
    request.authority = head.host;
    request.scheme = this.scheme;
    request.path = this.target;
    if (request.method === "CONNECT") return this.readConnect();
    if (this.target.charCodeAt(0) === 0x2f) return undefined;
    if (this.target === "*") return request.method === "OPTIONS" ? undefined : "bad-target";
    return this.readAbsolute();
  }

  /** HTTP/1.0 needs no Host where the target says the same. */
  private namesAuthority(): boolean {
    return this.request.method === "CONNECT" || (this.target !== "*" && this.target.charCodeAt(0) !== 0x2f);
  }

  private readConnect(): Http1Problem | undefined {
    if (this.head.chunked) return "bad-transfer-encoding";
    if (this.head.contentLength > 0) return "bad-content-length";
    if (this.target.includes("@")) return "userinfo";
    if (!isAuthority(this.target) || !hasPort(this.target)) return "bad-target";
    this.request.authority = this.target;
    this.request.path = "";
    return undefined;
  }

  /** RFC 9112 section 3.2.2: the authority of an absolute-form target replaces Host. */
  private readAbsolute(): Http1Problem | undefined {
    const parts = /^(https?):\/\/([^/?]*)(.*)$/i.exec(this.target);
    if (!parts) return "bad-target";
    const [, scheme = "", authority = "", rest = ""] = parts;
    if (authority.includes("@")) return "userinfo";
    if (!isAuthority(authority)) return "bad-target";
    this.request.scheme = scheme.toLowerCase();
    this.request.authority = authority;
    if (rest === "") this.request.path = this.request.method === "OPTIONS" ? "*" : "/";
    else this.request.path = rest.startsWith("?") ? `/${rest}` : rest;
    return undefined;
  }
}

const isHttp2 = (protocol: string): boolean => protocol === "h2c" || protocol === "h2" || protocol.startsWith("http/");

/** Whether `HTTP/1.` stands there, whatever follows. */
export const isHttp1 = (bytes: Buffer, at: number): boolean =>
  bytes[at] === 0x48 &&
  bytes[at + 1] === 0x54 &&
  bytes[at + 2] === 0x54 &&
  bytes[at + 3] === 0x50 &&
  bytes[at + 4] === 0x2f &&
  bytes[at + 5] === 0x31 &&
  bytes[at + 6] === 0x2e;

const methodOf = (text: string, start: number, end: number): string => {
  if (text.startsWith("GET ", start)) return "GET";
  if (text.startsWith("POST ", start)) return "POST";
  return text.substring(start, end);
};
