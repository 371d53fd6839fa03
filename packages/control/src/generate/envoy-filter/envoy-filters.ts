/** EnvoyFilters over the resources of a proxy: every patch in its order, and what came of each. */
import type { Finding } from "@weft/config/finding";
import { encodeResource } from "@weft/xds/codec";
import type { ResourceKind } from "@weft/xds/resource";
import type { Memo } from "../memo.ts";
import type { ProxyFacts } from "../proxy-facts.ts";
import { type Generated, note, type ResourceSet } from "../resource-set.ts";
import { addsIn, contextOfCluster } from "./match.ts";
import type { Json, Patch, PatchContext, PatchPlan, PatchProblem } from "./patch.ts";
import { patchCluster } from "./patch-cluster.ts";
import { patchListener } from "./patch-listener.ts";
import { patchRoutes } from "./patch-routes.ts";

export interface PatchSite {
  readonly kind: ProxyFacts["kind"];
  /** What is added where the workload dials out goes to one part, what is added to its own ports to the other. */
  readonly part: "client" | "own";
  /** Names the part among those of other proxies. */
  readonly key: string;
  readonly memo: Memo;
}

/** What patches make of one resource. */
interface Patched {
  /** `undefined`: removed. */
  readonly json: Json | undefined;
  readonly matched: readonly string[];
  /** The resource was left as it was, since what came out is no message of its kind. */
  readonly failure: string | undefined;
}

type Change = (json: Json, touch: (patch: Patch) => void) => Json | undefined;

/** Patches that belong together are tried together: what cannot be encoded leaves the resource as it was generated. */
const changed = (kind: ResourceKind, json: Json, change: Change): Patched => {
  const matched = new Set<string>();
  const touch = ({ id }: Patch): void => void matched.add(id);
  try {
    const made = change(json, touch);
    if (made !== undefined && matched.size > 0) encodeResource(kind, made as never);
    return { json: matched.size > 0 ? made : json, matched: [...matched], failure: undefined };
  } catch (error) {
    return { json, matched: [...matched], failure: error instanceof Error ? error.message : String(error) };
  }
};

const applyTos = {
  cluster: ["CLUSTER"],
  listener: [
    ...["LISTENER", "LISTENER_FILTER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "EXTENSION_CONFIG"],
    // A server's routes stand within its listener.
    ...["ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"],
  ],
  route: ["ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"],
} as const;
type PatchedKind = keyof typeof applyTos;

const contextOf = (kind: PatchedKind, json: Json, site: PatchSite): PatchContext => {
  if (site.kind === "gateway") return "GATEWAY";
  if (kind === "cluster") return contextOfCluster(String(json.name ?? ""));
  return kind === "listener" && json.trafficDirection === "INBOUND" ? "SIDECAR_INBOUND" : "SIDECAR_OUTBOUND";
};

const patchers: {
  readonly [K in PatchedKind]: (
    json: Json,
    patches: readonly Patch[],
    context: PatchContext,
    touch: (patch: Patch) => void,
  ) => Json | undefined;
} = { cluster: patchCluster, listener: patchListener, route: patchRoutes };

/** The part with the plan's patches made. Ids of patches that matched anything are in `matched`. */
export const patchGenerated = (generated: Generated, plan: PatchPlan, site: PatchSite): Generated => {
  if (plan.patches.length === 0 && plan.problems.length === 0) return generated;
  const matched = new Set<string>();
  const notes: Finding[] = plan.problems.map(problemNote);
  const outcome: Outcome = { matched, notes, plan, site };
  const { resources } = generated;
  const patched = {
    ...resources,
    cluster: patchKind("cluster", resources, outcome),
    listener: patchKind("listener", resources, outcome),
    route: patchKind("route", resources, outcome),
  };
  return { resources: patched as ResourceSet, notes: [...generated.notes, ...notes], matched };
};

interface Outcome {
  readonly matched: Set<string>;
  readonly notes: Finding[];
  readonly plan: PatchPlan;
  readonly site: PatchSite;
}

const patchKind = (kind: PatchedKind, resources: ResourceSet, outcome: Outcome): ReadonlyMap<string, unknown> => {
  const { plan, site } = outcome;
  const before = resources[kind] as ReadonlyMap<string, Json>;
  const mine = plan.patches.filter(({ applyTo }) => (applyTos[kind] as readonly string[]).includes(applyTo));
  if (mine.length === 0) return before;
  const after = new Map<string, Json>();
  for (const [name, json] of before) {
    const context = contextOf(kind, json, site);
    const made = site.memo.of(`patched ${plan.key} ${site.key} ${kind} ${name}`, [json, ...mine], () =>
      changed(kind, json, (base, touch) => patchers[kind](base, mine, context, touch)),
    );
    for (const id of made.matched) outcome.matched.add(id);
    if (made.failure !== undefined) outcome.notes.push(...failures(mine, made, `${kind} ${name}`));
    if (made.json) after.set(name, made.json);
  }
  if (kind !== "route") addResources(kind, after, mine, outcome);
  return after;
};

/** A resource whose name is taken is not added: Envoy would refuse the lot. */
const addResources = (
  kind: "cluster" | "listener",
  after: Map<string, Json>,
  patches: readonly Patch[],
  { matched, notes, site }: Outcome,
): void => {
  const own = site.part === "own";
  const context: PatchContext = site.kind === "gateway" ? "GATEWAY" : own ? "SIDECAR_INBOUND" : "SIDECAR_OUTBOUND";
  if (context === "GATEWAY" && own) return;
  const applyTo = kind === "cluster" ? "CLUSTER" : "LISTENER";
  for (const patch of patches) {
    if (patch.applyTo !== applyTo || patch.operation !== "ADD" || !addsIn(patch, context)) continue;
    const name = String(patch.value.name ?? "");
    const problem =
      name === "" ? `a ${kind} needs a name` : after.has(name) ? `there is a ${kind} "${name}" already` : undefined;
    if (problem !== undefined) {
      notes.push(problemNote({ ...patch, message: problem }));
      continue;
    }
    matched.add(patch.id);
    after.set(name, patch.value);
  }
};

const failures = (patches: readonly Patch[], { matched, failure }: Patched, resource: string): readonly Finding[] =>
  patches
    .filter(({ id }) => matched.includes(id))
    .map((patch) => problemNote({ ...patch, message: `${resource} stays as it was, for with it: ${failure}` }));

export const problemNote = ({ object, index, message }: PatchProblem): Finding => ({
  ...note("WF1551", `configPatches[${index}] is not made: ${message}`, object, "error"),
  ...object.positionOf(["spec", "configPatches", index]),
});

/** Ids of the patches that these findings say are not made. */
export const refusedPatches = (notes: readonly Finding[]): ReadonlySet<string> =>
  new Set(
    notes.flatMap(({ code, namespace, name, message }) => {
      const index = code === "WF1551" ? /^configPatches\[(\d+)\]/.exec(message)?.[1] : undefined;
      return index === undefined ? [] : [`${namespace}/${name}/${index}`];
    }),
  );

/** Patches of these objects that no proxy of those asked had anything for. */
export const unmatchedPatches = (
  objects: readonly PatchProblem["object"][],
  seen: { readonly proxies: number; readonly matched: ReadonlySet<string>; readonly refused: ReadonlySet<string> },
): readonly Finding[] =>
  objects.flatMap((object) =>
    (object.spec.configPatches ?? []).flatMap((_, index) => {
      const id = `${object.namespace}/${object.name}/${index}`;
      if (seen.matched.has(id) || seen.refused.has(id) || seen.proxies === 0) return [];
      const proxies = seen.proxies === 1 ? "the one proxy" : `any of ${seen.proxies} proxies`;
      const message = `configPatches[${index}] matches nothing on ${proxies} connected: compare its match with weft proxy-config`;
      return [
        {
          ...note("WF1550", message, object),
          ...object.positionOf(["spec", "configPatches", index]),
        },
      ];
    }),
  );
