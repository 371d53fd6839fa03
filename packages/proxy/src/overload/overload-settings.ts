import {
  closeIdleAt,
  connectionsOffAt,
  connectionsOfOpenFiles,
  downstreamConnectionsMax,
  keepAliveOffAt,
  loopDelayMax,
  refreshMs,
  requestsOffAt,
  shrinkAt,
} from "./limits.ts";

/** What can run short. `pressure` is 0 for idle, 1 for all that there may be. */
export type OverloadResource =
  /** Without `limitBytes` the process's own limit holds. */
  | { readonly kind: "memory"; readonly name: string; readonly limitBytes: number | undefined }
  | { readonly kind: "loopDelay"; readonly name: string; readonly limitMs: number };

/** Starts an action between two pressures; equal ones are a threshold. */
export interface OverloadTrigger {
  readonly resource: string;
  readonly from: number;
  readonly to: number;
}

/** By Envoy's names. */
export const overloadActions = [
  "envoy.overload_actions.stop_accepting_requests",
  "envoy.overload_actions.disable_http_keepalive",
  "envoy.overload_actions.stop_accepting_connections",
  "envoy.overload_actions.reject_incoming_connections",
  "envoy.overload_actions.shrink_heap",
  "envoy.overload_actions.reduce_timeouts",
] as const;
export type OverloadAction = (typeof overloadActions)[number];

export interface OverloadSettings {
  readonly refreshMs: number;
  readonly resources: readonly OverloadResource[];
  readonly triggers: ReadonlyMap<OverloadAction, readonly OverloadTrigger[]>;
  /** Clients' connections at all listeners together. */
  readonly connectionsMax: number;
}

/** Without settings nothing is measured and no more than the number of connections is bounded. */
export const unboundedOverload: OverloadSettings = {
  refreshMs: 1000,
  resources: [],
  triggers: new Map(),
  connectionsMax: downstreamConnectionsMax,
};

export const memoryResource = "envoy.resource_monitors.fixed_heap";
export const loopDelayResource = "weft.resource_monitors.event_loop_delay";

const at = (resource: string, pressure: number): OverloadTrigger => ({ resource, from: pressure, to: pressure });

/** What holds where a bootstrap says nothing. */
export const defaultOverload = (openFilesMax: number | undefined): OverloadSettings => ({
  refreshMs,
  resources: [
    { kind: "memory", name: memoryResource, limitBytes: undefined },
    { kind: "loopDelay", name: loopDelayResource, limitMs: loopDelayMax },
  ],
  triggers: new Map([
    ["envoy.overload_actions.shrink_heap", [at(memoryResource, shrinkAt)]],
    ["envoy.overload_actions.reduce_timeouts", [at(memoryResource, closeIdleAt)]],
    ["envoy.overload_actions.disable_http_keepalive", [at(memoryResource, keepAliveOffAt)]],
    ["envoy.overload_actions.stop_accepting_requests", [at(memoryResource, requestsOffAt), at(loopDelayResource, 1)]],
    ["envoy.overload_actions.reject_incoming_connections", [at(memoryResource, connectionsOffAt)]],
  ]),
  connectionsMax: Math.min(
    downstreamConnectionsMax,
    openFilesMax === undefined ? downstreamConnectionsMax : Math.floor(openFilesMax * connectionsOfOpenFiles),
  ),
});

/** What a bootstrap's overload manager says; the rest stays to be filled. */
export interface ConfiguredOverload {
  readonly refreshMs: number | undefined;
  readonly resources: readonly OverloadResource[];
  readonly triggers: ReadonlyMap<OverloadAction, readonly OverloadTrigger[]>;
  readonly connectionsMax: number | undefined;
}

/** The bootstrap's word holds for each resource it names; the defaults for the others. */
export const mergeOverload = (given: ConfiguredOverload | undefined, defaults: OverloadSettings): OverloadSettings => {
  if (given === undefined) return defaults;
  const named = new Set(given.resources.map(({ name }) => name));
  const kinds = new Set(given.resources.map(({ kind }) => kind));
  const kept = defaults.resources.filter(({ name, kind }) => !named.has(name) && !kinds.has(kind));
  const keptNames = new Set(kept.map(({ name }) => name));
  const triggers = new Map(
    overloadActions.map((action) => [
      action,
      [
        ...(given.triggers.get(action) ?? []),
        ...(defaults.triggers.get(action) ?? []).filter(({ resource }) => keptNames.has(resource)),
      ],
    ]),
  );
  return {
    refreshMs: given.refreshMs ?? defaults.refreshMs,
    resources: [...given.resources, ...kept],
    triggers,
    connectionsMax: Math.min(given.connectionsMax ?? defaults.connectionsMax, downstreamConnectionsMax),
  };
};
