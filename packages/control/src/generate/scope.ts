/** What generation of one audience reads. */
import { resolveHost } from "../model/hostname.ts";
import type { MeshModel } from "../model/mesh-model.ts";
import type { SidecarChoice } from "../model/sidecars.ts";
import { type Egress, egressOf } from "./egress.ts";
import type { Memo } from "./memo.ts";
import { blackHoleCluster, dynamicDnsCluster, outboundCluster, passthroughCluster } from "./names.ts";
import type { ProxyFacts } from "./proxy-facts.ts";

/** What becomes of traffic to places the mesh does not know. */
export interface UnknownTraffic {
  readonly allowed: boolean;
  /** Where connections go, and requests where they are allowed. */
  readonly cluster: string;
  /** Where requests go instead that name a host, which is looked up. */
  readonly names?: string;
}

export interface Scope {
  readonly model: MeshModel;
  readonly memo: Memo;
  readonly proxy: ProxyFacts;
  /** The Sidecar object that holds for the proxy, if any. */
  readonly sidecar: SidecarChoice | undefined;
  /** What the proxy sees where it dials out. */
  readonly egress: Egress;
  readonly unknown: UnknownTraffic;
  /** The proxy is given only what its workload uses. */
  readonly onDemand: boolean;
  /** Proxies with equal ones share what is generated for calls out of them. */
  readonly key: string;
}

/** Only workloads have a Sidecar: gateways see everything that is exported to them. */
export const sidecarChoice = (model: MeshModel, proxy: ProxyFacts): SidecarChoice | undefined =>
  proxy.kind === "gateway" ? undefined : model.rules().sidecarFor(proxy);

export const createScope = (
  model: MeshModel,
  memo: Memo,
  proxy: ProxyFacts,
  { onDemand, key }: Pick<Scope, "onDemand" | "key">,
): Scope => {
  const sidecar = sidecarChoice(model, proxy);
  let egress: Egress | undefined;
  return {
    model,
    memo,
    proxy,
    sidecar,
    get egress() {
      egress ??= egressOf(model, proxy.namespace, sidecar?.sidecar);
      return egress;
    },
    unknown: unknownTraffic(model, sidecar),
    onDemand,
    key,
  };
};

/** A Sidecar that has the block without its mode allows nothing, as Istio reads it. */
const unknownTraffic = (model: MeshModel, choice: SidecarChoice | undefined): UnknownTraffic => {
  const policy = choice?.sidecar.spec.outboundTrafficPolicy;
  const mode = policy ? (policy.mode ?? "REGISTRY_ONLY") : model.mesh.outboundTrafficPolicy;
  if (mode === "REGISTRY_ONLY") return { allowed: false, cluster: blackHoleCluster };
  if (!choice || !policy?.egressProxy) {
    const names = mode === "ALLOW_ANY_DYNAMIC_DNS" ? { names: dynamicDnsCluster } : {};
    return { allowed: true, cluster: passthroughCluster, ...names };
  }
  const { host, port, subset } = policy.egressProxy;
  const { namespace } = choice.sidecar;
  const hostname = resolveHost(host, namespace, model.mesh.domain);
  const ports = model.visibleServices(namespace).get(hostname)?.ports ?? [];
  const number = port?.number ?? (ports.length === 1 ? ports[0]?.number : undefined) ?? 0;
  return { allowed: true, cluster: outboundCluster(hostname, number, subset) };
};
