/**
 * Heads and chunk framing as text to be written in latin1 (`socket.write(text, "latin1")` or
 * `buffer.latin1Write(text, offset)`). Framing comes only from the arguments: connection-specific fields in the list
 * are left out, so a message can never carry two framings.
 */
import type { RequestHead, ResponseHead } from "../http/head.ts";
import type { HeaderList } from "../http/headers.ts";
import type { BodyKind } from "./message.ts";
import { reasonPhrase } from "./reason-phrases.ts";

/** What the Connection field says; empty for none. `upgrade` goes with an `upgrade` field in the list or the head. */
export type ConnectionOption = "" | "close" | "keep-alive" | "upgrade";

/** Thrown instead of writing text that would read as more than one field, or a body without its length. */
export class EncodeError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = "EncodeError";
  }
}

/**
 * A request's head. For `length` the list must hold content-length; for `chunked` one in it is left out, for `none` too
 * unless it is 0; `tunnel` writes an upgrade to `head.protocol`, or CONNECT. Throws EncodeError.
 */
export const encodeRequestHead = (
  head: RequestHead,
  body: Exclude<BodyKind, "close">,
  connection: ConnectionOption = "",
): string => {
  const upgrading = head.protocol !== "" && head.method !== "CONNECT";
  const target = head.method === "CONNECT" ? head.authority : head.path;
  if (!word.test(head.method) || !word.test(target) || !wordOrNothing.test(head.authority)) {
    throw new EncodeError("the start line would not be one line of three words");
  }
  const rule = body === "length" ? lengthRequired : body === "none" ? lengthIfZero : lengthDropped;
  let text = `${head.method} ${target} HTTP/1.1\r\nhost: ${head.authority}\r\n${encodeFields(head.headers, rule)}`;
  if (body === "chunked") text += chunkedField;
  if (upgrading) text += upgradeFields(head.protocol);
  else if (connection !== "") text += connectionFields[connection];
  return `${text}\r\n`;
};

/**
 * A response's head. `body` is what follows it: for `length` the list must hold content-length; for `none` one in it
 * stays (a response to HEAD, 304) except with 1xx and 204. A 101 keeps the list's `upgrade`. Throws EncodeError.
 */
export const encodeResponseHead = (head: ResponseHead, body: BodyKind, connection: ConnectionOption = ""): string => {
  const { status, headers } = head;
  const bodiless = status < 200 || status === 204 || body === "tunnel";
  const length = bodiless || body === "chunked" || body === "close" ? lengthDropped : lengthAsIs;
  let text = `HTTP/1.1 ${status}${reasonPhrase(status)}\r\n`;
  text += encodeFields(headers, body === "length" ? lengthRequired : length);
  if (body === "chunked") text += chunkedField;
  if (status === 101) text += upgradeFields(headers.get("upgrade") ?? "websocket");
  else if (connection !== "") text += connectionFields[connection];
  return `${text}\r\n`;
};

/**
 * How a response's body is to be delimited towards a client: `none` when it can have none, `length` when the list
 * holds content-length, else `chunked`, or `close` for an HTTP/1.0 client.
 */
export const responseBodyKind = (
  head: ResponseHead,
  request: { readonly method: string; readonly minorVersion: number },
): BodyKind => {
  const { status, headers } = head;
  if (status === 101 || (request.method === "CONNECT" && status >= 200 && status < 300)) return "tunnel";
  if (request.method === "HEAD" || status < 200 || status === 204 || status === 304) return "none";
  if (headers.has("content-length")) return "length";
  return request.minorVersion === 0 ? "close" : "chunked";
};

/** What goes before a chunk's bytes; `chunkEnd` goes after them. A chunk has at least one byte. */
export const chunkStart = (length: number): string => `${length.toString(16)}\r\n`;
export const chunkEnd = "\r\n";

/** The end of a chunked body, with its trailers if it has some. Throws EncodeError. */
export const encodeLastChunk = (trailers?: HeaderList): string =>
  trailers === undefined || trailers.size === 0 ? "0\r\n\r\n" : `0\r\n${encodeFields(trailers, lengthDropped)}\r\n`;

export const continueHead = "HTTP/1.1 100 Continue\r\n\r\n";

const chunkedField = "transfer-encoding: chunked\r\n";
const connectionFields: Readonly<Record<Exclude<ConnectionOption, "">, string>> = {
  close: "connection: close\r\n",
  "keep-alive": "connection: keep-alive\r\n",
  upgrade: "connection: upgrade\r\n",
};

const upgradeFields = (protocol: string): string => {
  if (fieldBreaker.test(protocol)) throw new EncodeError("a value would not be one line: upgrade");
  return `connection: upgrade\r\nupgrade: ${protocol}\r\n`;
};

/** What becomes of a content-length in the list. */
type LengthRule = typeof lengthAsIs | typeof lengthDropped | typeof lengthIfZero | typeof lengthRequired;
const lengthAsIs = 0;
const lengthDropped = 1;
const lengthIfZero = 2;
const lengthRequired = 3;

const word = /^[\x21-\x7e]+$/;
const wordOrNothing = /^[\x21-\x7e]*$/;
const fieldBreaker = /[\0\r\n]/;

const encodeFields = (headers: HeaderList, rule: LengthRule): string => {
  let text = "";
  let lengths = 0;
  for (let i = 0; i < headers.size; i++) {
    const name = headers.nameAt(i);
    const value = headers.valueAt(i);
    switch (name.length) {
      case 4:
        if (name === "host") continue;
        break;
      case 7:
        if (name === "upgrade") continue;
        break;
      case 10:
        if (name === "connection" || name === "keep-alive") continue;
        break;
      case 14:
        if (name === "http2-settings") continue;
        if (name === "content-length") {
          if (rule === lengthDropped || (rule === lengthIfZero && value !== "0")) continue;
          lengths++;
        }
        break;
      case 16:
        if (name === "proxy-connection") continue;
        break;
      case 17:
        if (name === "transfer-encoding") continue;
        break;
    }
    if (fieldBreaker.test(value) || fieldBreaker.test(name)) {
      throw new EncodeError(`a field would not be one line: ${JSON.stringify(name)}`);
    }
    text = `${text}${name}: ${value}\r\n`;
  }
  if (lengths > 1 || (rule === lengthRequired && lengths === 0)) throw new EncodeError("no single content-length");
  return text;
};
