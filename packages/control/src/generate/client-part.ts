/** What all workloads of a namespace share: clusters, endpoints and routes for calls to every service they see. */
import type { Finding } from "@weft/config/finding";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { Service } from "../model/service.ts";
import { blackHole, passthrough, serviceClusters } from "./clusters.ts";
import { dnsListener } from "./dns-listener.ts";
import { unknownNames } from "./dynamic-dns.ts";
import { endpointsOfCluster } from "./endpoints.ts";
import { policyInputs, sameInputs } from "./kept-parts.ts";
import { localRateLimits, withLimitRules } from "./local-rate-limits.ts";
import type { Kept } from "./memo.ts";
import { blackHoleCluster, httpProxyRoute, parseClusterName, passthroughCluster } from "./names.ts";
import { plannedListener, virtualOutbound } from "./outbound-listeners.ts";
import { planOutbound } from "./outbound-plan.ts";
import { httpProxyTable, portTable, serviceTable } from "./outbound-routes.ts";
import { emptyDraft, type Generated, note, noteAt, type ResourceDraft } from "./resource-set.ts";
import type { Scope } from "./scope.ts";
import { clientSecrets } from "./secrets.ts";
import { losesCredential, originates } from "./upstream-transport.ts";

interface ClientDraft {
  readonly scope: Scope;
  readonly draft: ResourceDraft;
  readonly notes: Finding[];
}

const addUnknownNames = (scope: Scope, draft: ResourceDraft): void => {
  const { names } = scope.unknown;
  if (names === undefined) return;
  draft.cluster.set(
    names,
    scope.memo.of(`cluster ${names}`, [scope.model.mesh], () => unknownNames(scope, names)),
  );
};

export const clientPart = (scope: Scope): Generated => {
  const draft = emptyDraft();
  const notes: Finding[] = [];
  addServices(scope, draft);
  addCredentials({ scope, draft, notes });
  const { kind, mode, native } = scope.proxy;
  const fixed = `${kind} ${mode === "NONE"} ${native}`;
  const { memo } = scope;
  draft.cluster.set(
    passthroughCluster,
    memo.of(`cluster ${passthroughCluster} ${fixed}`, [scope.model.mesh], () => passthrough(scope)),
  );
  draft.cluster.set(
    blackHoleCluster,
    memo.of(`cluster ${blackHoleCluster}`, [scope.model.mesh], () => blackHole(scope)),
  );
  if (scope.proxy.kind === "gateway") return { resources: draft, notes };
  addUnknownNames(scope, draft);
  noteSidecars(scope, notes);
  const limits = localRateLimits(scope, "outbound");
  const limited = (made: RouteConfigurationJson) => withLimitRules(scope, limits, made);
  if (scope.proxy.mode === "NONE") draft.route.set(httpProxyRoute, limited(httpProxyTable({ scope, notes })));
  else {
    const catchAll = virtualOutbound(scope);
    draft.listener.set(catchAll.name ?? "", catchAll);
  }
  const dns = dnsListener(scope);
  if (dns) draft.listener.set(dns.name ?? "", dns);
  const plan = planOutbound(scope, notes);
  for (const planned of plan.listeners) {
    const listener = plannedListener(scope, planned);
    draft.listener.set(listener.name ?? "", listener);
  }
  for (const { name, view, port, members, single } of plan.tables) {
    const [only] = members;
    const context = { scope, notes };
    const made = single && only ? serviceTable(context, view, only) : portTable(context, view, { port, members });
    draft.route.set(name, { ...limited(made), name });
  }
  return { resources: draft, notes };
};

/** A Sidecar that is not the oldest has no effect, and an egress listener that imports nothing reaches nothing. */
const noteSidecars = ({ sidecar: choice, egress }: Scope, notes: Finding[]): void => {
  if (!choice) return;
  const { sidecar, others } = choice;
  for (const other of others) {
    const text = `Sidecar ${sidecar.namespace}/${sidecar.name} is older and for the same workloads: this one is not used`;
    notes.push(noteAt("WF1536", text, { object: other, path: ["spec", "workloadSelector"] }));
  }
  for (const [index, { listener, services, rules }] of egress.views.entries()) {
    if (!listener || services.size + rules.length > 0 || listener.hosts.some((host) => host.startsWith("~"))) continue;
    const path = ["spec", "egress", index, "hosts"];
    const where = listener.port?.number === undefined ? "" : ` with port ${listener.port.number}`;
    const text = `egress.hosts names no service${where} that is exported here: nothing can be called there`;
    notes.push(noteAt("WF1537", text, { object: sidecar, path }));
  }
};

/** Clusters of every visible service, and the endpoints of those that have them from us. */
export const addServices = (scope: Scope, draft: ResourceDraft): void => {
  const { services, ports } = scope.egress;
  const known = scope.memo.of(`services ${variantOf(scope)}`, [], () => new WeakMap<Service, ServicePart>());
  for (const service of services.values()) {
    const some = ports.get(service.hostname);
    const part = partOf(scope, service, known);
    for (const cluster of part.clusters) {
      const name = cluster.name ?? "";
      if (some && !some.has(parseClusterName(name)?.port ?? 0)) continue;
      draft.cluster.set(name, cluster);
    }
    for (const endpoints of part.endpoints) {
      const name = endpoints.clusterName ?? "";
      if (!some || draft.cluster.has(name)) draft.endpoints.set(name, endpoints);
    }
  }
};

/** What is generated of one service, for all clients that read the same of it. */
interface ServicePart {
  readonly inputs: readonly unknown[];
  readonly clusters: readonly ClusterJson[];
  readonly endpoints: readonly ClusterLoadAssignmentJson[];
  readonly kept: Kept;
}

/** What clusters and endpoints read of a client, beside the policy it has for the service. */
const variantOf = ({ model, proxy }: Scope): string => {
  const { sdsCluster, native, kind, mode, locality, labels } = proxy;
  const { readsLocality, clientLabels } = model.rules();
  const read = readsLocality ? [locality, [...clientLabels].sort().map((name) => labels[name] ?? null)] : [];
  return JSON.stringify([sdsCluster ?? null, native, kind, mode === "NONE", read]);
};

const partOf = (scope: Scope, service: Service, parts: WeakMap<Service, ServicePart>): ServicePart => {
  const { model, memo, proxy } = scope;
  const inputs = [model.mesh, model.endpoints.get(service.key), ...policyInputs(scope, service, proxy)];
  const before = parts.get(service);
  if (before && sameInputs(before.inputs, inputs)) {
    memo.keep(before.kept);
    return before;
  }
  const { value, kept } = memo.taken(() => {
    const clusters = serviceClusters(scope, service);
    const eds = clusters.filter(({ type }) => type === "EDS");
    return { clusters, endpoints: eds.map(({ name }) => endpointsOfCluster(scope, name ?? "")) };
  });
  const made = { inputs, ...value, kept };
  parts.set(service, made);
  return made;
};

/** Secrets that rules name: given to proxies that may read them, reported for others, whose connections have no TLS. */
const addCredentials = ({ scope, draft, notes }: ClientDraft): void => {
  const { model, proxy, egress } = scope;
  const seen = new Set<string>();
  for (const service of egress.services.values()) {
    const policy = model.rules().destinationPolicy(service, proxy);
    if (!policy || seen.has(policy.id)) continue;
    seen.add(policy.id);
    const all = [policy.trafficPolicy, ...policy.subsets.map(({ trafficPolicy }) => trafficPolicy)].flatMap((one) => [
      one?.tls,
      ...(one?.portLevelSettings ?? []).map(({ tls }) => tls),
    ]);
    if (all.some((tls) => losesCredential(tls, proxy.kind, policy))) {
      notes.push(note("WF1541", credentialText, policy.rules[0], "error"));
      continue;
    }
    for (const tls of all) {
      if (!originates(tls) || !tls?.credentialName) continue;
      const { secrets, missing } = clientSecrets(scope, tls.credentialName, tls);
      for (const secret of secrets) draft.secret.set(secret.name ?? "", secret);
      for (const text of missing) notes.push(note("WF7011", text, policy.rules[0], "error"));
    }
  }
};

const credentialText =
  "tls.credentialName is read by gateways, and by sidecars a workloadSelector picks: the sidecars of this rule connect " +
  "without TLS, as in Istio. Add a workloadSelector, or name files";
