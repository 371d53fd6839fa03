/** Patches of clusters. */
import { mergeExtension, mergeFragment } from "@weft/xds/merge-json";
import { at, listAt, matchesCluster, matchesContext } from "./match.ts";
import type { Json, Patch, PatchContext } from "./patch.ts";

export type Touch = (patch: Patch) => void;

export const isMerge = ({ operation }: Patch): boolean =>
  operation === "MERGE" || operation === "MERGE_AND_REPLACE_LIST";

export const mergeOptions = ({ operation }: Patch) => ({ replaceLists: operation === "MERGE_AND_REPLACE_LIST" });

/** `undefined`: the cluster is removed. */
export const patchCluster = (
  cluster: Json,
  patches: readonly Patch[],
  context: PatchContext,
  touch: Touch,
): Json | undefined => {
  let made = cluster;
  for (const patch of patches) {
    if (patch.applyTo !== "CLUSTER" || patch.operation === "ADD") continue;
    if (!matchesContext(patch, context) || !matchesCluster(patch, made)) continue;
    touch(patch);
    if (patch.operation === "REMOVE") return undefined;
    made = mergeCluster(made, patch);
  }
  return made;
};

/**
 * A transport socket is merged into the one of its name; where it has another, the cluster's is replaced, but not beside
 * sockets that are chosen by endpoint: Envoy takes only one of the two.
 */
const mergeCluster = (cluster: Json, patch: Patch): Json => {
  const { transportSocket: socket, ...rest } = patch.value as { transportSocket?: Json };
  const merged = Object.keys(rest).length > 0 ? mergeFragment("cluster", cluster, rest, mergeOptions(patch)) : cluster;
  if (!socket) return merged;
  const matches = listAt(merged, "transportSocketMatches");
  if (matches.length > 0) {
    const index = matches.findIndex((one) => at(one, "transportSocket", "name") === socket.name);
    const found = matches[index];
    if (!found) return merged;
    const own = mergeSocket(found.transportSocket as Json, socket);
    return { ...merged, transportSocketMatches: matches.with(index, { ...found, transportSocket: own }) };
  }
  const own = merged.transportSocket as Json | undefined;
  return { ...merged, transportSocket: own?.name === socket.name && own ? mergeSocket(own, socket) : socket };
};

/** Sockets of one name: their settings merge where both have some of one type. */
export const mergeSocket = (own: Json, patch: Json): Json => {
  const [base, changes] = [own.typedConfig as Json | undefined, patch.typedConfig as Json | undefined];
  if (!base || !changes) return own;
  return { ...own, typedConfig: mergeExtension(base, changes) ?? base };
};
