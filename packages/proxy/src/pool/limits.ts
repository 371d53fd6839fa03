/** Bounds of connection pools by name. */

/** Idle HTTP/1 connections kept for one host. */
export const idlePerHostMax = 1024;

/** How long a connection whose peer must still read our last bytes may stay. */
export const lingerMs = 1_000;
