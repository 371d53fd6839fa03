import type { FieldBlock } from "../hpack/decoder.ts";
import type { Field } from "../hpack/field.ts";
import { FIELD } from "../hpack/field-name.ts";
import type { RequestHead, ResponseHead } from "../http/head.ts";
import type { HeaderList } from "../http/headers.ts";
import type { UnderscoreNames } from "../http1/framing-fields.ts";

/**
 * Judges decoded header blocks by RFC 9113 section 8 and turns them into heads. Scratch: what a `read…` found is good
 * until the next. Each returns why the message is malformed, or an empty string.
 */
export class MessageReader {
  method = "";
  scheme = "";
  authority = "";
  path = "";
  protocol = "";
  status = 0;
  /** From content-length; -1 without one. */
  contentLength = -1;
  /** A name had an underscore. */
  underscored = false;
  private host = "";
  private hasHost = false;
  private pseudoSeen = 0;
  private regularSeen = false;

  readRequest(block: FieldBlock, allowsProtocol: boolean): string {
    this.reset();
    for (let i = 0; i < block.count; i++) {
      const problem = this.readField(block.fields[i]!, REQUEST_PSEUDO);
      if (problem !== "") return problem;
    }
    if (this.method === "") return "no :method";
    const seen = this.pseudoSeen;
    if (seen & (1 << FIELD.protocol)) {
      if (!allowsProtocol) return ":protocol without the setting";
      if (this.method !== "CONNECT") return ":protocol without CONNECT";
    } else if (this.method === "CONNECT") {
      const others = (1 << FIELD.scheme) | (1 << FIELD.path);
      if (seen & others) return "CONNECT with :scheme or :path";
      return this.authority === "" ? "CONNECT without :authority" : this.settleHost();
    }
    if (this.scheme === "") return "no :scheme";
    if (this.path === "") return "no :path";
    if (this.path === "*" && this.method !== "OPTIONS") return "path * without OPTIONS";
    return this.settleHost();
  }

  readResponse(block: FieldBlock): string {
    this.reset();
    for (let i = 0; i < block.count; i++) {
      const problem = this.readField(block.fields[i]!, RESPONSE_PSEUDO);
      if (problem !== "") return problem;
    }
    if (this.status === 0) return "no :status";
    return this.status === 101 ? "status 101 does not exist in HTTP/2" : "";
  }

  readTrailers(block: FieldBlock): string {
    this.reset();
    for (let i = 0; i < block.count; i++) {
      const field = block.fields[i]!;
      const problem = this.readField(field, 0);
      if (problem !== "") return problem;
      const kind = field.name.kind;
      if (kind === FIELD.contentLength || kind === FIELD.host) return `${field.name.text} in trailers`;
    }
    return "";
  }

  fillRequest(block: FieldBlock, head: RequestHead, underscoreNames: UnderscoreNames | undefined): void {
    head.method = this.method;
    head.scheme = this.scheme;
    head.authority = this.authority;
    head.path = this.path;
    head.protocol = this.protocol;
    this.fillHeaders(block, head.headers, underscoreNames);
  }

  fillResponse(block: FieldBlock, head: ResponseHead): void {
    head.status = this.status;
    this.fillHeaders(block, head.headers, undefined);
  }

  /**
   * Everything but pseudo-headers and host, and what `underscoreNames` leaves out. Cookie crumbs become one field again
   * (RFC 9113 section 8.2.3).
   */
  fillHeaders(block: FieldBlock, headers: HeaderList, underscoreNames: UnderscoreNames | undefined): void {
    headers.clear();
    let cookies = "";
    for (let i = 0; i < block.count; i++) {
      const { name, value, sensitive } = block.fields[i]!;
      const kind = name.kind;
      if (kind === FIELD.cookie) {
        cookies = cookies === "" ? value : `${cookies}; ${value}`;
      } else if (kind === FIELD.ordinary || kind === FIELD.contentLength || kind === FIELD.te) {
        headers.add(name.text, value);
      } else if (kind >= FIELD.underscored && takesUnderscored(kind, underscoreNames)) {
        headers.add(name.text, value);
      } else {
        continue;
      }
      if (sensitive) headers.markSensitive(name.text);
    }
    if (cookies !== "") headers.add("cookie", cookies);
  }

  private readField(field: Field, pseudoAllowed: number): string {
    const { kind, text } = field.name;
    if (!field.valid) return problemOf(field);
    if (kind === FIELD.ordinary || kind >= FIELD.te) {
      this.regularSeen = true;
      if (kind === FIELD.contentLength) {
        if (this.contentLength >= 0) return "content-length twice";
        this.contentLength = Number(field.value);
      } else if (kind === FIELD.host) {
        if (this.hasHost) return "host twice";
        this.hasHost = true;
        this.host = field.value;
      } else if (kind >= FIELD.underscored) {
        this.underscored = true;
      }
      return "";
    }
    const bit = 1 << kind;
    if ((pseudoAllowed & bit) === 0) return `${text} does not belong here`;
    if (this.regularSeen) return `${text} behind other fields`;
    if (this.pseudoSeen & bit) return `${text} twice`;
    this.pseudoSeen |= bit;
    this.readPseudo(kind, field.value);
    return "";
  }

  private readPseudo(kind: number, value: string): void {
    switch (kind) {
      case FIELD.method:
        this.method = value;
        break;
      case FIELD.scheme:
        this.scheme = value === "http" || value === "https" ? value : value.toLowerCase();
        break;
      case FIELD.authority:
        this.authority = value;
        break;
      case FIELD.path:
        this.path = value;
        break;
      case FIELD.protocol:
        this.protocol = value;
        break;
      default:
        this.status = Number(value);
    }
  }

  /** One reading of whom the request is for, or none (RFC 9113 section 8.3.1). */
  private settleHost(): string {
    if (this.authority === "") this.authority = this.host;
    else if (this.hasHost && this.host !== this.authority) {
      if (this.host.toLowerCase() !== this.authority.toLowerCase()) return "host is not :authority";
    }
    return this.authority === "" ? "no :authority" : "";
  }

  private reset(): void {
    this.method = "";
    this.scheme = "";
    this.authority = "";
    this.path = "";
    this.protocol = "";
    this.status = 0;
    this.contentLength = -1;
    this.underscored = false;
    this.host = "";
    this.hasHost = false;
    this.pseudoSeen = 0;
    this.regularSeen = false;
  }
}

const REQUEST_PSEUDO =
  (1 << FIELD.method) | (1 << FIELD.scheme) | (1 << FIELD.authority) | (1 << FIELD.path) | (1 << FIELD.protocol);
const RESPONSE_PSEUDO = 1 << FIELD.status;

/** As the HTTP/1 codec does: what a server behind might take for another field is never passed on. */
const takesUnderscored = (kind: number, names: UnderscoreNames | undefined): boolean =>
  names === undefined || (names === "accept" && kind === FIELD.underscored);

const problemOf = (field: Field): string => {
  const { kind, valid } = field.name;
  if (!valid) return "malformed field name";
  if (kind === FIELD.connectionSpecific) return "connection-specific field";
  return kind === FIELD.unknownPseudo ? "unknown pseudo-header" : `malformed value of ${field.name.text}`;
};
