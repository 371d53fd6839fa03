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

export interface MeshDefaults {
  /** `istio`: what nobody wrote is as in Istio. `weft`: safer where that is safe. */
  readonly profile: "weft" | "istio";
  /** Bound on retries of clusters no DestinationRule bounds. */
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | undefined;
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
    ? { percent: given?.percent ?? 20, minConcurrency: given?.minConcurrency ?? 3 }
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

/** Everything a profile has where its object says nothing more. */
export const profileDefaults = (profile: MeshDefaults["profile"]): MeshDefaults => fromSpec({ profile });

const fromSpec = ({
  profile = "weft",
  retryBudget,
  adaptiveConcurrency,
  reasonHeader,
}: MeshDefaultsObject["spec"]): MeshDefaults => ({
  profile,
  retryBudget: budgetOf(retryBudget, profile),
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
