/** The patches of EnvoyFilters for one proxy: which, in which order, with their values read. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import type { EnvoyConfigPatch, EnvoyFilterMatch } from "@weft/config/kinds/envoy-filter";
import { type FragmentKind, readFragment } from "@weft/xds/merge-json";
import { labelsMatch } from "../../model/workload-policies.ts";
import type { ProxyFacts } from "../proxy-facts.ts";

export type EnvoyFilterObject = ConfigOf<"EnvoyFilter">;
export type Json = Readonly<Record<string, unknown>>;
export type PatchContext = "SIDECAR_INBOUND" | "SIDECAR_OUTBOUND" | "GATEWAY";

export interface Patch {
  /** `NAMESPACE/NAME/INDEX`. */
  readonly id: string;
  readonly object: EnvoyFilterObject;
  readonly index: number;
  readonly applyTo: EnvoyConfigPatch["applyTo"];
  readonly match: EnvoyFilterMatch;
  readonly operation: EnvoyConfigPatch["patch"]["operation"];
  readonly filterClass: NonNullable<EnvoyConfigPatch["patch"]["filterClass"]>;
  /** Canonical; empty where the operation needs none. */
  readonly value: Json;
}

/** A patch that is not made, with why. */
export interface PatchProblem {
  readonly object: EnvoyFilterObject;
  readonly index: number;
  readonly message: string;
}

export interface PatchPlan {
  readonly patches: readonly Patch[];
  readonly problems: readonly PatchProblem[];
  /** Equal keys: the same patches. Empty: none. */
  readonly key: string;
}

const fragments: ReadonlyMap<EnvoyConfigPatch["applyTo"], FragmentKind> = new Map([
  ["LISTENER", "listener"],
  ["LISTENER_FILTER", "listenerFilter"],
  ["FILTER_CHAIN", "filterChain"],
  ["NETWORK_FILTER", "networkFilter"],
  ["HTTP_FILTER", "httpFilter"],
  ["ROUTE_CONFIGURATION", "routeConfiguration"],
  ["VIRTUAL_HOST", "virtualHost"],
  ["HTTP_ROUTE", "route"],
  ["CLUSTER", "cluster"],
  ["EXTENSION_CONFIG", "extensionConfig"],
]);

/** What can be done to each; inserting into what has no order is adding, as in Istio. */
const operations: ReadonlyMap<EnvoyConfigPatch["applyTo"], readonly string[]> = new Map([
  ["LISTENER", ["MERGE", "MERGE_AND_REPLACE_LIST", "ADD", "REMOVE"]],
  ["LISTENER_FILTER", ["ADD", "REMOVE", "REPLACE", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"]],
  ["FILTER_CHAIN", ["MERGE", "MERGE_AND_REPLACE_LIST", "ADD", "REMOVE"]],
  ["NETWORK_FILTER", ["MERGE", "ADD", "REMOVE", "REPLACE", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"]],
  ["HTTP_FILTER", ["MERGE", "ADD", "REMOVE", "REPLACE", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"]],
  ["ROUTE_CONFIGURATION", ["MERGE", "MERGE_AND_REPLACE_LIST"]],
  ["VIRTUAL_HOST", ["MERGE", "MERGE_AND_REPLACE_LIST", "ADD", "REMOVE", "REPLACE"]],
  ["HTTP_ROUTE", ["MERGE", "MERGE_AND_REPLACE_LIST", "ADD", "REMOVE", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"]],
  ["CLUSTER", ["MERGE", "MERGE_AND_REPLACE_LIST", "ADD", "REMOVE"]],
  ["EXTENSION_CONFIG", ["ADD"]],
]);

type Read = Patch | PatchProblem;

/** Reads each object's patches once, whoever asks. */
export const createPatchReader = () => {
  const known = new WeakMap<EnvoyFilterObject, readonly Read[]>();
  const numbers = new WeakMap<EnvoyFilterObject, number>();
  let last = 0;
  const patchesOf = (object: EnvoyFilterObject): readonly Read[] => {
    let found = known.get(object);
    if (!found) {
      found = (object.spec.configPatches ?? []).map((patch, index) => readPatch(object, patch, index));
      known.set(object, found);
      numbers.set(object, ++last);
    }
    return found;
  };
  return {
    /** Those of `objects` for this proxy: the root namespace's first, then by priority, age and name. */
    planFor(objects: readonly EnvoyFilterObject[], proxy: ProxyFacts, rootNamespace: string): PatchPlan {
      const rank = ({ namespace }: EnvoyFilterObject): number => (namespace === rootNamespace ? 0 : 1);
      const mine = objects
        .filter((object) => selects(object, proxy, rootNamespace))
        .sort((a, b) => rank(a) - rank(b) || (a.spec.priority ?? 0) - (b.spec.priority ?? 0) || compareAge(a, b) || 0);
      const reads = mine.flatMap(patchesOf).filter((one) => !("operation" in one) || matchesProxy(one.match, proxy));
      const patches = reads.filter((one): one is Patch => "operation" in one);
      const unsupported = proxy.native ? patches.filter(({ value }) => usesUnknown(value)) : [];
      return {
        patches: patches.filter((one) => !unsupported.includes(one)),
        problems: [
          ...reads.filter((one): one is PatchProblem => !("operation" in one)),
          ...unsupported.map(({ object, index, value }) => ({
            object,
            index,
            message: `weft's sidecar has no extension ${unknownTypes(value).join(", ")}`,
          })),
        ],
        key: patches.map(({ object, index }) => `${numbers.get(object)}.${index}`).join(),
      };
    },
  };
};
export type PatchReader = ReturnType<typeof createPatchReader>;

const typedStructName = "xds.type.v3.TypedStruct";

/** Types of extensions that only Envoy can read. */
const unknownTypes = (value: unknown): readonly string[] => {
  if (Array.isArray(value)) return value.flatMap(unknownTypes);
  if (typeof value !== "object" || value === null) return [];
  const fields = value as Json;
  if (typeof fields["@type"] === "string" && fields["@type"].endsWith(typedStructName)) {
    return [String(fields.typeUrl).slice(String(fields.typeUrl).lastIndexOf("/") + 1)];
  }
  return Object.values(fields).flatMap(unknownTypes);
};
const usesUnknown = (value: Json): boolean => unknownTypes(value).length > 0;

/** Objects that are attached to something by reference are for waypoints and gateways of another API. */
const selects = ({ namespace, spec }: EnvoyFilterObject, proxy: ProxyFacts, rootNamespace: string): boolean =>
  (namespace === rootNamespace || namespace === proxy.namespace) &&
  !spec.targetRefs?.length &&
  labelsMatch(spec.workloadSelector?.labels, proxy.labels);

const matchesProxy = ({ proxy: wanted, context }: EnvoyFilterMatch, { envoyFacts }: ProxyFacts): boolean => {
  if (context === "WAYPOINT") return false;
  if (!wanted) return true;
  for (const [name, value] of Object.entries(wanted.metadata ?? {})) {
    if (envoyFacts.metadata.get(name) !== value) return false;
  }
  return !wanted.proxyVersion || matchesVersion(wanted.proxyVersion, envoyFacts.istioVersion);
};

/** The expression was checked when the object was read. */
const matchesVersion = (expression: string, version: string): boolean => {
  try {
    return version !== "" && new RegExp(expression).test(version);
  } catch {
    return false;
  }
};

const readPatch = (object: EnvoyFilterObject, written: EnvoyConfigPatch, index: number): Read => {
  const { applyTo, match = {}, patch } = written;
  const kind = fragments.get(applyTo);
  if (!kind) return { object, index, message: `applyTo ${applyTo} changes how a proxy starts, which weft does not do` };
  const asked = patch.operation;
  const ordered = operations.get(applyTo)?.includes("INSERT_FIRST");
  const operation = asked.startsWith("INSERT_") && !ordered ? "ADD" : asked;
  if (!operations.get(applyTo)?.includes(operation)) {
    return { object, index, message: `operation ${asked} cannot be done to a ${applyTo}` };
  }
  try {
    const value = operation === "REMOVE" ? {} : readFragment(kind, patch.value ?? {}).json;
    const { filterClass = "UNSPECIFIED" } = patch;
    const id = `${object.namespace}/${object.name}/${index}`;
    return { id, object, index, applyTo, match, operation, filterClass, value };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { object, index, message: `its value is no ${applyTo}: ${reason}` };
  }
};
