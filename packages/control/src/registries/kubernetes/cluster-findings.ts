/** What is wrong with a cluster as a source, as findings. */
import type { Finding } from "@weft/config/finding";
import type { FollowedKind } from "./cluster.ts";
import type { ClusterObjects } from "./cluster-objects.ts";
import type { NamedCluster } from "./kubernetes-url.ts";
import { type SecretPlaces, secretNamespacesMax } from "./secret-places.ts";
import { idOf } from "./watched-kinds.ts";

export interface ClusterFacts {
  readonly named: NamedCluster;
  readonly followed: ReadonlyMap<string, FollowedKind>;
  readonly objects: ClusterObjects;
  readonly places: Pick<SecretPlaces, "left">;
  readonly state: { readonly state: string; readonly reason: string; readonly ageMs: number };
  readonly diskProblem: string;
}

/** Names shown of many. */
const namesShownMax = 5;

export const clusterFindings = (facts: ClusterFacts): readonly Finding[] => {
  const { named, followed, objects, places, state, diskProblem } = facts;
  const where = `kubernetes ${named.cluster}`;
  const found: Finding[] = [];
  const say = (code: string, message: string, at = where): void => {
    found.push({
      ...{ code, level: "warning", message: `${at}: ${message}`, kind: "Registry", namespace: "", name: named.name },
      ...{ file: at, line: 0, column: 0, also: [] },
    });
  };
  const seconds = Math.round(state.ageMs / 1_000);
  if (state.state === "lost") say("WF2158", `out of reach (${state.reason}); its last view stays, ${seconds} s old`);
  for (const { kind, state: own, reason, table } of followed.values()) {
    const at = `${where}/${idOf(kind)}`;
    if (own === "forbidden") say("WF2153", `it may not be read: ${reason}`, at);
    if (own === "lost" && state.state !== "lost") say("WF2158", `out of reach (${reason}); what was read stays`, at);
    const leftOut = table.leftOut();
    if (leftOut > 0)
      say(
        "WF2290",
        `the cluster has ${leftOut} over the ${named.objectsMax} that are read; they are left out as if they were not there: delete what is not used`,
        at,
      );
    const held = table.heldCount();
    if (held > 0) say("WF2157", `${held} are missing from its list, and are kept for 5 minutes at most`, at);
  }
  const left = places.left();
  if (left > 0)
    say(
      "WF2160",
      `gateways need keys in ${left} namespaces more than the ${secretNamespacesMax} whose Secrets are read`,
    );
  const slices = objects.heldSlices();
  if (slices > 0)
    say(
      "WF2157",
      `${slices} lack addresses in its list, which are kept as a last resort for 5 minutes`,
      `${where}/EndpointSlice`,
    );
  const podsRead = followed.get("Pod")?.state !== "forbidden";
  const awaited = objects.podsAwaited();
  if (awaited > 0 && podsRead) say("WF2155", `addresses of ${awaited} pods wait for what the pods say`);
  const missing = [...objects.podsMissing()];
  if (missing.length > 0 && podsRead) {
    const shown = missing.slice(0, namesShownMax).join(", ");
    const more = missing.length > namesShownMax ? ` and ${missing.length - namesShownMax} more` : "";
    say(
      "WF2155",
      `${shown}${more}: the pods did not come in time, so their addresses are used without labels and identity`,
    );
  }
  if (diskProblem !== "") say("WF2159", `its last good view: ${diskProblem}`);
  for (const [key, problem] of objects.unreadable())
    say("WF2154", `it cannot be used, and stays as it last was: ${problem}`, `${where}/${key}`);
  return [...found, ...objects.findings()];
};
