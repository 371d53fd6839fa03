/** The longest frame taken from a server where nothing else is asked for: ZooKeeper's own default of jute.maxbuffer. */
export const frameBytesMaxDefault = 1024 * 1024;

/** Nobody may ask for longer ones. */
export const frameBytesMaxMost = 64 * 1024 * 1024;
