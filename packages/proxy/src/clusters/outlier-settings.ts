import { ConfigError } from "@weft/core/config-error";
import type { OutlierDetectionJson } from "@weft/xds/gen/envoy/config/cluster/v3/outlier_detection";
import { durationMs, member, percent, refuseOthers, unsigned } from "../compile/fields.ts";

/** Outlier detection as configured; enforcing values are percentages of chances to eject. */
export interface OutlierSettings {
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly jitterMs: number;
  readonly maxEjectionPercent: number;
  readonly alwaysEjectOne: boolean;
  /** A host that passes an active check is taken back at once. */
  readonly checksUneject: boolean;
  readonly split: boolean;
  readonly consecutive5xx: Threshold;
  readonly consecutiveGateway: Threshold;
  readonly consecutiveLocal: Threshold;
  readonly successRate: RateRule & { readonly stdevFactor: number; readonly enforcingLocal: number };
  readonly failurePercentage: RateRule & { readonly threshold: number; readonly enforcingLocal: number };
}

export interface Threshold {
  readonly count: number;
  readonly enforcing: number;
}

export interface RateRule {
  readonly enforcing: number;
  readonly minimumHosts: number;
  readonly requestVolume: number;
}

const used = [
  "consecutive5xx",
  "interval",
  "baseEjectionTime",
  "maxEjectionPercent",
  "enforcingConsecutive5xx",
  "enforcingSuccessRate",
  "successRateMinimumHosts",
  "successRateRequestVolume",
  "successRateStdevFactor",
  "consecutiveGatewayFailure",
  "enforcingConsecutiveGatewayFailure",
  "splitExternalLocalOriginErrors",
  "consecutiveLocalOriginFailure",
  "enforcingConsecutiveLocalOriginFailure",
  "enforcingLocalOriginSuccessRate",
  "failurePercentageThreshold",
  "enforcingFailurePercentage",
  "enforcingFailurePercentageLocalOrigin",
  "failurePercentageMinimumHosts",
  "failurePercentageRequestVolume",
  "maxEjectionTime",
  "maxEjectionTimeJitter",
  "alwaysEjectOneHost",
  "successfulActiveHealthCheckUnejectHost",
] as const;

const positive = (value: number, at: string): number => {
  if (value <= 0) throw new ConfigError(at, "must be greater than 0");
  return value;
};

/** Reads the settings with Envoy's defaults; `undefined` when outlier detection is not configured. */
export const compileOutlierSettings = (json: OutlierDetectionJson | undefined): OutlierSettings | undefined => {
  if (!json) return undefined;
  const at = "outlierDetection";
  refuseOthers(json, "OutlierDetection", at, used);
  const count = (name: keyof OutlierDetectionJson, fallback: number): number =>
    unsigned(json[name] as number | undefined, member(at, name)) ?? fallback;
  const share = (name: keyof OutlierDetectionJson, fallback: number): number =>
    percent(json[name] as number | undefined, member(at, name)) ?? fallback;
  const duration = (name: keyof OutlierDetectionJson, fallback: number): number =>
    durationMs(json[name] as string | undefined, member(at, name)) ?? fallback;
  const baseEjectionMs = positive(duration("baseEjectionTime", 30_000), member(at, "baseEjectionTime"));
  const maxEjectionMs = duration("maxEjectionTime", Math.max(300_000, baseEjectionMs));
  if (maxEjectionMs < baseEjectionMs) {
    throw new ConfigError(member(at, "maxEjectionTime"), "must not be below baseEjectionTime");
  }
  return {
    intervalMs: positive(duration("interval", 10_000), member(at, "interval")),
    baseEjectionMs,
    maxEjectionMs,
    jitterMs: duration("maxEjectionTimeJitter", 0),
    maxEjectionPercent: share("maxEjectionPercent", 10),
    checksUneject: json.successfulActiveHealthCheckUnejectHost !== false,
    alwaysEjectOne: json.alwaysEjectOneHost === true,
    split: json.splitExternalLocalOriginErrors === true,
    consecutive5xx: { count: count("consecutive5xx", 5), enforcing: share("enforcingConsecutive5xx", 100) },
    consecutiveGateway: {
      count: count("consecutiveGatewayFailure", 5),
      enforcing: share("enforcingConsecutiveGatewayFailure", 0),
    },
    consecutiveLocal: {
      count: count("consecutiveLocalOriginFailure", 5),
      enforcing: share("enforcingConsecutiveLocalOriginFailure", 100),
    },
    successRate: {
      enforcing: share("enforcingSuccessRate", 100),
      enforcingLocal: share("enforcingLocalOriginSuccessRate", 100),
      minimumHosts: count("successRateMinimumHosts", 5),
      requestVolume: count("successRateRequestVolume", 100),
      stdevFactor: count("successRateStdevFactor", 1900) / 1000,
    },
    failurePercentage: {
      threshold: share("failurePercentageThreshold", 85),
      enforcing: share("enforcingFailurePercentage", 0),
      enforcingLocal: share("enforcingFailurePercentageLocalOrigin", 0),
      minimumHosts: count("failurePercentageMinimumHosts", 5),
      requestVolume: count("failurePercentageRequestVolume", 50),
    },
  };
};
