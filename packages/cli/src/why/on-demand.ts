/**
 * What a client's proxy was not given for never having asked: in a large mesh it asks for a host at its first request. The
 * control plane says what it would then have, so that the path goes on as that request's would.
 */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { hostOf } from "./decide.ts";
import type { Question } from "./question.ts";
import type { ProxyResources } from "./resources.ts";
import { step } from "./routing-steps.ts";
import type { Step } from "./step.ts";

/** What the control plane has for TABLE/HOST. */
export interface OnDemandAnswer {
  /** Whether the proxy is one that asks. */
  readonly onDemand: boolean;
  readonly virtualHost?: VirtualHostJson;
  readonly clusters?: readonly ClusterJson[];
  readonly endpoints?: readonly ClusterLoadAssignmentJson[];
}

/** `undefined` where the control plane cannot be asked. */
export type AskOnDemand = (asked: string) => Promise<OnDemandAnswer | undefined>;

export interface Asked {
  /** With what the first request brings. */
  readonly resources: ProxyResources;
  /** What is to be said of it: nothing where the proxy has the host. */
  readonly steps: readonly Step[];
}

/** Tables that have nothing for the host itself, and are asked for it. */
const tablesWithout = ({ routes }: ProxyResources, { port, request }: Question): readonly RouteConfigurationJson[] =>
  [...routes.values()].filter((table) => {
    const { name = "", vhds } = table;
    if (!vhds || (/^\d+$/.test(name) && name !== String(port))) return false;
    return (hostOf(table, request.authority)?.domains ?? ["*"]).includes("*");
  });

export const withOnDemand = async (resources: ProxyResources, question: Question, ask: AskOnDemand): Promise<Asked> => {
  let now = resources;
  const steps: Step[] = [];
  for (const table of tablesWithout(resources, question)) {
    const { authority } = question.request;
    const answer = await ask(`${table.name}/${authority}`);
    const host = answer?.virtualHost;
    steps.push(step("client", "on demand", `${authority} is not asked for yet`, { notes: [noteOf(answer)] }));
    if (host) now = joined(now, table, { ...answer, virtualHost: host });
  }
  return { resources: now, steps };
};

const noteOf = (answer: OnDemandAnswer | undefined): string => {
  if (!answer) return "the first request asks the control plane for it, which cannot be asked now: this is without it";
  return answer.virtualHost
    ? "the first request waits until the control plane has given it, and goes on as said here"
    : "the first request asks the control plane for it, which knows no such host";
};

const joined = (
  resources: ProxyResources,
  table: RouteConfigurationJson,
  { virtualHost, clusters = [], endpoints = [] }: OnDemandAnswer & { readonly virtualHost: VirtualHostJson },
): ProxyResources => ({
  ...resources,
  routes: new Map([
    ...resources.routes,
    [table.name ?? "", { ...table, virtualHosts: [...(table.virtualHosts ?? []), virtualHost] }],
  ]),
  clusters: new Map([...clusters.map((json): [string, ClusterJson] => [json.name ?? "", json]), ...resources.clusters]),
  endpoints: new Map([
    ...endpoints.map((json): [string, ClusterLoadAssignmentJson] => [json.clusterName ?? "", json]),
    ...resources.endpoints,
  ]),
});
