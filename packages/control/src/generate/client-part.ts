/** What all workloads of a namespace share: clusters, endpoints and routes for calls to every service they see. */
import type { Finding } from "@weft/config/finding";
import { blackHole, passthrough, serviceClusters } from "./clusters.ts";
import { endpointsOfCluster } from "./endpoints.ts";
import { blackHoleCluster, httpProxyRoute, passthroughCluster } from "./names.ts";
import { planOutbound } from "./outbound-listeners.ts";
import { httpProxyTable, portTable } from "./outbound-routes.ts";
import { emptyDraft, type Generated, note, type ResourceDraft } from "./resource-set.ts";
import { isRouted } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";

export const clientPart = (scope: Scope): Generated => {
  const draft = emptyDraft();
  const notes: Finding[] = [];
  addServices(scope, draft);
  noteLosses(scope, notes);
  const { kind, mode, native } = scope.proxy;
  const fixed = `${kind} ${mode === "NONE"} ${native}`;
  const { memo } = scope;
  draft.cluster.set(
    passthroughCluster,
    memo.of(`cluster ${passthroughCluster} ${fixed}`, [], () => passthrough(scope)),
  );
  draft.cluster.set(
    blackHoleCluster,
    memo.of(`cluster ${blackHoleCluster}`, [], () => blackHole(scope)),
  );
  if (scope.proxy.kind === "gateway") return { resources: draft, notes };
  if (scope.proxy.mode === "NONE") {
    draft.route.set(httpProxyRoute, httpProxyTable({ scope, notes }));
    return { resources: draft, notes };
  }
  const plan = planOutbound(scope);
  for (const listener of plan.listeners) draft.listener.set(listener.name ?? "", listener);
  for (const [port, members] of plan.shared) {
    const name = String(port);
    const routed = members.filter((member) => isRouted(member.port));
    draft.route.set(name, portTable({ scope, notes }, name, routed));
  }
  for (const member of plan.single) {
    const name = `${member.service.hostname}:${member.port.number}`;
    draft.route.set(name, portTable({ scope, notes }, name, [member]));
  }
  return { resources: draft, notes };
};

/** Clusters of every visible service, and the endpoints of those that have them from us. */
export const addServices = (scope: Scope, draft: ResourceDraft): void => {
  for (const service of scope.model.visibleServices(scope.proxy.namespace).values()) {
    for (const cluster of serviceClusters(scope, service)) {
      const name = cluster.name ?? "";
      draft.cluster.set(name, cluster);
      if (cluster.type === "EDS") draft.endpoints.set(name, endpointsOfCluster(scope, name));
    }
  }
};

/** What rules ask of our sidecar that it does not do yet, once per rule. */
const noteLosses = ({ model, proxy }: Scope, notes: Finding[]): void => {
  if (!proxy.native) return;
  const seen = new Set<string>();
  for (const service of model.visibleServices(proxy.namespace).values()) {
    const policy = model.rules().destinationPolicy(service, proxy);
    const warms = [policy?.trafficPolicy, ...(policy?.subsets ?? []).map(({ trafficPolicy }) => trafficPolicy)].some(
      (one) => one?.loadBalancer?.warmup || one?.loadBalancer?.warmupDurationSecs,
    );
    if (!policy || !warms || seen.has(policy.id)) continue;
    seen.add(policy.id);
    notes.push(
      note("WF1540", "warmup has no effect in weft's sidecar: new endpoints get their share at once", policy.rules[0]),
    );
  }
};
