/** MeshDefaults: weft's own defaults, for what nobody wrote. What a user wrote elsewhere always goes before them. */
import { bool, duration, type Infer, int, number, object, oneWord } from "../schema/schema.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateMeshDefaults } from "./mesh-defaults-rules.ts";

const retryBudget = object(
  "Bound on all retries where no DestinationRule has a retryBudget; unset, only retries nobody wrote are bounded.",
  {
    percent: number("Share of requests in flight that may be retries.", { min: 0, max: 100, default: "20" }),
    minConcurrency: int("Retries always allowed.", { default: "3" }),
  },
);

const hedging = object(
  "Send a second request where the first is slow, by our sidecar: only safe methods, where nobody wrote retries.",
  {
    enabled: bool("Whether requests are hedged.", { default: "false" }),
    percentile: number("A request is slow beyond this percentile of its cluster's recent times.", {
      min: 50,
      max: 99.9,
      default: "95",
    }),
    minDelay: duration("Never sooner than this.", { default: "5ms" }),
    maxExtraPercent: number("Most requests added, as a share of all.", { min: 0, max: 100, default: "5" }),
  },
);

const adaptiveConcurrency = object("A workload takes as many requests at once as it can answer well.", {
  enabled: bool("Whether the limit is found and held.", { default: "false" }),
  minLimit: int("The limit is never below this.", { min: 1, max: 1_000_000, default: "4" }),
  maxLimit: int("The limit is never above this.", { min: 1, max: 1_000_000, default: "1000" }),
  tolerance: number("Latency over that of a quiet time that still counts as well.", {
    min: 1,
    max: 10,
    default: "1.5",
  }),
  interval: duration("Time over which latency is measured.", { minMs: 10, maxMs: 60_000, default: "100ms" }),
  status: int("Status of requests that are turned away.", { min: 400, max: 599, default: "503" }),
});

export const meshDefaultsSpec = object("Defaults for what nobody wrote.", {
  profile: oneWord(
    ["weft", "istio"],
    "istio: everything nobody wrote is as in Istio. weft: safer where that is safe.",
    {
      default: "weft",
    },
  ),
  retryBudget,
  hedging,
  adaptiveConcurrency,
  reasonHeader: oneWord(
    ["on", "off", "mesh"],
    "Who is told, in x-weft-reason, why a proxy answered: all, none, or callers of the mesh.",
    {
      default: "mesh; off in the profile istio",
    },
  ),
});
export interface MeshDefaultsSpec extends Infer<typeof meshDefaultsSpec> {}

export const meshDefaults: Kind = defineKind({
  name: "MeshDefaults",
  plural: "meshdefaults",
  shortNames: ["md"],
  group: "weft.dev",
  versions: ["v1alpha1"],
  about: "Weft's defaults for what nobody wrote. The oldest object of the root namespace holds for the mesh.",
  schema: meshDefaultsSpec,
  validate: validateMeshDefaults,
});
