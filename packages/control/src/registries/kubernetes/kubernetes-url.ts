/** `kubernetes://?kubeconfig=FILE&context=C`: what a URL says becomes a cluster to be followed. */
import type { SetTimer } from "@weft/core/world";
import { readKubeconfig } from "@weft/net/kubernetes/kubeconfig";
import { type Environment, inClusterAccess } from "@weft/net/kubernetes/kubernetes-access";
import { type KubernetesApi, openKubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { parseRegistryUrl, type RegistryUrl, refuseOtherOptions, wrongUrl } from "../outside/registry-url.ts";
import { quietMsDefault } from "./liveness.ts";
import { collectionObjectsMax } from "./reflector.ts";

export const kubernetesScheme = "kubernetes";
export const kubernetesUsage = "kubernetes://?kubeconfig=FILE&context=C";
const options = ["kubeconfig", "context", "name", "probe-after-ms"] as const;
const probeAfterMsMin = 500;
const probeAfterMsMax = 10 * 60_000;

export interface NamedCluster {
  /** The source of its services, and the name of its file on disk. */
  readonly name: string;
  readonly url: string;
  /** What tells this cluster from another under the same name. */
  readonly content: string;
  /** For findings. */
  readonly cluster: string;
  /** How often it is asked whether it is there; it counts as gone when it says nothing for half as long again. */
  readonly probeAfterMs: number;
  /** Objects of one kind that are taken. */
  readonly objectsMax: number;
  readonly open: (setTimer: SetTimer) => KubernetesApi;
}

export const isKubernetesUrl = (text: string): boolean => text.toLowerCase().startsWith(`${kubernetesScheme}:`);

/** Throws WF2102 for a URL that cannot be used, WF2151 for a kubeconfig or a pod that says not enough. */
export const nameClusters = (
  urls: readonly string[],
  { environment, wallMs }: { readonly environment: Environment; readonly wallMs: () => number },
): readonly NamedCluster[] => {
  const named: NamedCluster[] = [];
  for (const text of urls) {
    const url = parseRegistryUrl(text);
    refuseOtherOptions(url, options);
    if (url.addresses.length > 0 || (url.path !== "" && url.path !== "/"))
      throw wrongUrl(text, "names an address: where the API server is comes from the kubeconfig");
    const file = url.options.get("kubeconfig");
    const context = url.options.get("context");
    if (file === undefined && context !== undefined) throw wrongUrl(text, "names a context and no kubeconfig");
    const access =
      file === undefined
        ? inClusterAccess(environment)
        : readKubeconfig({ file, environment, wallMs, ...(context === undefined ? {} : { context }) });
    const name =
      url.options.get("name") ?? (named.length === 0 ? kubernetesScheme : `${kubernetesScheme}-${named.length + 1}`);
    if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name))
      throw wrongUrl(text, `has the name "${name}", which is not 1 to 32 small letters, digits and dashes`);
    if (named.some((other) => other.name === name))
      throw wrongUrl(text, `has the name ${name}, which another registry has`);
    named.push({
      ...{ name, url: text, content: `${access.cluster} ${access.server}`, cluster: access.cluster },
      ...{ probeAfterMs: probeAfterIn(url), objectsMax: collectionObjectsMax },
      open: (setTimer) => openKubernetesApi({ access, setTimer }),
    });
  }
  return named;
};

const probeAfterIn = ({ options: given, text }: RegistryUrl): number => {
  const value = given.get("probe-after-ms");
  if (value === undefined) return quietMsDefault;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
  if (number >= probeAfterMsMin && number <= probeAfterMsMax) return number;
  throw wrongUrl(text, `has probe-after-ms that is not a number from ${probeAfterMsMin} to ${probeAfterMsMax}`);
};
