/**
 * What a source gave before, made ready to be offered again. What is lost of it is stood in for: a cluster without its
 * endpoints has none, and a route table that is lost answers 503, so that nothing waits for them without end and what
 * is whole serves. Keys are not stood in for: what needs them is left out.
 */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import { sourceKey } from "@weft/xds/references";
import type { ResourceJson, ResourceKind } from "@weft/xds/resource";
import { unknownInListener, unknownInRouteTable } from "../../routing/validate-clusters.ts";
import { type Need, needsOf } from "../held-resource.ts";
import type { ResourceOffer } from "../resource-store.ts";

/** In the order to offer them: what others refer to comes after its referrer, so that it is wanted when it comes. */
const offerOrder = ["cluster", "endpoints", "listener", "route", "secret"] as const satisfies readonly ResourceKind[];

/** No server gives this version: what stands in is given anew, or said not to be there. */
export const standInVersion = "weft-lost";

export interface RestoredEntries {
  readonly offers: readonly { readonly of: ResourceKind; readonly changes: readonly ResourceOffer[] }[];
  readonly count: number;
  /** What is lost, by key, with what stands in for it. */
  readonly standIns: readonly string[];
  /** Keys of what is whole and of no use without something that is lost. */
  readonly leftOut: readonly string[];
}

export interface RestoreFacts {
  readonly source: string;
  /** Known without this: static clusters, keys of the identity. */
  readonly isKnown: (of: ResourceKind, name: string) => boolean;
}

export type SavedResources = ReadonlyMap<ResourceKind, readonly ResourceOffer[]>;

const noHosts = (name: string): ClusterJson => ({
  ...{ name, type: "STATIC", connectTimeout: "1s", loadAssignment: { clusterName: name } },
});
const answersUnavailable = (name: string): RouteConfigurationJson => {
  const body = { inlineString: "the route table is lost, and no control plane answers" };
  const routes = [{ match: { prefix: "/" }, directResponse: { status: 503, body } }];
  return { name, virtualHosts: [{ name: "lost", domains: ["*"], routes }] };
};

export const restoreEntries = (saved: SavedResources, { source, isKnown }: RestoreFacts): RestoredEntries => {
  const tables = new Map(
    offerOrder.map((of) => [of, new Map(saved.get(of)?.map((offer) => [offer.name, offer]))] as const),
  );
  const table = (of: ResourceKind): Map<string, ResourceOffer> => tables.get(of) as Map<string, ResourceOffer>;
  const count = [...tables.values()].reduce((sum, { size }) => sum + size, 0);
  const standIns: string[] = [];
  const leftOut: string[] = [];

  const isHere = (of: ResourceKind, name: string): boolean => table(of).has(name) || isKnown(of, name);
  const lost = ({ of, name, source: from }: Need): boolean => sourceKey(from) === source && !isHere(of, name);
  const standIn = <K extends ResourceKind>(of: K, name: string, json: ResourceJson[K]): void => {
    table(of).set(name, { name, version: standInVersion, json });
    standIns.push(`${of} ${name}`);
  };

  for (const [name, { json }] of table("cluster")) {
    const missing = needsOf("cluster", json as ClusterJson).filter(lost);
    if (missing.some(({ of }) => of === "secret")) standIn("cluster", name, noHosts(name));
    else for (const { name: of } of missing) standIn("endpoints", of, { clusterName: of });
  }
  const isCluster = (name: string): boolean => isHere("cluster", name);
  /** Each turn makes one more cluster known. */
  const standInForClusters = (unknown: () => { readonly name: string } | undefined): void => {
    for (let one = unknown(); one; one = unknown()) standIn("cluster", one.name, noHosts(one.name));
  };
  for (const [name, { json }] of table("listener")) {
    const missing = needsOf("listener", json as ListenerJson).filter(lost);
    if (missing.some(({ of }) => of === "secret")) {
      table("listener").delete(name);
      leftOut.push(`listener ${name}`);
      continue;
    }
    for (const { name: of } of missing) standIn("route", of, answersUnavailable(of));
    standInForClusters(() => unknownInListener(json, isCluster));
  }
  for (const { json } of table("route").values())
    standInForClusters(() => unknownInRouteTable(json as RouteConfigurationJson, isCluster));

  const offers = offerOrder.map((of) => ({ of, changes: [...table(of).values()] }));
  return { offers, count, standIns, leftOut };
};
