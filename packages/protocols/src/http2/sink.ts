import type { RequestHead, ResponseHead } from "../http/head.ts";
import type { HeaderList } from "../http/headers.ts";
import type { Http2Flood } from "./limits.ts";

/**
 * Who ended a stream before its time. `peer`: RST_STREAM came. `self`: we reset it for what the peer did.
 * `unprocessed`: the peer's GOAWAY says it never saw it, so it may be sent again. `connection`: the connection ended.
 */
export type ResetCause = "peer" | "self" | "unprocessed" | "connection";

/**
 * What a connection tells its owner, from inside the call that caused it. The connection may be called back at once,
 * but from `onOutput`.
 */
export interface Http2Sink {
  /** There is output to take; called once until it is taken. A note to write this turn, nothing more. */
  onOutput(): void;
  /** Body bytes; the chunk is good during the call only. `consume` gives the peer room for as many again. */
  onData(streamId: number, chunk: Buffer, endStream: boolean): void;
  /** The message ends with these. */
  onTrailers(streamId: number, trailers: HeaderList): void;
  /** Everything that waited in that stream is out, after `data` said false. */
  onWritable(streamId: number): void;
  /** The stream ended before its time. `onStreamEnd` follows. */
  onReset(streamId: number, code: number, cause: ResetCause): void;
  /**
   * The last word on a stream that was shown by `onRequest` or opened by `request`: both sides ended, it was reset, or
   * the connection ended. The id means nothing any more. Also after the application's own `reset`.
   */
  onStreamEnd(streamId: number): void;
  /** The peer's SETTINGS came; a client may have more or fewer slots. */
  onSettings(): void;
  /** The peer takes no new streams. Streams above `lastStreamId` have been reset as unprocessed. */
  onGoaway(lastStreamId: number, code: number): void;
  /** The connection is over, every stream has ended. Send what output is left, then close. 0 for a good end. */
  onClosed(code: number, reason: string): void;
  /** A malformed or too large message was refused; when it had been shown before, `onReset` follows. For counting. */
  onRefused?(streamId: number, reason: string): void;
  /** The connection is about to end because the peer passed one of its limits. For counting. */
  onFlood?(what: Http2Flood): void;
  /** Where trailers go; a new list when absent. */
  trailersFor?(streamId: number): HeaderList;
}

export interface Http2ServerSink extends Http2Sink {
  /** A request. `head` is the one `requestFor` gave, or a new one. */
  onRequest(streamId: number, head: RequestHead, endStream: boolean): void;
  /** Where the request's head goes, asked when it has been found valid; a new one when absent. */
  requestFor?(streamId: number): RequestHead;
}

export interface Http2ClientSink extends Http2Sink {
  /** A response, or an interim one (1xx) before it, in the head `responseFor` gave, or a new one. */
  onResponse(streamId: number, head: ResponseHead, endStream: boolean): void;
  /** Where the response's head goes; a new one when absent. */
  responseFor?(streamId: number): ResponseHead;
}
