/** Rules of MeshDefaults that its schema cannot say. */
import type { RuleTools } from "./kind.ts";
import type { MeshDefaultsSpec } from "./mesh-defaults.ts";
import { reporter } from "./rules.ts";

export const validateMeshDefaults = (spec: MeshDefaultsSpec, tools: RuleTools): void => {
  const { bad } = reporter(tools);
  const { minLimit = 4, maxLimit = 1000 } = spec.adaptiveConcurrency ?? {};
  if (minLimit > maxLimit) {
    const message = `adaptiveConcurrency.minLimit ${minLimit} is above maxLimit ${maxLimit}: lower it`;
    bad(["adaptiveConcurrency", "minLimit"], message);
  }
};
