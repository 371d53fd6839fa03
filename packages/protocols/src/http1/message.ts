/** What both HTTP/1 decoders say beside the head itself. */

/**
 * How a message's body is delimited. `length`: content-length, above 0. `close`: until the peer closes.
 * `tunnel`: no message body but raw bytes after a switch (101, CONNECT), until the peer closes.
 */
export type BodyKind = "none" | "length" | "chunked" | "close" | "tunnel";

/** Why a peer's bytes were refused. Stable names, fit for a counter, a log line and response code details. */
export type Http1Problem =
  | "empty-lines"
  | "bad-method"
  | "bad-target"
  | "bad-version"
  | "unsupported-version"
  | "http10-refused"
  | "bad-status"
  | "start-line-too-long"
  | "head-too-large"
  | "too-many-headers"
  | "bad-header-name"
  | "bad-header-value"
  | "underscore-header"
  | "folded-line"
  | "bare-cr"
  | "bare-lf"
  | "missing-host"
  | "duplicate-host"
  | "bad-host"
  | "userinfo"
  | "bad-content-length"
  | "duplicate-content-length"
  | "bad-transfer-encoding"
  | "unsupported-transfer-encoding"
  | "length-and-transfer-encoding"
  | "bad-connection"
  | "unknown-expectation"
  | "bad-chunk-size"
  | "bad-chunk-extension"
  | "chunk-extension-too-large"
  | "bad-chunk-end"
  | "bad-trailer"
  | "unexpected-response"
  | "unexpected-upgrade"
  | "too-many-interim"
  | "held-bytes-exceeded"
  | "closed-mid-message";

/** A peer broke the protocol. The decoder takes nothing after it; the connection must be closed. */
export interface Http1Error {
  /** What a server answers: 400, 414, 417, 426, 431 or 501. From a response decoder it is always 502. */
  readonly status: number;
  readonly reason: Http1Problem;
}

/** Facts of a request beside its head. One object per decoder, overwritten by the next message. */
export interface RequestFacts {
  bodyKind: BodyKind;
  /** For `length` the bytes of body, else 0. */
  contentLength: number;
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minorVersion: number;
  /** What the client allows; false for CONNECT. The server may still close. */
  keepAlive: boolean;
  /** The client waits for `100 Continue` before it sends the body. */
  expectContinue: boolean;
}

/** Facts of a response beside its head. One object per decoder, overwritten by the next message. */
export interface ResponseFacts {
  bodyKind: BodyKind;
  contentLength: number;
  minorVersion: number;
  /** Whether the connection can carry another request after this response. */
  keepAlive: boolean;
  /** How long the server keeps the connection without a request, as its Keep-Alive says; -1 where it says nothing. */
  idleSeconds: number;
}
