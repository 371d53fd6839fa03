/** Every bound of the HTTP/1 codec by name; a message over one is refused, never buffered further. */
export interface Http1Limits {
  /** Start line and fields together, with their line ends: 431. Trailers have the same allowance again. */
  readonly headBytesMax: number;
  /** The request line (414) or status line alone, line end included. */
  readonly startLineBytesMax: number;
  /** Fields in a head, and in the trailers: 431. */
  readonly headersMax: number;
  /** Chunk extensions over the whole message. They are read over and dropped. */
  readonly chunkExtensionBytesMax: number;
  /** Bytes a paused decoder takes from further `receive` calls; who stops reading while `paused` never meets it. */
  readonly heldBytesMax: number;
  /** Interim (1xx) responses before a final one. */
  readonly interimMax: number;
  /** Requests sent on one connection whose responses are still to come. */
  readonly expectedMax: number;
}

export const defaultHttp1Limits: Http1Limits = {
  headBytesMax: 60 * 1024,
  startLineBytesMax: 60 * 1024,
  headersMax: 100,
  chunkExtensionBytesMax: 16 * 1024,
  heldBytesMax: 64 * 1024,
  interimMax: 16,
  expectedMax: 1024,
};
