/**
 * Sorts a head's fields: those that frame the message or belong to this connection alone are read here, the rest goes
 * to the head's list. Both decoders take every decision on framing from it, so there is one reading.
 */
import type { HeaderList } from "../http/headers.ts";
import type { FieldTarget } from "./field-scanner.ts";
import { isNeverPerHop, isUnderscoreTwin, lastActedId, nameId } from "./known-names.ts";
import type { Http1Problem } from "./message.ts";

/**
 * What becomes of names with an underscore, which some servers read as a hyphen. Those that such a server would take
 * for a framing field or one the proxy vouches for are dropped even when others are accepted.
 */
export type UnderscoreNames = "accept" | "drop" | "refuse";

/** More tokens than this in Connection are refused: each costs a pass over the list. */
const connectionTokensMax = 32;
const contentLengthDigitsMax = 15;

const tokenOrNothing = /^[!#$%&'*+.^_`|~0-9a-z-]*$/;

/** Fields a Connection header cannot take away from a message, since they frame it or were handled already. */
const notNominable: ReadonlySet<string> = new Set(["content-length", "te", "upgrade", "host", "expect"]);

export class FramingFields implements FieldTarget {
  hostCount = 0;
  host = "";
  /** -1 when there is no content-length. */
  contentLength = -1;
  chunked = false;
  upgrade = "";
  expectContinue = false;
  /** Something else than `100-continue` was expected. */
  expectOther = false;
  closeAsked = false;
  keepAliveAsked = false;
  upgradeAsked = false;
  /** What Keep-Alive says of how long the peer keeps an idle connection; empty where it is not there. */
  keepAlive = "";
  private readonly list: HeaderList;
  private readonly underscoreNames: UnderscoreNames;
  private readonly hostField: boolean;
  private connection = "";
  private problem: Http1Problem | undefined;

  /** `hostField`: the message is a request, whose Host is not an ordinary field. */
  constructor(list: HeaderList, options: { readonly underscoreNames: UnderscoreNames; readonly hostField: boolean }) {
    this.list = list;
    this.underscoreNames = options.underscoreNames;
    this.hostField = options.hostField;
  }

  clear(): void {
    this.list.clear();
    this.hostCount = 0;
    this.host = "";
    this.contentLength = -1;
    this.chunked = false;
    this.upgrade = "";
    this.expectContinue = false;
    this.expectOther = false;
    this.closeAsked = false;
    this.keepAliveAsked = false;
    this.upgradeAsked = false;
    this.keepAlive = "";
    this.connection = "";
    this.problem = undefined;
  }

  field(id: number, name: string, value: string): void {
    if (id > lastActedId) this.list.add(name, value);
    else if (id >= 0) this.act(id, name, value);
    else if (!this.hostField || !name.includes("_")) this.list.add(name, value);
    else if (this.underscoreNames === "refuse") this.refuse("underscore-header");
    else if (this.underscoreNames === "accept" && !isUnderscoreTwin(name)) this.list.add(name, value);
  }

  /** Judges the whole: what is wrong with the fields, or nothing. Removes what Connection names. */
  end(): Http1Problem | undefined {
    if (this.contentLength >= 0 && this.chunked) this.refuse("length-and-transfer-encoding");
    if (this.connection !== "") this.readConnection();
    return this.problem;
  }

  private act(id: number, name: string, value: string): void {
    switch (id) {
      case nameId.host:
        if (!this.hostField) this.list.add(name, value);
        this.hostCount++;
        this.host = value;
        break;
      case nameId.contentLength:
        this.readLength(name, value);
        break;
      case nameId.transferEncoding:
        if (this.chunked) this.refuse("bad-transfer-encoding");
        else if (value.toLowerCase() !== "chunked") this.refuse(codingProblem(value));
        this.chunked = true;
        break;
      case nameId.connection:
        this.connection = this.connection === "" ? value : `${this.connection},${value}`;
        break;
      case nameId.keepAlive:
        this.keepAlive = value;
        break;
      case nameId.upgrade:
        this.upgrade = this.upgrade === "" ? value : `${this.upgrade},${value}`;
        if (value !== "") this.list.add(name, value);
        break;
      case nameId.te:
        if (/(^|,)[ \t]*trailers[ \t]*(;|,|$)/i.test(value) && !this.list.has("te")) this.list.add(name, "trailers");
        break;
      case nameId.expect:
        if (value.toLowerCase() === "100-continue") this.expectContinue = true;
        else this.expectOther = true;
        break;
    }
  }

  private readLength(name: string, value: string): void {
    if (this.contentLength >= 0) this.refuse("duplicate-content-length");
    this.contentLength = parseLength(value);
    if (this.contentLength < 0) {
      this.refuse("bad-content-length");
      this.contentLength = 0;
    }
    // Without leading zeros, which an octal reading would take for another length.
    this.list.add(name, value.charCodeAt(0) === 0x30 ? String(this.contentLength) : value);
  }

  private readConnection(): void {
    const value = this.connection.toLowerCase();
    if (value === "keep-alive") this.keepAliveAsked = true;
    else if (value === "close") this.closeAsked = true;
    else {
      const tokens = value.split(",", connectionTokensMax + 1);
      if (tokens.length > connectionTokensMax) this.refuse("bad-connection");
      else for (const token of tokens) this.readConnectionToken(token.trim());
    }
  }

  private readConnectionToken(token: string): void {
    if (token === "close") this.closeAsked = true;
    else if (token === "keep-alive") this.keepAliveAsked = true;
    else if (token === "upgrade") this.upgradeAsked = true;
    else if (isNeverPerHop(token) || !tokenOrNothing.test(token)) this.refuse("bad-connection");
    else if (!notNominable.has(token)) this.list.remove(token);
  }

  private refuse(problem: Http1Problem): void {
    this.problem ??= problem;
  }
}

const codingProblem = (value: string): Http1Problem =>
  knownCodings.has(value.toLowerCase().replace(/[ \t]*,[ \t]*chunked$/, ""))
    ? "unsupported-transfer-encoding"
    : "bad-transfer-encoding";

/** The registered transfer codings, none of which a proxy can pass on. */
const knownCodings: ReadonlySet<string> = new Set(["gzip", "x-gzip", "deflate", "compress", "x-compress"]);

/** The value of a content-length, digits only; -1 when it is not one. */
const parseLength = (value: string): number => {
  if (value.length === 0 || value.length > contentLengthDigitsMax) return -1;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
};
