/** What MeshDefaults makes of everything nobody wrote. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import { parseGoDuration } from "@weft/core/duration";

type MeshDefaultsObject = ConfigOf<"MeshDefaults">;

export interface AdaptiveConcurrency {
  readonly minLimit: number;
  readonly maxLimit: number;
  readonly tolerance: number;
  readonly intervalMs: number;
  readonly status: number;
}

/** Given to our own sidecar: stock Envoy hedges at a fixed time only. */
export interface MeshHedging {
  readonly percentile: number;
  readonly minDelayMs: number;
  readonly maxExtraPercent: number;
}

export interface MeshDefaults {
  /** `istio`: what nobody wrote is as in Istio. `weft`: safer where that is safe. */
  readonly profile: "weft" | "istio";
  /** Bound on retries of clusters no DestinationRule bounds: on all of them where `written`, else on those nobody wrote. */
  readonly retryBudget:
    | { readonly percent: number; readonly minConcurrency: number; readonly written: boolean }
    | undefined;
  /** Of requests that may be sent twice, where nobody wrote retries or a timeout; `undefined` where none is. */
  readonly hedging: MeshHedging | undefined;
  /** Held by every workload for the requests it takes; `undefined` where none is. */
  readonly adaptiveConcurrency: AdaptiveConcurrency | undefined;
  /** Who reads in `x-weft-reason` why a proxy answered. */
  readonly reasonHeader: "on" | "off" | "mesh";
}

const budgetOf = (
  given: MeshDefaultsObject["spec"]["retryBudget"],
  profile: MeshDefaults["profile"],
): MeshDefaults["retryBudget"] =>
  given || profile === "weft"
    ? { percent: given?.percent ?? 20, minConcurrency: given?.minConcurrency ?? 3, written: given !== undefined }
    : undefined;

const limitOf = (given: MeshDefaultsObject["spec"]["adaptiveConcurrency"]): AdaptiveConcurrency | undefined =>
  given?.enabled
    ? {
        minLimit: given.minLimit ?? 4,
        maxLimit: given.maxLimit ?? 1000,
        tolerance: given.tolerance ?? 1.5,
        intervalMs: parseGoDuration(given.interval ?? "100ms") ?? 100,
        status: given.status ?? 503,
      }
    : undefined;

const hedgingOf = (given: MeshDefaultsObject["spec"]["hedging"]): MeshHedging | undefined =>
  given?.enabled
    ? {
        percentile: given.percentile ?? 95,
        minDelayMs: parseGoDuration(given.minDelay ?? "5ms") ?? 5,
        maxExtraPercent: given.maxExtraPercent ?? 5,
      }
    : undefined;

/** Everything a profile has where its object says nothing more. */
export const profileDefaults = (profile: MeshDefaults["profile"]): MeshDefaults => fromSpec({ profile });

const fromSpec = ({
  profile = "weft",
  retryBudget,
  hedging,
  adaptiveConcurrency,
  reasonHeader,
}: MeshDefaultsObject["spec"]): MeshDefaults => ({
  profile,
  retryBudget: budgetOf(retryBudget, profile),
  hedging: hedgingOf(hedging),
  adaptiveConcurrency: limitOf(adaptiveConcurrency),
  reasonHeader: reasonHeader ?? (profile === "istio" ? "off" : "mesh"),
});

/** What the oldest object of the root namespace says, whole; `base` where there is none. */
export const meshDefaultsOf = (
  base: MeshDefaults,
  objects: readonly MeshDefaultsObject[],
  rootNamespace: string,
): MeshDefaults => {
  const [object] = objects.filter(({ namespace }) => namespace === rootNamespace).sort(compareAge);
  return object ? fromSpec(object.spec) : base;
};
