/** Bounds of HTTP exchanges by name. */

/** Request bytes kept so that a retry can send them again, and while there is no upstream stream yet. */
export const replayBytesMax = 64 * 1024;

/** Exchanges kept for reuse. */
export const freeExchangesMax = 1024;

/** How long an idle HTTP/1 connection still takes a request once its listener drains. */
export const drainIdleMs = 1_000;
