import { ConfigError } from "@weft/core/config-error";
import type { RetryBudget, Route } from "./route.ts";

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What the control plane says of retries nobody wrote; `undefined` where it says nothing. */
export const compileRetryBudget = (metadata: Route["metadata"], at: string): RetryBudget | undefined => {
  const given = metadata.weft?.retryBudget;
  if (given === undefined) return undefined;
  const here = `${at}.filterMetadata.weft.retryBudget`;
  const { percent, atLeast } = isObject(given) ? given : {};
  if (typeof percent !== "number" || !(percent >= 0 && percent <= 100)) {
    throw new ConfigError(`${here}.percent`, "must be a number from 0 to 100");
  }
  if (typeof atLeast !== "number" || !Number.isSafeInteger(atLeast) || atLeast < 0) {
    throw new ConfigError(`${here}.atLeast`, "must be a whole number that is not negative");
  }
  return { percent, atLeast };
};

/** Nobody wrote the route's retries, so that what is a retry already, or was repeated further on, is not repeated. */
export const compileUnwritten = (metadata: Route["metadata"], at: string): boolean => {
  const given = metadata.weft?.unwrittenRetries;
  if (given === undefined) return false;
  if (typeof given !== "boolean") throw new ConfigError(`${at}.filterMetadata.weft.unwrittenRetries`, "must be a bool");
  return given;
};
