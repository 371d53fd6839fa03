const unitMs = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1000],
  ["m", 1],
  ["u", 1 / 1000],
  ["n", 1 / 1_000_000],
]);

/**
 * A `grpc-timeout` field (one to eight digits and a unit) in milliseconds, rounded up so that a short deadline does not
 * become none; 0 is a deadline that has passed. `undefined` for a malformed value.
 */
export const parseGrpcTimeout = (value: string): number | undefined => {
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(value);
  if (match === null) return undefined;
  return Math.ceil(Number(match[1]) * unitMs.get(match[2]!)!);
};

/** The field for a timeout, rounded down to the unit that eight digits hold: a callee never gets more than there is. */
export const formatGrpcTimeout = (timeoutMs: number): string => {
  const ms = Math.max(0, Math.floor(timeoutMs));
  if (ms < 100_000_000) return `${ms}m`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 100_000_000) return `${seconds}S`;
  return `${Math.min(99_999_999, Math.floor(seconds / 3600))}H`;
};
