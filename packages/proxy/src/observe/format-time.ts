/** Times in access logs: Envoy's START_TIME specifiers, which are strftime's and `%Nf` for fractions. */
import { ConfigError } from "@weft/core/config-error";

type Piece = (date: Date) => string;

const two = (n: number): string => String(n).padStart(2, "0");
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const pieces: ReadonlyMap<string, Piece> = new Map<string, Piece>([
  ["Y", (d) => String(d.getUTCFullYear())],
  ["y", (d) => two(d.getUTCFullYear() % 100)],
  ["m", (d) => two(d.getUTCMonth() + 1)],
  ["d", (d) => two(d.getUTCDate())],
  ["e", (d) => String(d.getUTCDate()).padStart(2)],
  ["H", (d) => two(d.getUTCHours())],
  ["M", (d) => two(d.getUTCMinutes())],
  ["S", (d) => two(d.getUTCSeconds())],
  ["T", (d) => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`],
  ["F", (d) => `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`],
  ["b", (d) => months[d.getUTCMonth()] as string],
  ["a", (d) => days[d.getUTCDay()] as string],
  ["z", () => "+0000"],
  ["Z", () => "UTC"],
  ["s", (d) => String(Math.floor(d.getTime() / 1000))],
  ["f", (d) => `${String(d.getUTCMilliseconds()).padStart(3, "0")}000000`],
  ["%", () => "%"],
]);

/** ISO 8601 with milliseconds; made once a millisecond, and all but those once a second. */
const isoTime = (): ((wallMs: number) => string) => {
  let second = Number.NaN;
  let prefix = "";
  let last = Number.NaN;
  let text = "";
  return (wallMs) => {
    const ms = Math.trunc(wallMs);
    if (ms === last) return text;
    last = ms;
    const own = Math.floor(ms / 1000);
    if (own !== second) {
      second = own;
      prefix = new Date(own * 1000).toISOString().slice(0, -4);
    }
    const rest = ms - own * 1000;
    text = `${prefix}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
    return text;
  };
};

/** Compiles a time format; an empty one is ISO 8601 with milliseconds. UTC always. */
export const compileTimeFormat = (format: string, at: string): ((wallMs: number) => string) => {
  if (format === "") return isoTime();
  const parts: Piece[] = [];
  for (const match of format.matchAll(/%([1-9])f|%(.)|([^%]+)|%$/g)) {
    const [, digits, letter, text] = match;
    if (text !== undefined) {
      parts.push(() => text);
    } else if (digits !== undefined) {
      const count = Number(digits);
      parts.push((d) => String(d.getUTCMilliseconds()).padStart(3, "0").padEnd(9, "0").slice(0, count));
    } else {
      const piece = pieces.get(letter ?? "");
      if (!piece) throw new ConfigError(at, `time format "${format}": %${letter ?? ""} is not supported`);
      parts.push(piece);
    }
  }
  return (wallMs) => {
    const date = new Date(wallMs);
    let out = "";
    for (const part of parts) out += part(date);
    return out;
  };
};
