/** A ClusterLoadAssignment read into plain values, checked in full before any host is touched. */
import { formatAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type {
  ClusterLoadAssignment_Policy_DropOverloadJson,
  ClusterLoadAssignment_PolicyJson,
  ClusterLoadAssignmentJson,
} from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type {
  EndpointJson,
  LbEndpointJson,
  LocalityLbEndpointsJson,
} from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint_components";
import { durationMs, member, oneOf, refuseOthers, required, share, unsigned } from "../compile/fields.ts";
import { isIp } from "../matching/cidr.ts";
import type { EdsStatus, EndpointCheck, Host, HostMetadata, HostTarget, Locality } from "./host.ts";

/** One endpoint as assigned. A name that is to be resolved stands in `name` in place of an address. */
export interface EndpointSpec {
  readonly target: HostTarget;
  /** All addresses, `target` the first of them, where there is more than one. */
  readonly addresses?: readonly HostTarget[] | undefined;
  readonly unresolved: boolean;
  readonly weight: number;
  readonly priority: number;
  readonly locality: Locality;
  readonly metadata: HostMetadata;
  readonly health: Host["health"];
  readonly hostname: string;
  /** What `health` follows from, where xDS said it. */
  readonly edsStatus?: EdsStatus;
  readonly check?: EndpointCheck | undefined;
}

export interface Assignment {
  readonly endpoints: readonly EndpointSpec[];
  /** Weight of each locality of each priority; absent where none was given. */
  readonly localityWeights: ReadonlyMap<string, number>;
  /** By how much a priority's capacity is taken to exceed its need: 1.4. */
  readonly overprovisioning: number;
  /** A priority's health goes by the weights of its hosts, not by their number. */
  readonly weightedHealth: boolean;
  /** The share of requests that is to be dropped, whatever the state of hosts. */
  readonly dropShare: number;
  /** After so long without a new assignment its endpoints are not to be used any more. */
  readonly staleAfterMs: number | undefined;
}

/** Envoy allows priorities 0 to 128. */
const priorityMax = 128;
const defaultOverprovisioning = 140;

export const emptyAssignment: Assignment = {
  endpoints: [],
  localityWeights: new Map(),
  overprovisioning: defaultOverprovisioning / 100,
  weightedHealth: false,
  dropShare: 0,
  staleAfterMs: undefined,
};

export const localityKey = (priority: number, { region, zone, subZone }: Locality): string =>
  JSON.stringify([priority, region, zone, subZone]);

export const targetAddress = (target: HostTarget): string =>
  target.kind === "pipe" ? target.path : formatAddress(target);

const compileTarget = (json: AddressJson | undefined, at: string): HostTarget => {
  const address = required(json, at);
  if (address.pipe) return { kind: "pipe", path: required(address.pipe.path, `${at}.pipe.path`) };
  const socketAt = member(at, "socketAddress");
  const socket = address.socketAddress;
  if (!socket) throw new ConfigError(at, "needs socketAddress or pipe");
  refuseOthers(socket, "SocketAddress", socketAt, ["address", "portValue", "ipv4Compat", "protocol"]);
  oneOf(socket.protocol, ["TCP"], "TCP", member(socketAt, "protocol"));
  const port = unsigned(socket.portValue, member(socketAt, "portValue")) ?? 0;
  if (port > 65_535) throw new ConfigError(member(socketAt, "portValue"), `${port} is not a port`);
  return { kind: "ip", host: required(socket.address, member(socketAt, "address")), port };
};

const edsStatuses = ["UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"] as const;

const healthOf = (status: EdsStatus): Host["health"] => {
  switch (status) {
    case "UNKNOWN":
    case "HEALTHY":
      return "healthy";
    case "DEGRADED":
      return "degraded";
    default:
      return "unhealthy";
  }
};

const compileCheck = (json: EndpointJson, at: string): EndpointCheck | undefined => {
  const check = json.healthCheckConfig;
  if (!check) return undefined;
  refuseOthers(check, "HealthCheckConfig", at, ["portValue", "hostname", "address", "disableActiveHealthCheck"]);
  const socket = check.address?.socketAddress;
  if (check.address && !socket) throw new ConfigError(member(at, "address"), "needs socketAddress");
  const port = unsigned(check.portValue, member(at, "portValue")) || unsigned(socket?.portValue, member(at, "address"));
  return {
    disabled: check.disableActiveHealthCheck === true,
    host: socket?.address || undefined,
    port: port || undefined,
    hostname: check.hostname ?? "",
  };
};

/** More addresses have to be addresses, also where the first is a name. */
const compileMore = (
  { additionalAddresses = [] }: EndpointJson,
  first: HostTarget,
  at: string,
): readonly HostTarget[] | undefined => {
  if (additionalAddresses.length === 0) return undefined;
  const more = additionalAddresses.map(({ address }, index) => {
    const target = compileTarget(address, `${at}[${index}].address`);
    if (target.kind === "ip" && !isIp(target.host))
      throw new ConfigError(`${at}[${index}].address`, `"${target.host}" is not an IP address`);
    return target;
  });
  return [first, ...more];
};

const compileEndpoint = (
  json: LbEndpointJson,
  at: string,
  { priority, locality }: { priority: number; locality: Locality },
): EndpointSpec => {
  refuseOthers(json, "LbEndpoint", at, ["endpoint", "healthStatus", "metadata", "loadBalancingWeight"]);
  const endpointAt = member(at, "endpoint");
  const endpoint = required(json.endpoint, endpointAt);
  refuseOthers(endpoint, "Endpoint", endpointAt, ["address", "hostname", "healthCheckConfig", "additionalAddresses"]);
  const target = compileTarget(endpoint.address, member(endpointAt, "address"));
  const weight = unsigned(json.loadBalancingWeight, member(at, "loadBalancingWeight")) ?? 1;
  if (weight < 1) throw new ConfigError(member(at, "loadBalancingWeight"), "must be at least 1");
  const edsStatus = oneOf(json.healthStatus, edsStatuses, "UNKNOWN", member(at, "healthStatus"));
  return {
    target,
    addresses: compileMore(endpoint, target, member(endpointAt, "additionalAddresses")),
    unresolved: target.kind === "ip" && !isIp(target.host),
    weight,
    priority,
    locality,
    metadata: (json.metadata?.filterMetadata ?? {}) as HostMetadata,
    health: healthOf(edsStatus),
    hostname: endpoint.hostname ?? "",
    edsStatus,
    check: compileCheck(endpoint, member(endpointAt, "healthCheckConfig")),
  };
};

const compileLocality = (
  json: LocalityLbEndpointsJson,
  at: string,
  into: { readonly endpoints: EndpointSpec[]; readonly weights: Map<string, number> },
): void => {
  refuseOthers(json, "LocalityLbEndpoints", at, ["locality", "lbEndpoints", "loadBalancingWeight", "priority"]);
  const priority = unsigned(json.priority, member(at, "priority")) ?? 0;
  if (priority > priorityMax) throw new ConfigError(member(at, "priority"), `must not exceed ${priorityMax}`);
  const { region = "", zone = "", subZone = "" } = json.locality ?? {};
  const locality: Locality = { region, zone, subZone };
  const weight = unsigned(json.loadBalancingWeight, member(at, "loadBalancingWeight"));
  if (weight === 0) throw new ConfigError(member(at, "loadBalancingWeight"), "must be at least 1");
  if (weight !== undefined) into.weights.set(localityKey(priority, locality), weight);
  for (const [index, endpoint] of (json.lbEndpoints ?? []).entries()) {
    into.endpoints.push(compileEndpoint(endpoint, `${at}.lbEndpoints[${index}]`, { priority, locality }));
  }
};

type Policy = Omit<Assignment, "endpoints" | "localityWeights">;

/** As Envoy, which knows one kind of drop: more of them cannot be told apart. */
const compileDrops = (drops: ClusterLoadAssignment_Policy_DropOverloadJson[] | undefined, at: string): number => {
  if (drops && drops.length > 1) throw new ConfigError(at, "has more than one category");
  const [only] = drops ?? [];
  if (!only) return 0;
  refuseOthers(only, "DropOverload", `${at}[0]`, ["category", "dropPercentage"]);
  required(only.category, `${at}[0].category`);
  return share(only.dropPercentage, `${at}[0].dropPercentage`);
};

const compilePolicy = (json: ClusterLoadAssignment_PolicyJson, at: string): Policy => {
  const policy: ClusterLoadAssignment_PolicyJson & { readonly weightedPriorityHealth?: boolean } = json;
  refuseOthers(policy, "ClusterLoadAssignmentPolicy", at, [
    "overprovisioningFactor",
    "dropOverloads",
    "endpointStaleAfter",
    "weightedPriorityHealth",
  ]);
  const factor = unsigned(policy.overprovisioningFactor, member(at, "overprovisioningFactor"));
  if (factor === 0) throw new ConfigError(member(at, "overprovisioningFactor"), "must be greater than 0");
  const staleAt = member(at, "endpointStaleAfter");
  const staleAfterMs = durationMs(policy.endpointStaleAfter, staleAt);
  if (staleAfterMs === 0) throw new ConfigError(staleAt, "must be greater than 0");
  return {
    overprovisioning: (factor ?? defaultOverprovisioning) / 100,
    weightedHealth: policy.weightedPriorityHealth === true,
    dropShare: compileDrops(policy.dropOverloads, member(at, "dropOverloads")),
    staleAfterMs,
  };
};

/** Throws ConfigError for an assignment that cannot be taken. */
export const compileAssignment = (json: ClusterLoadAssignmentJson, at: string): Assignment => {
  refuseOthers(json, "ClusterLoadAssignment", at, ["clusterName", "endpoints", "policy"]);
  const policy = compilePolicy(json.policy ?? {}, member(at, "policy"));
  const endpoints: EndpointSpec[] = [];
  const weights = new Map<string, number>();
  for (const [index, locality] of (json.endpoints ?? []).entries()) {
    compileLocality(locality, `${member(at, "endpoints")}[${index}]`, { endpoints, weights });
  }
  return { endpoints, localityWeights: weights, ...policy };
};

/** Throws ConfigError where an endpoint is told by name, or by what only looks like an address. */
export const refuseNames = ({ endpoints }: Assignment, at: string, next = ""): void => {
  const target = endpoints.find(({ unresolved }) => unresolved)?.target;
  if (target?.kind === "ip") throw new ConfigError(at, `"${target.host}" is not an IP address${next}`);
};
