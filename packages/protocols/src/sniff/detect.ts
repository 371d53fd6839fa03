/** Tells a connection's protocol from the first bytes its client sent. */

export type DetectedProtocol = "tls" | "http1" | "http2" | "other" | "need-more";

/** Enough for every decision: more bytes never change it. */
export const detectBytesMax = 64;

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** Methods are upper-case words, longer ones than any registered are not HTTP to us. */
const methodBytesMax = 32;
const handshakeRecord = 22;
const space = 0x20;

/**
 * `need-more` only while the bytes can still become TLS, HTTP/2 or HTTP/1. A request line whose target does not end
 * within `detectBytesMax` counts as HTTP/1 by its method and the target's first byte.
 */
export const detectProtocol = (bytes: Buffer): DetectedProtocol => {
  if (bytes.length === 0) return "need-more";
  if (bytes[0] === handshakeRecord) return detectTls(bytes);
  const compared = Math.min(bytes.length, preface.length);
  if (bytes.subarray(0, compared).equals(preface.subarray(0, compared))) {
    return compared === preface.length ? "http2" : "need-more";
  }
  return detectHttp1(bytes);
};

/** A handshake record of version 3.x that begins with a ClientHello. */
const detectTls = (bytes: Buffer): DetectedProtocol => {
  if (bytes.length > 1 && bytes[1] !== 3) return "other";
  if (bytes.length > 2 && (bytes[2] as number) > 4) return "other";
  if (bytes.length < 6) return "need-more";
  return bytes[5] === 1 ? "tls" : "other";
};

const isUpper = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x41 && byte <= 0x5a;

/** `METHOD SP target SP HTTP/1.`; what cannot go on like that is something else. */
const detectHttp1 = (bytes: Buffer): DetectedProtocol => {
  let at = 0;
  while (at < bytes.length && (isUpper(bytes[at]) || (at > 0 && bytes[at] === 0x2d))) at++;
  if (at === bytes.length) return at > methodBytesMax ? "other" : "need-more";
  if (at === 0 || at > methodBytesMax || bytes[at] !== space) return "other";
  const target = at + 1;
  at = target;
  while (at < bytes.length && (bytes[at] as number) > space && (bytes[at] as number) < 0x7f) at++;
  if (at === bytes.length) return at < detectBytesMax ? "need-more" : byTarget(bytes[target] as number);
  if (bytes[at] !== space || at === target) return "other";
  const version = bytes.subarray(at + 1, at + 8).toString("latin1");
  if (version.length < 7) return "HTTP/1.".startsWith(version) ? "need-more" : "other";
  return version === "HTTP/1." ? "http1" : "other";
};

/** Origin-form, absolute-form, authority-form or `*`. */
const byTarget = (first: number): DetectedProtocol =>
  /[/*a-zA-Z0-9[]/.test(String.fromCharCode(first)) ? "http1" : "other";
