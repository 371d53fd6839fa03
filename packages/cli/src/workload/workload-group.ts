/** What a workload takes over from the WorkloadGroup it names. */
import type { ReadinessProbe, WorkloadGroupSpec } from "@weft/config/kinds/workload-group";
import { WeftError } from "@weft/core/error";
import { type ApiTarget, askApi } from "../mesh/api.ts";
import { protocols } from "./run-values.ts";

export interface GroupFacts {
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string | undefined;
  readonly locality: string | undefined;
  readonly weight: number | undefined;
  readonly probe: ReadinessProbe | undefined;
  /** By name, in the order written: where members listen that do not say so themselves. */
  readonly ports: readonly (readonly [name: string, port: number])[];
}

export const noGroup: GroupFacts = {
  labels: {},
  serviceAccount: undefined,
  locality: undefined,
  weight: undefined,
  probe: undefined,
  ports: [],
};

/** Its metadata's labels go before those of its template. */
export const groupFacts = ({ metadata, template, probe }: WorkloadGroupSpec): GroupFacts => ({
  labels: { ...template.labels, ...metadata?.labels },
  serviceAccount: template.serviceAccount || undefined,
  locality: template.locality || undefined,
  weight: template.weight || undefined,
  probe,
  ports: Object.entries(template.ports ?? {}),
});

/**
 * The port and the protocol a member that gives no port listens with: the group's only port, its protocol by the port's
 * name. Of several none is the program's for sure (WF9022).
 */
export const groupPort = ({
  ports,
}: Pick<GroupFacts, "ports">): { readonly port: string; readonly protocol: string | undefined } | undefined => {
  const [first, second] = ports;
  if (!first) return undefined;
  if (second) {
    const all = ports.map(([name, port]) => `${name} ${port}`).join(", ");
    throw new WeftError("WF9022", `the WorkloadGroup has several ports (${all})`, {
      next: `say which the program listens on: --port ${first[1]}`,
    });
  }
  const [word = ""] = first[0].toLowerCase().split("-");
  return { port: String(first[1]), protocol: protocols.find((protocol) => protocol === word) };
};

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
