import type {
  CircuitBreakers_ThresholdsJson,
  CircuitBreakersJson,
} from "@weft/xds/gen/envoy/config/cluster/v3/circuit_breaker";
import { member, percent, refuseOthers, unsigned } from "../compile/fields.ts";
import type { CircuitLimits } from "./cluster.ts";

/** Envoy's way to say that there is no limit. */
const unlimited = 0xffff_ffff;

/** Envoy's defaults for a cluster that sets none. */
export const circuitDefaults = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 };

export type Priority = "DEFAULT" | "HIGH";

const priorityOf = ({ priority = "DEFAULT" }: CircuitBreakers_ThresholdsJson): string => String(priority);

/** As in Envoy, the first thresholds of a priority count. */
const find = (list: readonly CircuitBreakers_ThresholdsJson[] | undefined, wanted: Priority): number =>
  (list ?? []).findIndex((each) => priorityOf(each) === wanted);

const compileHostLimit = (json: CircuitBreakersJson, at: string, priority: Priority): number | undefined => {
  const index = find(json.perHostThresholds, priority);
  const chosen = json.perHostThresholds?.[index];
  if (!chosen) return undefined;
  const here = `${at}.perHostThresholds[${index}]`;
  refuseOthers(chosen, "CircuitBreakerPerHostThresholds", here, ["priority", "maxConnections"]);
  const most = unsigned(chosen.maxConnections, member(here, "maxConnections"));
  return most === undefined || most >= unlimited ? undefined : most;
};

/** The thresholds of one priority. */
export const compileCircuitLimits = (
  json: CircuitBreakersJson | undefined,
  at: string,
  priority: Priority = "DEFAULT",
): CircuitLimits => {
  if (json) refuseOthers(json, "CircuitBreakers", at, ["thresholds", "perHostThresholds"]);
  const thresholds = json?.thresholds ?? [];
  const index = find(thresholds, priority);
  const chosen = thresholds[index] ?? {};
  const here = `${at}.thresholds[${Math.max(0, index)}]`;
  refuseOthers(chosen, "CircuitBreakerThresholds", here, [
    "priority",
    "maxConnections",
    "maxPendingRequests",
    "maxRequests",
    "maxRetries",
    "retryBudget",
    "trackRemaining",
  ]);
  const limit = (name: keyof typeof circuitDefaults): number => {
    const value = unsigned(chosen[name], member(here, name)) ?? circuitDefaults[name];
    return value >= unlimited ? Number.POSITIVE_INFINITY : value;
  };
  const budget = chosen.retryBudget;
  const budgetAt = member(here, "retryBudget");
  return {
    maxConnections: limit("maxConnections"),
    maxPendingRequests: limit("maxPendingRequests"),
    maxRequests: limit("maxRequests"),
    maxRetries: limit("maxRetries"),
    retryBudget: budget && {
      percent: percent(budget.budgetPercent?.value, member(budgetAt, "budgetPercent")) ?? 20,
      minConcurrency: unsigned(budget.minRetryConcurrency, member(budgetAt, "minRetryConcurrency")) ?? 3,
    },
    maxHostConnections: json && compileHostLimit(json, at, priority),
    tracksRemaining: chosen.trackRemaining === true,
    given: index >= 0,
  };
};
