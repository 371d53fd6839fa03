/** Bounds of HTTP exchanges by name. */

/** Request bytes kept so that a retry can send them again, and while there is no upstream stream yet. */
export const replayBytesMax = 64 * 1024;

/** Exchanges kept for reuse. */
export const freeExchangesMax = 1024;

/** How long an idle HTTP/1 connection still takes a request once its listener drains. */
export const drainIdleMs = 1_000;

/**
 * Bytes kept of requests that wait behind the one being answered; beyond it the client is not read. Reading so far lets
 * its end be noticed while its request runs. One read may go over it.
 */
export const pipelinedBytesMax = 64 * 1024;

/** A request or its answer may rest so long where a listener and a route say nothing. As in Envoy. */
export const defaultStreamIdleMs = 300_000;

/** A client's connection without a request stays so long where a listener says nothing. As in Envoy. */
export const defaultConnectionIdleMs = 3_600_000;

/** A head that has begun is whole within this where a listener says nothing; Envoy would wait for ever. */
export const defaultHeadMs = 10_000;

/** How long a client has to read the last bytes of a connection that ends. As in Envoy. */
export const defaultDelayedCloseMs = 1_000;

/**
 * Bytes read and thrown away on a connection that ends, so that what a client still sends does not cost it its answer.
 * Beyond them it is read no more: what it sends stays with it. One read may go over it.
 */
export const discardedBytesMax = 1024 * 1024;

/** A listener says at most once in so long that it disconnected clients for too much of something. */
export const floodLineMs = 10_000;

/** A head's size and fields where a listener says nothing. As in Envoy. */
export const defaultHeadKiB = 60;
export const defaultHeadersMax = 100;
