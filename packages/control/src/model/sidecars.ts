/** Sidecar objects: which one holds for a workload. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import type { MeshSettings } from "./mesh-settings.ts";
import { labelsMatch } from "./workload-policies.ts";

export type Sidecar = ConfigOf<"Sidecar">;

export interface Workload {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface SidecarChoice {
  readonly sidecar: Sidecar;
  /** Others that would hold as well, were this one not older. */
  readonly others: readonly Sidecar[];
}

/**
 * The oldest of the workload's namespace that selects it, else the oldest there without a selector, else the one of the
 * root namespace without a selector, whose `.` is then the workload's namespace.
 */
export const sidecarChoices = (
  objects: readonly Sidecar[],
  mesh: MeshSettings,
): ((workload: Workload) => SidecarChoice | undefined) => {
  const byNamespace = Map.groupBy(objects.toSorted(compareAge), ({ namespace }) => namespace);
  return ({ namespace, labels }) => {
    const own = byNamespace.get(namespace) ?? [];
    const selected = own.filter((one) => hasSelector(one) && labelsMatch(one.spec.workloadSelector?.labels, labels));
    const [sidecar, ...others] = [
      selected,
      own.filter((one) => !hasSelector(one)),
      (byNamespace.get(mesh.rootNamespace) ?? []).filter((one) => !hasSelector(one)),
    ].find(({ length }) => length > 0) ?? [undefined];
    return sidecar ? { sidecar, others: others.filter((one) => one !== undefined) } : undefined;
  };
};

const hasSelector = ({ spec }: Sidecar): boolean => Object.keys(spec.workloadSelector?.labels ?? {}).length > 0;
