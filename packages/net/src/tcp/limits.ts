/** Bounds of sockets by name. */

/** No read of a plaintext socket is larger. */
export const readBufferBytes = 256 * 1024;

/**
 * One buffer of this size receives for every plaintext socket of a thread without one of its own; what is read is used
 * up before the next read. What a peer that does not read leaves behind is no more than this, `queuedBytesMax` and the
 * ends of two gather pieces: 192 KiB.
 */
export const sharedReadBytes = 96 * 1024;

/** A read of this many bytes gives its connection a read buffer of its own, until some reads in a row were smaller. */
export const bulkReadBytes = 64 * 1024;
export const smallReadsMax = 4;

/** Read buffers of single connections that a thread has at most, 8 MiB in all; further connections share the one. */
export const ownReadBuffersMax = 32;

/** From here on bytes out of a connection's own read buffer are written from there; fewer are cheaper to copy. */
export const lendBytesMin = 16 * 1024;

/** Writes of one turn are gathered in pieces of this size: each connection with output in a turn takes one at least. */
export const gatherBytes = 16 * 1024;

/**
 * Free gather pieces a thread keeps for the next turn, 16 MiB at most. Every connection that writes in the same turn has
 * one, and making a new one costs more than the write: it is memory outside the heap, which hurries the collector.
 */
export const freeGatherMax = 1024;

/** A connection with more than this waiting for the kernel is congested: its source must pause. */
export const queuedBytesMax = 64 * 1024;

/** Configuration may ask for another bound, up to this. */
export const queuedBytesMost = 1024 * 1024;

/** What may be gathered within one turn before it is written at once. */
export const turnBytesMax = 512 * 1024;

export const backlog = 1024;

/** Connections in so many turns in a row are a crowd: more of it is taken in a turn, up to a bound. */
export const burstTurns = 8;
export const acceptsPerTurnMax = 32;
