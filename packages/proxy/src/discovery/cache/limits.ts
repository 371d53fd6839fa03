/** Bounds of the discovery cache. */

/** Bytes of all its files together, unless `--discovery-cache-disk` says otherwise. */
export const cacheDiskBytesDefault = 256 * 1024 * 1024;
/** The least it can be told to keep to. */
export const cacheDiskBytesMin = 64 * 1024;

/** An unused on-demand entry leaves memory after so long, unless `--discovery-cache-ttl` says otherwise. */
export const cacheTtlMsDefault = 300_000;
/** So long before its time is over an entry that is used is refreshed. */
export const refreshAheadMs = 5_000;

/** Bytes of JSON of each kind's on-demand entries in memory. */
export const cacheMemoryBytesMax = 64 * 1024 * 1024;
/** An entry that was used so recently is not put out for another. */
export const evictIdleMs = 5_000;
/** The use of entries is looked at no more often than this. */
export const useLookMs = 1_000;

/** Files of the cache. What is written at once, and lost at worst with a file, is that share of it. */
export const shardCount = 256;
/** Files that are read before requests are looked at again. */
export const filesReadAtOnce = 4;
/** A file is written anew when it has so many bytes of no use, and more than of use. */
export const shardDeadBytesMin = 64 * 1024;
/** Bytes that are encoded and written before requests are looked at again. */
export const writeSliceBytes = 256 * 1024;
/** … and of the bound at most. */
export const sliceShareMax = 1 / 128;

/** A change is on disk so soon, with what else came by then. */
export const writeSoonMs = 500;
/** At most this share of the time goes into looking for changes and writing them. */
export const writingShare = 0.05;
/** After an error of the disk. */
export const writeRetryMs = 5_000;
/** When an entry was used last is written anew when it is off by so much. */
export const touchEveryMs = 600_000;

/** Names in one line of the log. */
export const namesToldMax = 10;
