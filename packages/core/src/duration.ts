/** Durations are milliseconds inside weft; the two notations users and xDS write are parsed here. */

const goUnits: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** Parses Go's notation, which Istio uses: `1h30m`, `250ms`, `1.5s`, `0`. `undefined` when it is not one. */
export const parseGoDuration = (text: string): number | undefined => {
  if (text === "0") return 0;
  const sign = text.startsWith("-") ? -1 : 1;
  const digits = text.replace(/^[+-]/, "");
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/y;
  let total = 0;
  let at = 0;
  while (at < digits.length) {
    part.lastIndex = at;
    const match = part.exec(digits);
    const unit = match ? goUnits.get(match[2] ?? "") : undefined;
    if (!match || unit === undefined) return undefined;
    total += Number(match[1]) * unit;
    at = part.lastIndex;
  }
  return at === 0 ? undefined : sign * total;
};

/** Parses the JSON form of google.protobuf.Duration: seconds with up to nine decimals and an `s`. */
export const parseProtoDuration = (text: string): number | undefined =>
  /^-?\d+(\.\d{1,9})?s$/.test(text) ? Number(text.slice(0, -1)) * 1000 : undefined;

/** Writes the JSON form of google.protobuf.Duration, exact to a nanosecond. */
export const toProtoDuration = (ms: number): string => {
  const nanos = Math.round(ms * 1e6);
  const sign = nanos < 0 ? "-" : "";
  const whole = Math.floor(Math.abs(nanos) / 1e9);
  const rest = Math.abs(nanos) % 1e9;
  return rest === 0
    ? `${sign}${whole}s`
    : `${sign}${whole}.${String(rest)
        .padStart(9, "0")
        .replace(/(000)+$/, "")}s`;
};

/** A duration as a person reads it in a table: `12ms`, `3s`, `4m10s`, `2h5m`. */
export const formatDuration = (ms: number): string => {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  return minutes % 60 === 0 ? `${Math.floor(minutes / 60)}h` : `${Math.floor(minutes / 60)}h${minutes % 60}m`;
};
