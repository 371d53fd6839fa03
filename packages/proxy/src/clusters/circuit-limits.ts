import type { CircuitBreakersJson } from "@weft/xds/gen/envoy/config/cluster/v3/circuit_breaker";
import { member, percent, refuseOthers, unsigned } from "../compile/fields.ts";
import type { CircuitLimits } from "./cluster.ts";

/** Envoy's way to say that there is no limit. */
const unlimited = 0xffff_ffff;

/** Envoy's defaults for a cluster that sets none. */
export const circuitDefaults = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 };

/** The thresholds of the default priority; those of HIGH have no use, as no route takes that priority. */
export const compileCircuitLimits = (json: CircuitBreakersJson | undefined, at: string): CircuitLimits => {
  if (json) refuseOthers(json, "CircuitBreakers", at, ["thresholds"]);
  const thresholds = json?.thresholds ?? [];
  const index = thresholds.findIndex(({ priority }) => priority === undefined || priority === "DEFAULT");
  const chosen = thresholds[index] ?? {};
  const here = `${at}.thresholds[${Math.max(0, index)}]`;
  refuseOthers(chosen, "CircuitBreakerThresholds", here, [
    "priority",
    "maxConnections",
    "maxPendingRequests",
    "maxRequests",
    "maxRetries",
    "retryBudget",
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
  };
};
