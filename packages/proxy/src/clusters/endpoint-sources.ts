/** Where the endpoints of a cluster come from: its own configuration, an assignment, what DNS made of names. */
import { formatAddress } from "@weft/core/address";
import type { Cluster } from "./cluster.ts";
import type { CompiledCluster, Discovered } from "./compile-cluster.ts";
import { type Assignment, type EndpointSpec, emptyAssignment } from "./endpoints.ts";

export interface EndpointSources {
  readonly discovered: () => Discovered;
  readonly endpoints: () => readonly EndpointSpec[];
  readonly assign: (assignment: Assignment) => void;
  readonly resolve: (name: string, addresses: readonly string[]) => void;
  /** The first endpoints are there. */
  readonly warm: () => boolean;
  /** An assignment was given to this very cluster. */
  readonly heard: () => boolean;
}

/** Resolved addresses in place of names, all of them in one host or each its own; a name not resolved yet has no hosts. */
const resolve = (
  endpoints: readonly EndpointSpec[],
  resolved: ReadonlyMap<string, readonly string[]>,
  firstOnly: boolean,
): readonly EndpointSpec[] =>
  endpoints.flatMap((spec) => {
    const { target } = spec;
    if (!spec.unresolved || target.kind !== "ip") return [spec];
    const found = resolved.get(formatAddress(target)) ?? [];
    const targets = found.map((host) => ({ kind: "ip" as const, host, port: target.port }));
    const addresses = firstOnly && targets.length > 1 ? targets : undefined;
    return (firstOnly ? targets.slice(0, 1) : targets).map((address) => ({
      ...spec,
      hostname: spec.hostname || target.host,
      target: address,
      addresses,
    }));
  });

const nothingDiscovered: Discovered = { assignment: emptyAssignment, resolved: new Map() };

/** What the replaced cluster had found out, where the new one would ask the same source. */
const inheritDiscovered = (previous: CompiledCluster | undefined, discovery: Cluster["discovery"]): Discovered => {
  if (!previous) return nothingDiscovered;
  if (discovery.kind === "strictDns" || discovery.kind === "logicalDns") {
    const names = new Set(discovery.names.map(formatAddress));
    const resolved = [...previous.discovered.resolved].filter(([name]) => names.has(name));
    return resolved.length === 0 ? nothingDiscovered : { assignment: emptyAssignment, resolved: new Map(resolved) };
  }
  const same =
    discovery.kind === "eds" &&
    previous.discovery.kind === "eds" &&
    previous.discovery.serviceName === discovery.serviceName;
  return same ? previous.discovered : nothingDiscovered;
};

/** `own` is what the cluster's configuration says itself; what `previous` had found out is a start. */
export const createEndpointSources = (
  discovery: Cluster["discovery"],
  own: Assignment,
  previous: CompiledCluster | undefined,
): EndpointSources => {
  const inherited = inheritDiscovered(previous, discovery);
  const resolved = new Map(inherited.resolved);
  const dns = discovery.kind === "strictDns" || discovery.kind === "logicalDns" ? discovery : undefined;
  let assignment = discovery.kind === "eds" ? inherited.assignment : own;
  let warm =
    discovery.kind === "static" ||
    discovery.kind === "originalDst" ||
    discovery.kind === "dynamic" ||
    dns?.names.length === 0 ||
    (previous?.warm === true && inherited !== nothingDiscovered);
  let heard = false;
  return {
    discovered: () => ({ assignment, resolved }),
    endpoints: () => resolve(assignment.endpoints, resolved, dns?.kind === "logicalDns"),
    assign: (next) => {
      assignment = next;
      heard = true;
      warm = true;
    },
    resolve: (name, addresses) => {
      resolved.set(name, addresses);
      warm = true;
    },
    warm: () => warm,
    heard: () => heard,
  };
};
