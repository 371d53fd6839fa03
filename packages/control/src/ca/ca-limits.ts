/** Bounds of the mesh's certificate authority. */
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

export const caLimits = {
  rootTtlMs: 3650 * day,
  /** Of one replica's own CA below the root, renewed at half of it; leaves end with it at the latest. */
  intermediateTtlMs: 180 * day,
  /** What a workload gets that asks for no duration. */
  leafTtlDefaultMs: day,
  leafTtlMinMs: minute,
  /** A longer wish is shortened to this. */
  leafTtlMaxMs: 90 * day,
  /** Certificates are valid from before now: a peer's clock may be behind ours. */
  backdateMs: 10 * minute,
  /** Certificates signed per second in the long run, and at once after a rest. */
  issuedPerSecond: 200,
  issuedBurst: 4000,
  tokenTtlDefaultMs: hour,
  tokenTtlMaxMs: 366 * day,
  /** What a token gets that is made without saying. */
  tokenUsesDefault: 1,
  tokenUsesMax: 1_000_000,
  tokensMax: 10_000,
} as const;
