/** Bounds of connection pools by name. */

/** Idle HTTP/1 connections kept for one host. */
export const idlePerHostMax = 1024;

/** How long a connection whose peer must still read our last bytes may stay. */
export const lingerMs = 1_000;

/** A connection is retired this much of its peer's idle limit before it, within these bounds. */
export const retireEarlyShare = 0.2;
export const retireEarlyLeastMs = 100;
export const retireEarlyMostMs = 2_000;

/** A peer that closes an idle connection sooner than this did not do it for its idleness. */
export const idleLearnLeastMs = 500;

/** Two closes tell an idle limit when they came so far apart and after idle times that differ by no more than this. */
export const idleClosesApartMs = 1_000;
export const idleClosesAgreeShare = 0.1;

/** What closes taught is believed for so long, then learned anew. */
export const learnedIdleHoldsMs = 600_000;

/** Connections opened ahead of need by one request at most. */
export const preconnectMost = 3;

/** A connection upstream that carries nothing is probed after so long, where the cluster sets no `tcp_keepalive`. */
export const deadPeerProbeMs = 5_000;

/** How often lent connections are looked through for those that nobody holds any more. */
export const leaseSweepMs = 60_000;

/** Lent connections that carried no byte for so many sweeps are reported. */
export const quietSweepsMost = 60;
