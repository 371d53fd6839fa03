/**
 * The longest answer taken from a server where nothing else is asked for: a list of some 500,000 nodes. ZooKeeper's own
 * jute.maxbuffer bounds what it is sent, not what it answers.
 */
export const frameBytesMaxDefault = 32 * 1024 * 1024;

/** Nobody may ask for longer ones. */
export const frameBytesMaxMost = 64 * 1024 * 1024;

/** A longer answer is passed over, and its question alone has none. Beyond this, nobody speaks ZooKeeper's protocol there. */
export const frameBytesSkippedMax = 256 * 1024 * 1024;

/** What is kept of an answer that is passed over: which question it answers. */
export const cutFrameBytes = 16;
