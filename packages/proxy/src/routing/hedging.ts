/** `metadata.filter_metadata.weft.hedging`: another try beside one that takes longer than most. */
import { ConfigError } from "@weft/core/config-error";
import type { Hedging, Route } from "./route.ts";

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What the control plane says of hedging nobody wrote; `undefined` where it says nothing. */
export const compileHedging = (metadata: Route["metadata"], at: string): Hedging | undefined => {
  const given = metadata.weft?.hedging;
  if (given === undefined) return undefined;
  const here = `${at}.filterMetadata.weft.hedging`;
  const values = isObject(given) ? given : {};
  const numberOf = (name: keyof Hedging, min: number, max: number): number => {
    const value = values[name];
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw new ConfigError(`${here}.${name}`, `must be a number from ${min} to ${max}`);
    }
    return value;
  };
  return {
    percentile: numberOf("percentile", 50, 99.9),
    minDelayMs: numberOf("minDelayMs", 0, 3_600_000),
    maxExtraPercent: numberOf("maxExtraPercent", 0, 100),
  };
};
