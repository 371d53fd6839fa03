/** The messages of the load reporting service (LRS) as plain values, and their bytes. */
import { create, fromBinary, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import { formatAddress, parseAddress } from "@weft/core/address";
import { type NodeJson, NodeSchema } from "@weft/xds/gen/envoy/config/core/v3/base";
import {
  type LoadStatsRequest,
  LoadStatsRequestSchema,
  LoadStatsResponseSchema,
} from "@weft/xds/gen/envoy/service/load_stats/v3/lrs";
import { decodeMessage, encodeMessage } from "./codec.ts";

export const streamLoadStatsPath = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

/** Of one interval; `inProgress` is of its end. */
export interface LocalityReport extends Locality {
  readonly priority: number;
  readonly issued: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly inProgress: number;
}

export interface ClusterReport {
  readonly cluster: string;
  /** What endpoints were asked for by; empty where it is the cluster's name. */
  readonly service: string;
  readonly dropped: number;
  readonly intervalMs: number;
  readonly localities: readonly LocalityReport[];
  /** Hosts that the client does not use now, and why; absent where it uses all. */
  readonly unhealthy?: readonly UnhealthyHost[];
  /** The client checks the hosts actively, so those it does not call unhealthy are well to it. */
  readonly checksHosts?: true;
}

export interface UnhealthyHost {
  /** `10.0.0.1:80`, or a socket path. */
  readonly address: string;
  /** Envoy's health flags: `/failed_active_hc`. */
  readonly flags: string;
}

/** More unhealthy hosts of one cluster than this are not told of. */
export const unhealthyHostsMax = 64;

export interface LoadReport {
  /** In the first message of a stream. */
  readonly node: NodeJson | undefined;
  readonly clusters: readonly ClusterReport[];
}

/** What a server wants to be told from now on. */
export interface LoadWish {
  readonly clusters: readonly string[] | "all";
  readonly intervalMs: number;
}

const duration = (ms: number): Duration =>
  create(DurationSchema, { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.round((ms % 1000) * 1e6) });
const millis = (given: Duration | undefined): number =>
  given === undefined ? 0 : Number(given.seconds) * 1000 + given.nanos / 1e6;

/** Beyond this a count says nothing any more; it keeps sums exact. */
const countMax = 2n ** 40n;
const count = (value: bigint): number => Number(value > countMax ? countMax : value);

const healthField = "weft.health_flags";
const checksField = "weft.checks_hosts";

/** An endpoint without requests, whose metadata says what is wrong with it. */
const encodeUnhealthy = ({ address, flags }: UnhealthyHost) => {
  const ip = parseAddress(address);
  const where =
    ip === undefined
      ? { case: "pipe" as const, value: { path: address } }
      : {
          case: "socketAddress" as const,
          value: { address: ip.host, portSpecifier: { case: "portValue" as const, value: ip.port } },
        };
  return { address: { address: where }, metadata: { [healthField]: flags } };
};

type LocalityStats = LoadStatsRequest["clusterStats"][number]["upstreamLocalityStats"][number];

const addressText = ({ address }: LocalityStats["upstreamEndpointStats"][number]): string => {
  const where = address?.address;
  if (where?.case === "pipe") return where.value.path;
  if (where?.case !== "socketAddress") return "";
  const { address: host, portSpecifier } = where.value;
  return formatAddress({ host, port: portSpecifier.case === "portValue" ? portSpecifier.value : 0 });
};

/** What stands only for hosts that are unhealthy is no locality with requests. */
const countsRequests = ({ upstreamEndpointStats, locality }: LocalityStats): boolean =>
  locality !== undefined || upstreamEndpointStats.length === 0;

const decodeChecks = (localities: readonly LocalityStats[]): { readonly checksHosts?: true } =>
  localities.some(({ upstreamEndpointStats: [first] }) => first?.metadata?.[checksField] === true)
    ? { checksHosts: true }
    : {};

const decodeUnhealthy = (localities: readonly LocalityStats[]): { readonly unhealthy?: readonly UnhealthyHost[] } => {
  const unhealthy = localities
    .flatMap(({ upstreamEndpointStats }) => upstreamEndpointStats)
    .flatMap((stats): UnhealthyHost[] => {
      const flags = stats.metadata?.[healthField];
      return typeof flags === "string" ? [{ address: addressText(stats), flags }] : [];
    })
    .slice(0, unhealthyHostsMax);
  return unhealthy.length === 0 ? {} : { unhealthy };
};

export const encodeLoadReport = ({ node, clusters }: LoadReport): Uint8Array =>
  toBinary(
    LoadStatsRequestSchema,
    create(LoadStatsRequestSchema, {
      ...(node ? { node: fromBinary(NodeSchema, encodeMessage(NodeSchema, node as JsonValue)) } : {}),
      clusterStats: clusters.map(
        ({ cluster, service, dropped, intervalMs, localities, unhealthy = [], checksHosts }) => ({
          clusterName: cluster,
          clusterServiceName: service,
          totalDroppedRequests: BigInt(dropped),
          loadReportInterval: duration(intervalMs),
          upstreamLocalityStats: [
            ...localities.map(({ region, zone, subZone, priority, ...counts }) => ({
              locality: { region, zone, subZone },
              priority,
              totalIssuedRequests: BigInt(counts.issued),
              totalSuccessfulRequests: BigInt(counts.succeeded),
              totalErrorRequests: BigInt(counts.failed),
              totalRequestsInProgress: BigInt(counts.inProgress),
            })),
            ...(checksHosts ? [{ upstreamEndpointStats: [{ metadata: { [checksField]: true } }] }] : []),
            ...(unhealthy.length === 0 ? [] : [{ upstreamEndpointStats: unhealthy.map(encodeUnhealthy) }]),
          ],
        }),
      ),
    }),
  );

/** Throws an Error when the bytes are no such message, as all decoders here do. */
export const decodeLoadReport = (bytes: Uint8Array): LoadReport => {
  const { node, clusterStats } = fromBinary(LoadStatsRequestSchema, bytes);
  return {
    node: node && (decodeMessage(NodeSchema, toBinary(NodeSchema, node)) as NodeJson),
    clusters: clusterStats.map((stats) => ({
      ...decodeUnhealthy(stats.upstreamLocalityStats),
      ...decodeChecks(stats.upstreamLocalityStats),
      cluster: stats.clusterName,
      service: stats.clusterServiceName,
      dropped: count(stats.totalDroppedRequests),
      intervalMs: millis(stats.loadReportInterval),
      localities: stats.upstreamLocalityStats.filter(countsRequests).map((one) => ({
        region: one.locality?.region ?? "",
        zone: one.locality?.zone ?? "",
        subZone: one.locality?.subZone ?? "",
        priority: one.priority,
        issued: count(one.totalIssuedRequests),
        succeeded: count(one.totalSuccessfulRequests),
        failed: count(one.totalErrorRequests),
        inProgress: count(one.totalRequestsInProgress),
      })),
    })),
  };
};

export const encodeLoadWish = ({ clusters, intervalMs }: LoadWish): Uint8Array =>
  toBinary(
    LoadStatsResponseSchema,
    create(LoadStatsResponseSchema, {
      clusters: clusters === "all" ? [] : [...clusters],
      sendAllClusters: clusters === "all",
      loadReportingInterval: duration(intervalMs),
    }),
  );

export const decodeLoadWish = (bytes: Uint8Array): LoadWish => {
  const { clusters, sendAllClusters, loadReportingInterval } = fromBinary(LoadStatsResponseSchema, bytes);
  return { clusters: sendAllClusters ? "all" : clusters, intervalMs: millis(loadReportingInterval) };
};
