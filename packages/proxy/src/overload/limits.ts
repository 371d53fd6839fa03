/** Bounds of a whole process by name. */

/** Connections of clients, where neither the bootstrap nor the limit of open files says less. */
export const downstreamConnectionsMax = 100_000;

/** The share of the process's open files that clients' connections may take: the rest is for upstreams and the admin. */
export const connectionsOfOpenFiles = 0.8;

/** How often pressures are measured. */
export const refreshMs = 1_000;

/** A turn of the event loop that is late by this is full pressure. */
export const loopDelayMax = 2_000;

/** A delay counts when so many measurements in a row saw it: a single stall is over when it is seen. */
export const loopDelaySamples = 3;

/** What the runtime takes beside heap and buffers: code, stacks, the allocator's own. */
export const runtimeBytes = 64 * 1024 * 1024;

/**
 * Shares of the memory limit at which garbage is collected, idle connections are closed, connections are not kept,
 * requests and connections refused.
 */
export const shrinkAt = 0.85;
export const closeIdleAt = 0.9;
export const keepAliveOffAt = 0.92;
export const requestsOffAt = 0.95;
export const connectionsOffAt = 0.98;

/** Garbage is collected by force no more often than this, by whichever thread. */
export const shrinkEveryMs = 10_000;

/** A thread that has not come back from collecting garbage for so long is taken for dead. */
export const shrinkGivenUpMs = 60_000;

/** With each measurement that share of the idle connections is closed under pressure, and how few and many it may be. */
export const idleCloseShare = 0.125;
export const idleCloseLeast = 64;
export const idleCloseMost = 1_000;

/** How soon a client that was turned away should come back. */
export const retryAfterSeconds = 1;
