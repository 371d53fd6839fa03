/** Bounds of connections whose first bytes are waited for. */

/** Without a timeout of the listener: how long a client may be silent. */
export const silentMostMs = 3_600_000;

/** Without a timeout of the listener: how long first bytes may dribble. */
export const firstBytesMostMs = 15_000;
