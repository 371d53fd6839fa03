/** All that is told of the client's side, and whom the request would be sent to. */
import type { Host } from "@weft/proxy/clusters/host";
import { reasonFor } from "@weft/proxy/http/reasons";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { type ClientSide, clientSide } from "./client-side.ts";
import { type ClusterPath, clusterPath } from "./cluster-steps.ts";
import type { ClusterShare, Decision } from "./decide.ts";
import type { Told } from "./engine.ts";
import type { OfflineCluster, OfflineProxy } from "./offline-proxy.ts";
import type { Question } from "./question.ts";
import { actionStep, hostStep, listenerSteps, refOfRoute, round, routeSteps, step } from "./routing-steps.ts";
import type { Outcome, Step } from "./step.ts";

export interface ClientPath {
  readonly steps: readonly Step[];
  /** What ends the path here; absent where the request goes on to a host. */
  readonly outcome: Outcome | undefined;
  readonly next: NextHop | undefined;
}

export interface NextHop {
  /** The host the path is followed to. */
  readonly host: Host;
  readonly cluster: OfflineCluster;
  readonly told: Told | undefined;
  /** All hosts that could be taken, in all clusters. */
  readonly eligible: readonly Host[];
}

const unknown = (text: string): Outcome => ({ kind: "unknown", status: 0, flags: "", details: "", text });

export const clientPath = (proxy: OfflineProxy, question: Question): ClientPath => {
  const side = clientSide(proxy, question);
  const first = listenerSteps(side, question);
  if (side.way.kind === "none") return { steps: first, outcome: unknown("the proxy serves no calls"), next: undefined };
  if (!side.entrance)
    return { steps: first, outcome: unknown("no filter chain takes the connection"), next: undefined };
  if (!side.decision) return bareConnection(proxy, side, first);
  const { decision, entrance } = side;
  const asked = { request: decision.told.matched, downstream: entrance.downstream };
  const action = actionStep(decision);
  const steps = [
    ...first,
    hostStep(decision.host, question.request),
    ...routeSteps(proxy, decision, asked),
    ...(action ? [action] : []),
  ];
  if (decision.clusters.length === 0) return { steps, outcome: answered(decision), next: undefined };
  return onward(proxy, steps, { clusters: decision.clusters, told: decision.told, status: missingStatus(decision) });
};

interface Onward {
  readonly clusters: readonly ClusterShare[];
  readonly told: Told | undefined;
  /** What is answered where the cluster is not there. */
  readonly status: number;
}

const missingStatus = ({ told: { route } }: Decision): number =>
  route?.action.kind === "forward" ? route.action.clusterNotFoundStatus : 503;

const onward = (proxy: OfflineProxy, before: readonly Step[], { clusters, told, status }: Onward): ClientPath => {
  const paths = clusters.map((share) => ({ share, path: clusterPath(proxy, share.name, told?.hash) }));
  const steps = [...before, ...paths.flatMap(({ path }) => path.steps)];
  const largest = paths.toSorted((a, b) => b.share.percent - a.share.percent)[0];
  if (!largest) return { steps, outcome: unknown("the route names no cluster"), next: undefined };
  const { path, share } = largest;
  const failed = failure(path, share, status);
  if (failed) return { steps, outcome: failed, next: undefined };
  const { open, upstream } = path;
  const host = upstream?.byHash ?? upstream?.eligible[0];
  if (!open || !host) return { steps, outcome: undefined, next: undefined };
  const eligible = paths.flatMap(({ path: each }) =>
    each.upstream?.byHash ? [each.upstream.byHash] : (each.upstream?.eligible ?? []),
  );
  return { steps, outcome: undefined, next: { host, cluster: open, told, eligible } };
};

const failure = (
  { open, upstream }: ClusterPath,
  { name, known }: ClusterShare,
  status: number,
): Outcome | undefined => {
  if (!known) {
    const text = `${status} NC: the proxy has no cluster ${name}`;
    return { kind: "answered", status, flags: "NC", details: "cluster_not_found", code: "WF5043", text };
  }
  if (!open) return unknown(`the cluster ${name} cannot be read`);
  const { kind } = open.cluster.discovery;
  if (open.hostsUnknown || kind === "originalDst" || kind === "dynamic" || upstream?.eligible.length !== 0)
    return undefined;
  const text = `503 UH: no host of ${name} can be used`;
  return { kind: "answered", status: 503, flags: "UH", details: "no_healthy_upstream", code: "WF5044", text };
};

const answered = ({ told, host, place }: Decision): Outcome => {
  const { status, flags, details, location, grpcStatus } = told;
  const code = reasonFor({ details })?.code;
  const by = place ? ` by ${refOfRoute(place.route)?.name ?? (place.route.name || "the route")}` : "";
  const why = flags.includes("NR") ? (host ? "no route takes it" : "no virtual host has its Host") : details;
  const to = location === undefined ? "" : ` to ${location}`;
  const grpc = grpcStatus >= 0 ? `, gRPC status ${grpcStatus}` : "";
  const text = `${status}${flags === "" ? "" : ` ${flags}`}${grpc}${to}${by}: ${why}`;
  return { kind: "answered", status, flags, details, location, code, text };
};

interface TcpProxyConfig {
  readonly cluster?: string;
  readonly weightedClusters?: { readonly clusters?: readonly { readonly name?: string; readonly weight?: number }[] };
}

const tcpClusters = (filters: readonly FilterJson[], { resources }: OfflineProxy): readonly ClusterShare[] => {
  const config = (filters.at(-1)?.typedConfig ?? {}) as TcpProxyConfig;
  const all = config.weightedClusters?.clusters ?? (config.cluster ? [{ name: config.cluster, weight: 1 }] : []);
  const total = all.reduce((sum, { weight = 0 }) => sum + weight, 0);
  return all.flatMap(({ name = "", weight = 0 }) =>
    weight > 0 ? [{ name, percent: (100 * weight) / total, known: resources.clusters.has(name) }] : [],
  );
};

const bareConnection = (proxy: OfflineProxy, side: ClientSide, first: readonly Step[]): ClientPath => {
  const chain = side.entrance?.json;
  const clusters = tcpClusters(chain?.filters ?? [], proxy);
  if (clusters.length === 0)
    return { steps: first, outcome: unknown("the chain forwards to no cluster"), next: undefined };
  const found = clusters.map(({ name, percent }) => `${round(percent)} % to ${name}`).join(", ");
  const action = step("client", "action", `TCP: ${found}`, { notes: ["no part of the request is looked at"] });
  return onward(proxy, [...first, action], { clusters, told: undefined, status: 0 });
};
