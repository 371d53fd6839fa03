/**
 * Reading resource JSON while compiling it. A field that is set and that we neither use nor know to be harmless is
 * refused with its path: configuration is never ignored silently.
 */
import { ConfigError } from "@weft/core/config-error";
import { parseProtoDuration } from "@weft/core/duration";
import type { FractionalPercentJson } from "@weft/xds/gen/envoy/type/v3/percent";
import { harmlessFields } from "./harmless-fields.ts";

/** Path of a member: `a.b`, `a[0].b`. */
export const member = (at: string, name: string): string => (at === "" ? name : `${at}.${name}`);

const isSet = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== false &&
  value !== "" &&
  !(Array.isArray(value) && value.length === 0);

/** Throws for the first member of `json` that is set and neither in `used` nor listed as harmless for `message`. */
export const refuseOthers = <T extends object>(
  json: T,
  message: string,
  at: string,
  used: readonly (keyof T & string)[],
): void => {
  for (const key of Object.keys(json)) {
    if ((used as readonly string[]).includes(key) || key === "@type") continue;
    if (harmlessFields.get(message)?.includes(key)) continue;
    if (isSet((json as Readonly<Record<string, unknown>>)[key])) {
      throw new ConfigError(member(at, key), "is not supported");
    }
  }
};

/** A google.protobuf.Duration in milliseconds; not negative. */
export const durationMs = (text: string | undefined, at: string): number | undefined => {
  if (text === undefined) return undefined;
  const ms = parseProtoDuration(text);
  if (ms === undefined || ms < 0) throw new ConfigError(at, `"${text}" is not a duration like "1.5s"`);
  return ms;
};

/** An unsigned integer; 64-bit ones come as strings. */
export const unsigned = (value: number | string | undefined, at: string): number | undefined => {
  if (value === undefined) return undefined;
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isInteger(number) || number < 0) {
    throw new ConfigError(at, `"${value}" is not an unsigned integer`);
  }
  return number;
};

/** A percentage of at most 100 as it stands in `envoy.type.v3.Percent` or an enforcing field. */
export const percent = (value: number | string | undefined, at: string): number | undefined => {
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(value >= 0 && value <= 100)) {
    throw new ConfigError(at, `"${value}" is not a percentage from 0 to 100`);
  }
  return value;
};

const denominators: ReadonlyMap<string, number> = new Map([
  ["HUNDRED", 100],
  ["TEN_THOUSAND", 10_000],
  ["MILLION", 1_000_000],
]);

/** A FractionalPercent as a share from 0 to 1. */
export const share = (json: FractionalPercentJson | undefined, at: string): number => {
  if (json === undefined) return 0;
  const whole = denominators.get(json.denominator ?? "HUNDRED");
  if (whole === undefined) throw new ConfigError(member(at, "denominator"), `"${json.denominator}" is not known`);
  return Math.min(1, (unsigned(json.numerator, member(at, "numerator")) ?? 0) / whole);
};

/** The value or a ConfigError that it is missing. */
export const required = <T>(value: T | undefined, at: string): T => {
  if (value === undefined || value === "") throw new ConfigError(at, "is required");
  return value;
};

/** One of the given words; `fallback` when absent. */
export const oneOf = <T extends string>(
  value: string | number | undefined,
  words: readonly T[],
  fallback: T,
  at: string,
): T => {
  if (value === undefined) return fallback;
  if (!(words as readonly unknown[]).includes(value)) throw new ConfigError(at, `${value} is not supported`);
  return value as T;
};

/** True when exactly none or one of the members is set; names the second one otherwise. */
export const atMostOne = <T extends object>(json: T, names: readonly (keyof T & string)[], at: string): void => {
  const set = names.filter((name) => json[name] !== undefined);
  const second = set[1];
  if (second !== undefined) throw new ConfigError(member(at, second), `cannot be given together with ${set[0]}`);
};

/** Runs a compiler that knows only its own message; its errors get the path to that message before their own. */
export const within = <T>(at: string, compile: () => T): T => {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.field === "" ? at : member(at, error.field), error.problem);
  }
};
