/** What a workload takes over from the WorkloadGroup it names. */
import type { ReadinessProbe, WorkloadGroupSpec } from "@weft/config/kinds/workload-group";
import { WeftError } from "@weft/core/error";
import { type ApiTarget, askApi } from "../mesh/api.ts";

export interface GroupFacts {
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string | undefined;
  readonly locality: string | undefined;
  readonly weight: number | undefined;
  readonly probe: ReadinessProbe | undefined;
}

export const noGroup: GroupFacts = {
  labels: {},
  serviceAccount: undefined,
  locality: undefined,
  weight: undefined,
  probe: undefined,
};

/** Its metadata's labels go before those of its template. */
export const groupFacts = ({ metadata, template, probe }: WorkloadGroupSpec): GroupFacts => ({
  labels: { ...template.labels, ...metadata?.labels },
  serviceAccount: template.serviceAccount || undefined,
  locality: template.locality || undefined,
  weight: template.weight || undefined,
  probe,
});

/** As the group is now: changes of it reach workloads that start later. */
export const readGroup = async (api: ApiTarget, name: string | undefined, namespace: string): Promise<GroupFacts> => {
  if (name === undefined) return noGroup;
  try {
    const path = `/v1/config/WorkloadGroup/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
    return groupFacts((await askApi<{ readonly spec: WorkloadGroupSpec }>(api, path)).spec);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new WeftError("WF9047", `cannot read the WorkloadGroup ${namespace}/${name}: ${message}`, {
      next: "apply it first, or leave --group out",
      cause,
    });
  }
};
