/**
 * The seam between an exchange and the two codecs it joins. Whatever versions meet, these are the only calls between
 * them. Bytes are valid during a call only; heads and trailers until the stream ends.
 */
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";

/** The client's side of one request, as the exchange drives it. */
export interface ServerStream {
  /** The request's body is not wholly received yet. */
  readonly requestOpen: boolean;
  /** Interim responses go out as they come; HTTP/1.0 clients get none. */
  writeInterim(head: ResponseHead): void;
  /** `end` true: no body follows. A `tunnel` head (101, 2xx to CONNECT) makes all that follows raw both ways. */
  writeHead(head: ResponseHead, end: boolean): void;
  /** False: the client does not keep up; stop its source until `RequestSink.onClientWritable`. */
  writeData(bytes: Buffer): boolean;
  /** Ends the response with trailers, dropped where the client cannot take them. */
  writeTrailers(trailers: HeaderList): void;
  /** Ends the response. */
  writeEnd(): void;
  /** Gives the response up midway: the client must see that it is broken. */
  abort(): void;
  /** Stops and restarts the request's body. */
  pauseBody(): void;
  resumeBody(): void;
  /** The exchange is over and keeps nothing of the request: the stream may take the next one. */
  release(): void;
}

/** What the client's side tells the exchange. */
export interface RequestSink {
  onRequestData(bytes: Buffer): void;
  onRequestTrailers(trailers: HeaderList): void;
  onRequestEnd(): void;
  /** The client went away, reset its stream or broke the protocol; the stream takes nothing more. */
  onClientGone(reset?: boolean): void;
  onClientWritable(): void;
}

/** The first URI names of both certificates of an upstream connection. */
export interface UpstreamIdentities {
  readonly localUri: string;
  readonly peerUri: string;
}

/** The upstream's side of one attempt, as the exchange drives it. */
export interface ClientStream {
  /** The version spoken. */
  readonly protocol: "HTTP/1.1" | "HTTP/2";
  readonly localAddress: string;
  readonly tls: UpstreamIdentities | undefined;
  /** False: the head cannot be written (not fit for the version); nothing was sent. */
  writeHead(head: RequestHead, body: RequestBody): boolean;
  writeData(bytes: Buffer): boolean;
  writeTrailers(trailers: HeaderList): void;
  writeEnd(): void;
  /** The exchange is no longer interested. The sink hears nothing more. */
  cancel(): void;
  pauseBody(): void;
  resumeBody(): void;
}

/** `none`: no body. `open`: a body follows. `tunnel`: an upgrade or CONNECT, raw after the answer. */
export type RequestBody = "none" | "open" | "tunnel";

/** How an attempt broke, in Envoy's terms. */
export type UpstreamBreak =
  | "connect-failure"
  | "connect-timeout"
  | "connection-termination"
  | "remote-reset"
  | "refused"
  | "protocol-error"
  | "overflow";

/** The detail of a `refused` by GOAWAY: the server did not even look at the request. */
export const unprocessed = "unprocessed";

export interface ClientStreamSink {
  /** Whether that stream is the one it waits for; absent where nobody asks. */
  holds?(stream: ClientStream): boolean;
  onInterim(head: ResponseHead): void;
  /** `head` stays valid until the stream's end. */
  onHead(head: ResponseHead, end: boolean): void;
  onData(bytes: Buffer): void;
  onTrailers(trailers: HeaderList): void;
  /** The response is whole. After a head with `end`, or trailers, it is not called. */
  onEnd(): void;
  onWritable(): void;
  /** The last call when the response did not come whole. */
  onBroken(how: UpstreamBreak, detail: string): void;
}
