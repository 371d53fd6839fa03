/** The flags of `weft cp` about the Kubernetes cluster it runs in. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import type { Command } from "commander";
import type { KubernetesPlace } from "../leases/kubernetes-duties.ts";
import type { NamedCluster } from "../registries/kubernetes/kubernetes-url.ts";

export interface KubernetesFlags {
  readonly webhookAddress?: string;
  readonly webhookService: string;
  readonly sidecarImage?: string;
  readonly kubernetesWriter?: boolean;
  readonly podNamespace?: string;
  readonly podName?: string;
  readonly revision: string;
}

export const addKubernetesFlags = (command: Command): Command =>
  command
    .option("--webhook-address <H:P>", "HTTPS for a Kubernetes API server: /inject and /validate; none if absent")
    .option("--webhook-service <name>", "the Kubernetes service the webhooks are reached by", "istiod")
    .option(
      "--sidecar-image <image>",
      "image of injected sidecars, where the ConfigMap istio-sidecar-injector names none",
    )
    .option(
      "--kubernetes-writer",
      "write status, webhook settings and the root certificate to the first kubernetes:// registry, one at a time",
    )
    .option("--no-kubernetes-writer", "never write there (default: write when it is the cluster this runs in)")
    .option("--pod-namespace <name>", "the Kubernetes namespace this runs in (default: that of --root-namespace)")
    .option("--pod-name <name>", "how this control plane is called in its lease (default: the host's name)")
    .option("--revision <name>", "which control plane this is where a cluster has several", "default");

/** How a pod knows that a cluster is the one it runs in. */
const ownCluster = "in-cluster";
const namePattern = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Throws WF9020 for what is no name. */
export const kubernetesPlace = (
  flags: KubernetesFlags,
  clusters: readonly NamedCluster[],
  others: { readonly rootNamespace: string; readonly webhook: SocketAddress | undefined },
): KubernetesPlace => {
  const {
    podName = hostname(),
    podNamespace = others.rootNamespace,
    revision,
    webhookService,
    kubernetesWriter,
  } = flags;
  for (const [flag, name] of [
    ["--webhook-service", webhookService],
    ["--pod-namespace", podNamespace],
    ["--revision", revision],
  ] as const) {
    if (namePattern.test(name)) continue;
    throw new WeftError("WF9020", `${flag} is "${name}"`, { next: "give 1 to 63 small letters, digits and dashes" });
  }
  return {
    ...(others.webhook ? { webhook: { address: others.webhook, service: webhookService } } : {}),
    writes: kubernetesWriter ?? clusters[0]?.cluster === ownCluster,
    ...{ namespace: podNamespace, revision },
    ...(flags.sidecarImage === undefined ? {} : { sidecarImage: flags.sidecarImage }),
    // A process that starts anew under its former name must not take itself for the former one.
    identity: `${podName}_${randomUUID()}`,
  };
};
