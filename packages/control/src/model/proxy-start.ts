/** How the proxy of a workload is to be started, as MeshConfig and ProxyConfigs say. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import { labelsMatch, type WorkloadIdentity } from "./workload-policies.ts";

type ProxyConfig = ConfigOf<"ProxyConfig">;

export interface ProxyStart {
  /** Worker threads, 0 one for each core; absent where nothing says. */
  readonly concurrency?: number;
  readonly environmentVariables: Readonly<Record<string, string>>;
  /** The ProxyConfigs that count, `NAMESPACE/NAME`, the widest first. */
  readonly from: readonly string[];
}

export interface ProxyStartSources {
  readonly proxyConfigs: readonly ProxyConfig[];
  readonly meshConfig: ConfigOf<"MeshConfig"> | undefined;
  readonly rootNamespace: string;
}

const selectorOf = ({ spec }: ProxyConfig): Readonly<Record<string, string>> => spec.selector?.matchLabels ?? {};
const selectsAll = (object: ProxyConfig): boolean => Object.keys(selectorOf(object)).length === 0;

/**
 * As in Istio: the mesh's default, then the root namespace's, the namespace's own, and that of the workload; each
 * replaces what a wider one says, variable by variable. Of several alike the oldest counts.
 */
export const proxyStartOf = (
  workload: WorkloadIdentity,
  { proxyConfigs, meshConfig, rootNamespace }: ProxyStartSources,
): ProxyStart => {
  const oldest = (wanted: (object: ProxyConfig) => boolean): readonly ProxyConfig[] =>
    proxyConfigs.filter(wanted).toSorted(compareAge).slice(0, 1);
  const { namespace, labels } = workload;
  const isOwn = (object: ProxyConfig): boolean => object.namespace === namespace && namespace !== rootNamespace;
  const chosen = [
    ...oldest((object) => object.namespace === rootNamespace && selectsAll(object)),
    ...oldest((object) => isOwn(object) && selectsAll(object)),
    ...oldest(
      (object) => object.namespace === namespace && !selectsAll(object) && labelsMatch(selectorOf(object), labels),
    ),
  ];
  const variables = new Map(chosen.flatMap(({ spec }) => Object.entries(spec.environmentVariables ?? {})));
  const concurrency =
    chosen.findLast(({ spec }) => spec.concurrency !== undefined)?.spec.concurrency ??
    meshConfig?.spec.defaultConfig?.concurrency;
  return {
    ...(concurrency === undefined ? {} : { concurrency }),
    environmentVariables: Object.fromEntries(variables),
    from: chosen.map(({ namespace: of, name }) => `${of}/${name}`),
  };
};
