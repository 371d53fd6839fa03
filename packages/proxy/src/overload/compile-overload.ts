/** Envoy's overload manager as a bootstrap states it. */
import { ConfigError } from "@weft/core/config-error";
import { openAny } from "../compile/any.ts";
import { durationMs, member, required, unsigned } from "../compile/fields.ts";
import {
  type ConfiguredOverload,
  type OverloadAction,
  type OverloadResource,
  type OverloadTrigger,
  overloadActions,
} from "./overload-settings.ts";

/** What was said and has no effect: the field and why. */
export interface OverloadRemark {
  readonly field: string;
  readonly why: string;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const camel = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(camel);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
      camel(inner),
    ]),
  );
};

const listOf = (json: Json, name: string, at: string): readonly Json[] => {
  const list = json[name] ?? [];
  if (!Array.isArray(list) || !list.every(isObject))
    throw new ConfigError(member(at, name), "must be a list of objects");
  return list;
};

const monitors = "envoy.extensions.resource_monitors.";

/** Why Envoy's other actions have no effect here. */
const idleActions: ReadonlyMap<string, string> = new Map([
  [
    "envoy.overload_actions.reset_high_memory_stream",
    "no stream can hold much: each queues 64 KiB at most, whatever the pressure",
  ],
]);

/** Compiles it; what has no effect is remarked on. Throws ConfigError for what cannot be meant. */
export const compileOverload = (
  raw: unknown,
  at: string,
): { readonly overload: ConfiguredOverload; readonly remarks: readonly OverloadRemark[] } => {
  const json = camel(raw);
  if (!isObject(json)) throw new ConfigError(at, "must be an object");
  const remarks: OverloadRemark[] = [];
  for (const name of Object.keys(json)) {
    if (["refreshInterval", "resourceMonitors", "actions"].includes(name)) continue;
    remarks.push({ field: member(at, name), why: "it is not supported" });
  }
  const refresh = json.refreshInterval;
  if (refresh !== undefined && typeof refresh !== "string")
    throw new ConfigError(`${at}.refreshInterval`, "must be a duration");
  const { resources, connectionsMax, names } = compileMonitors(json, at, remarks);
  const triggers = new Map<OverloadAction, readonly OverloadTrigger[]>();
  for (const [index, action] of listOf(json, "actions", at).entries()) {
    const here = `${at}.actions[${index}]`;
    const name = String(required(action.name as string | undefined, member(here, "name")));
    const list = compileTriggers(action, here, names).filter(({ resource }) =>
      resources.some((each) => each.name === resource),
    );
    const known = overloadActions.find((each) => each === name);
    if (known === undefined) remarks.push({ field: here, why: idleActions.get(name) ?? `${name} is not supported` });
    else triggers.set(known, list);
    if (known === "envoy.overload_actions.reduce_timeouts" && action.typedConfig !== undefined)
      remarks.push({
        field: member(here, "typedConfig"),
        why: "idle connections are closed, oldest first, as ever fits",
      });
  }
  const refreshMs = durationMs(refresh, `${at}.refreshInterval`);
  return { overload: { refreshMs: refreshMs || undefined, resources, triggers, connectionsMax }, remarks };
};

const compileMonitors = (json: Json, at: string, remarks: OverloadRemark[]) => {
  const resources: OverloadResource[] = [];
  const names = new Set<string>();
  let connectionsMax: number | undefined;
  for (const [index, monitor] of listOf(json, "resourceMonitors", at).entries()) {
    const here = `${at}.resourceMonitors[${index}]`;
    const name = String(required(monitor.name as string | undefined, member(here, "name")));
    if (names.has(name)) throw new ConfigError(member(here, "name"), `"${name}" is there twice`);
    names.add(name);
    const { typeName, raw } = openAny(monitor.typedConfig as object | undefined, member(here, "typedConfig"));
    const size = (field: string): number | undefined =>
      unsigned(raw[field] as number | string | undefined, `${here}.typedConfig.${field}`) || undefined;
    if (typeName === `${monitors}fixed_heap.v3.FixedHeapConfig`) {
      const limitBytes = required(size("maxHeapSizeBytes"), `${here}.typedConfig.maxHeapSizeBytes`);
      resources.push({ kind: "memory", name, limitBytes });
    } else if (typeName === `${monitors}cgroup_memory.v3.CgroupMemoryConfig`) {
      resources.push({ kind: "memory", name, limitBytes: size("maxMemoryBytes") });
    } else if (typeName === `${monitors}downstream_connections.v3.DownstreamConnectionsConfig`) {
      connectionsMax = required(
        size("maxActiveDownstreamConnections"),
        `${here}.typedConfig.maxActiveDownstreamConnections`,
      );
    } else
      remarks.push({ field: here, why: `the resource monitor ${typeName} is not supported, so it triggers nothing` });
  }
  return { resources, connectionsMax, names };
};

const compileTriggers = (action: Json, at: string, names: ReadonlySet<string>): readonly OverloadTrigger[] =>
  listOf(action, "triggers", at).map((trigger, index) => {
    const here = `${at}.triggers[${index}]`;
    const resource = String(required(trigger.name as string | undefined, member(here, "name")));
    if (!names.has(resource)) throw new ConfigError(member(here, "name"), `there is no resource monitor "${resource}"`);
    const { threshold, scaled } = trigger;
    if (isObject(threshold)) {
      const value = pressureOf(threshold.value, `${here}.threshold.value`);
      return { resource, from: value, to: value };
    }
    if (!isObject(scaled)) throw new ConfigError(here, "needs a threshold or scaled");
    const from = pressureOf(scaled.scalingThreshold, `${here}.scaled.scalingThreshold`);
    const to = pressureOf(scaled.saturationThreshold, `${here}.scaled.saturationThreshold`);
    if (from >= to) throw new ConfigError(`${here}.scaled`, "scalingThreshold must be below saturationThreshold");
    return { resource, from, to };
  });

const pressureOf = (value: unknown, at: string): number => {
  const number = value ?? 0;
  if (typeof number !== "number" || !(number >= 0 && number <= 1)) throw new ConfigError(at, "must be from 0 to 1");
  return number;
};
