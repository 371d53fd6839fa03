/** Clusters that check their hosts tell us what they find. */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { Memo } from "./memo.ts";
import type { Generated } from "./resource-set.ts";

/** Clusters with active checks are told to report to the server they come from, unless a patch named another. */
export const withHealthReports = (memo: Memo, key: string, generated: Generated): Generated => {
  const { cluster } = generated.resources;
  const told = [...cluster].filter(([, { healthChecks, lrsServer }]) => healthChecks?.length && !lrsServer);
  if (told.length === 0) return generated;
  const reporting = told.map(([name, json]): [string, ClusterJson] => [
    name,
    memo.of(`reporting ${key} ${name}`, [json], () => ({ ...json, lrsServer: { self: {} } })),
  ]);
  return { ...generated, resources: { ...generated.resources, cluster: new Map([...cluster, ...reporting]) } };
};
