/** Bounds of what is taken from a ZooKeeper, by name. */
export interface ZookeeperLimits {
  readonly servicesMax: number;
  readonly instancesPerServiceMax: number;
  readonly instancesMax: number;
  /** The longest record or node name that is read. */
  readonly recordBytesMax: number;
  /** Requests sent and not answered. */
  readonly windowMax: number;
}

export const zookeeperLimits: ZookeeperLimits = {
  servicesMax: 20_000,
  instancesPerServiceMax: 10_000,
  instancesMax: 200_000,
  recordBytesMax: 64 * 1024,
  windowMax: 64,
};

/**
 * What a session may be silent for, where the URL does not say; the server may change it. We ask after a quarter of it and give
 * up after two thirds, so that answers may take 10 s.
 */
export const sessionTimeoutMsDefault = 30_000;
export const sessionTimeoutMsMin = 1_000;
export const sessionTimeoutMsMax = 10 * 60_000;

/** To connect, at most. */
export const connectMsMax = 5_000;
/** To be greeted then, at most. */
export const greetingMsMax = 15_000;

/** Between two rounds over all servers, at first and at most. */
export const reconnectBackoff = { baseMs: 250, maxMs: 15_000 } as const;
/** Between two servers of one round, at most. */
export const nextServerMsMax = 100;

/** Keys longer than this end in a hash of what was cut off. */
export const keyCharsMax = 900;
export const labelsMax = 64;
export const labelCharsMax = 253;
