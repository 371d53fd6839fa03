/** A token bucket: `burst` at once, then `perSecond`. */
export interface BudgetLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/** Every bound of one HTTP/2 connection. Passing one ends the connection with ENHANCE_YOUR_CALM unless said. */
export interface Http2Limits {
  /** Streams the peer may have open; more are refused with REFUSED_STREAM. */
  readonly concurrentStreams: number;
  /** Decoded bytes of a header block, 32 added for each field; a request beyond is answered 431. */
  readonly headerBytes: number;
  /** Fields in a header block; a request beyond is answered 431. */
  readonly headerCount: number;
  /** Encoded bytes of a header block. */
  readonly headerBlockBytes: number;
  readonly continuationFrames: number;
  /** How long a header block may stay unfinished, and the peer's SETTINGS and its acknowledgement of ours may take. */
  readonly handshakeTimeoutMs: number;
  /** Frames we owe the peer (acknowledgements, resets, window updates) while it does not read. */
  readonly controlFramesQueued: number;
  /** Output held while the peer does not read; DATA beyond it waits in its stream. */
  readonly outputBytes: number;
  /** Output held in all, heads of answers included. */
  readonly outputBytesMax: number;
  /** DATA waiting in one stream; a caller that goes on after `false` loses the stream beyond this. */
  readonly streamQueueBytes: number;
  /** Streams the peer cancelled before their answer, or made us reset. An answered stream gives one back. */
  readonly resets: BudgetLimit;
  readonly emptyData: BudgetLimit;
  readonly settings: BudgetLimit;
  /** Each DATA frame received gives one back: gRPC peers measure the path with PINGs while they send. */
  readonly pings: BudgetLimit;
  /** Each DATA frame sent gives some back. */
  readonly windowUpdates: BudgetLimit;
  /** PRIORITY, unknown frames, and frames for streams that are gone. */
  readonly ignoredFrames: BudgetLimit;
}

/** What a peer did too much of, when its connection ended for it. */
export type Http2Flood =
  | "resets"
  | "header-block"
  | "empty-data"
  | "settings"
  | "pings"
  | "window-updates"
  | "ignored-frames"
  | "control-output"
  | "output";

export const http2Limits: Http2Limits = {
  concurrentStreams: 100,
  headerBytes: 60 * 1024,
  headerCount: 100,
  headerBlockBytes: 64 * 1024,
  continuationFrames: 10,
  handshakeTimeoutMs: 10_000,
  controlFramesQueued: 2_000,
  outputBytes: 256 * 1024,
  outputBytesMax: 1024 * 1024,
  streamQueueBytes: 1024 * 1024,
  resets: { burst: 400, perSecond: 50 },
  emptyData: { burst: 100, perSecond: 10 },
  settings: { burst: 50, perSecond: 5 },
  pings: { burst: 500, perSecond: 100 },
  windowUpdates: { burst: 2_000, perSecond: 500 },
  ignoredFrames: { burst: 1_000, perSecond: 100 },
};
