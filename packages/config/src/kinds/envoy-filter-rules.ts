/** Rules of EnvoyFilter that its schema cannot say. */
import type { FieldPath } from "../schema/problem.ts";
import type { EnvoyConfigPatch, EnvoyFilterSpec } from "./envoy-filter.ts";
import type { RuleTools } from "./kind.ts";
import { type Reporter, reporter } from "./rules.ts";

export const validateEnvoyFilter = (spec: EnvoyFilterSpec, tools: RuleTools): void => {
  const report = reporter(tools);
  const patches = spec.configPatches ?? [];
  if (patches.length === 0) report.warn([], "an EnvoyFilter without configPatches changes nothing: add one");
  for (const [index, patch] of patches.entries()) {
    const path = ["configPatches", index];
    checkMatch(patch, path, report);
    checkValue(patch, path, report);
    checkFilter(patch, path, report);
  }
};

/** Which part of `match` each applyTo reads. */
const matchOf: ReadonlyMap<EnvoyConfigPatch["applyTo"], "listener" | "routeConfiguration" | "cluster"> = new Map([
  ["LISTENER", "listener"],
  ["FILTER_CHAIN", "listener"],
  ["NETWORK_FILTER", "listener"],
  ["HTTP_FILTER", "listener"],
  ["LISTENER_FILTER", "listener"],
  ["ROUTE_CONFIGURATION", "routeConfiguration"],
  ["VIRTUAL_HOST", "routeConfiguration"],
  ["HTTP_ROUTE", "routeConfiguration"],
  ["CLUSTER", "cluster"],
]);

const checkMatch = ({ applyTo, match }: EnvoyConfigPatch, path: FieldPath, { bad, both, warn }: Reporter): void => {
  const wanted = matchOf.get(applyTo);
  for (const name of ["listener", "routeConfiguration", "cluster"] as const) {
    if (match?.[name] === undefined || name === wanted) continue;
    const cure = wanted === undefined ? "remove it" : `write match.${wanted}`;
    both([...path, "match", name], `applyTo ${applyTo} does not read match.${name}: ${cure}`);
  }
  if (match?.waypoint && match.context !== "WAYPOINT") {
    both([...path, "match", "waypoint"], "match.waypoint needs context: WAYPOINT");
  }
  if (applyTo === "BOOTSTRAP" && match?.context !== undefined && match.context !== "ANY") {
    bad([...path, "match", "context"], "applyTo BOOTSTRAP changes the start of a proxy: context must be ANY");
  }
  const { filterChain } = match?.listener ?? {};
  if (filterChain?.filter?.subFilter && !filterChain.filter.name) {
    const cure = "add filter.name, envoy.filters.network.http_connection_manager";
    bad([...path, "match", "listener", "filterChain", "filter"], `match.filter.subFilter needs filter.name: ${cure}`);
  }
  if (match?.routeConfiguration?.portName && match.context !== "GATEWAY") {
    const at = [...path, "match", "routeConfiguration", "portName"];
    warn(at, "portName is looked at only with context: GATEWAY: write portNumber");
  }
};

const checkValue = ({ patch, applyTo }: EnvoyConfigPatch, path: FieldPath, { bad, missing }: Reporter): void => {
  const { operation, value } = patch;
  const at = [...path, "patch"];
  if (value === undefined || value === null) {
    if (operation !== "REMOVE") missing(at, `operation ${operation} needs a value`);
    return;
  }
  if (typeof value !== "object" || Array.isArray(value)) {
    bad([...at, "value"], "patch.value must be an object: Envoy's message as JSON");
    return;
  }
  if (operation === "MERGE" && Object.keys(value).length === 0) bad([...at, "value"], "patch.value is empty");
  const adds = operation === "ADD" || operation.startsWith("INSERT") || operation === "REPLACE";
  const filter = applyTo === "NETWORK_FILTER" || applyTo === "HTTP_FILTER" || applyTo === "LISTENER_FILTER";
  if (!adds || (!filter && applyTo !== "EXTENSION_CONFIG")) return;
  if (typeof value.name !== "string" || value.name === "") missing([...at, "value"], "the filter needs a name");
  const typed = value.typed_config ?? value.typedConfig;
  if (typed !== undefined && !hasType(typed)) {
    missing([...at, "value"], 'typed_config needs "@type", such as type.googleapis.com/envoy.extensions.…');
  }
};

const hasType = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "@type" in value && typeof value["@type"] === "string";

const checkFilter = ({ patch, applyTo }: EnvoyConfigPatch, path: FieldPath, { warn }: Reporter): void => {
  const { filterClass = "UNSPECIFIED", operation } = patch;
  const used = operation === "ADD" && (applyTo === "HTTP_FILTER" || applyTo === "NETWORK_FILTER");
  if (filterClass !== "UNSPECIFIED" && !used) {
    const message = `filterClass is looked at only when ADD adds a filter, not with ${operation} to ${applyTo}: remove it`;
    warn([...path, "patch", "filterClass"], message);
  }
};
