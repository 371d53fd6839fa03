/**
 * What a proxyless gRPC client gets: an API listener per target it may dial, routes, clusters and endpoints of the kinds
 * gRPC takes. What gRPC cannot do is replaced by the nearest it can, and noted.
 */

import type { Finding } from "@weft/config/finding";
import { toProtoDuration } from "@weft/core/duration";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RetryPolicyJson, RouteActionJson, RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import type { DestinationPolicy } from "../model/destination-rules.ts";
import { namesOf } from "../model/hostname.ts";
import { isHttp } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { endpointsOfCluster } from "./endpoints.ts";
import { router } from "./http-filters.ts";
import { serviceRoutes } from "./mesh-routes.ts";
import { outboundCluster } from "./names.ts";
import { emptyDraft, type Generated, note } from "./resource-set.ts";
import { isRouted } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";
import { type PolicyBlocks, policyFor } from "./traffic-policy.ts";

export const grpcPart = (scope: Scope): Generated => {
  const draft = emptyDraft();
  const notes: Finding[] = [];
  const client = { namespace: scope.proxy.namespace, domain: scope.model.mesh.domain };
  for (const service of scope.egress.services.values()) {
    if (service.resolution !== "eds") continue;
    const policy = scope.model.rules().destinationPolicy(service, scope.proxy);
    for (const port of service.ports) {
      if (!isHttp(port.protocol) && !isRouted(port)) continue;
      const table = outboundCluster(service.hostname, port.number);
      const names = namesOf(service.hostname, client);
      for (const name of names) {
        const target = `${name}:${port.number}`;
        draft.listener.set(target, apiListener(target, port.number, table));
      }
      draft.route.set(table, routeTable(scope, { service, port, names, table }, notes));
      for (const subset of ["", ...(policy?.subsets ?? []).map(({ name }) => name)]) {
        const name = outboundCluster(service.hostname, port.number, subset);
        draft.cluster.set(name, cluster(name, policyFor(policy, port.number, subset)));
        draft.endpoints.set(name, endpointsOfCluster(scope, name));
      }
    }
    if (policy) noteLosses(policy, notes);
  }
  return { resources: draft, notes };
};

const fromSameStream = { ads: {}, resourceApiVersion: "V3" as const };

const apiListener = (name: string, portValue: number, table: string): ListenerJson => ({
  name,
  address: { socketAddress: { address: "0.0.0.0", portValue } },
  apiListener: {
    apiListener: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
      statPrefix: name,
      rds: { configSource: fromSameStream, routeConfigName: table },
      httpFilters: [
        {
          name: "envoy.filters.http.fault",
          typedConfig: any("envoy.extensions.filters.http.fault.v3.HTTPFault", {}),
        },
        router,
      ],
    }),
  },
});

interface TableInput {
  readonly service: Service;
  readonly port: ServicePort;
  readonly names: readonly string[];
  readonly table: string;
}

const routeTable = (scope: Scope, input: TableInput, notes: Finding[]): RouteConfigurationJson => {
  const { service, port, names, table } = input;
  const routes = serviceRoutes({ scope, notes }, service, port.number).flatMap((route) =>
    grpcRoute(route, service, notes),
  );
  return {
    name: table,
    virtualHosts: [
      {
        name: `${service.hostname}:${port.number}`,
        domains: [...names.flatMap((name) => [`${name}:${port.number}`, name]), "*"],
        routes,
      },
    ],
  };
};

/** gRPC only forwards; it keeps a timeout as the longest duration of a stream. */
const grpcRoute = (route: RouteJson, service: Service, notes: Finding[]): readonly RouteJson[] => {
  const { match, route: action, typedPerFilterConfig } = route;
  // Claims are read by a filter that gRPC does not have: without the condition the route would take everything.
  if (match?.dynamicMetadata) return [];
  if (!action) {
    notes.push(
      note(
        "WF3011",
        `gRPC clients of ${service.hostname} cannot redirect or answer by themselves: the route is left out`,
        undefined,
      ),
    );
    return [];
  }
  const fault = typedPerFilterConfig?.["envoy.filters.http.fault"];
  return [
    {
      ...(match ? { match } : {}),
      route: grpcAction(action),
      ...(fault ? { typedPerFilterConfig: { "envoy.filters.http.fault": fault } } : {}),
    },
  ];
};

const grpcAction = (action: RouteActionJson): RouteActionJson => {
  const retry = grpcRetry(action.retryPolicy);
  const hashPolicy = (action.hashPolicy ?? []).filter(({ header }) => header !== undefined);
  return {
    ...(action.cluster ? { cluster: action.cluster } : {}),
    ...(action.weightedClusters
      ? {
          weightedClusters: {
            clusters: (action.weightedClusters.clusters ?? []).map(({ name, weight }) => ({
              ...(name ? { name } : {}),
              ...(weight === undefined ? {} : { weight }),
            })),
          },
        }
      : {}),
    ...(action.timeout && action.timeout !== toProtoDuration(0)
      ? { maxStreamDuration: { maxStreamDuration: action.timeout } }
      : {}),
    ...(retry ? { retryPolicy: retry } : {}),
    ...(hashPolicy.length > 0 ? { hashPolicy } : {}),
  };
};

const grpcConditions = new Set(["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]);

const grpcRetry = (policy: RetryPolicyJson | undefined): RetryPolicyJson | undefined => {
  const retryOn = (policy?.retryOn ?? "").split(",").filter((condition) => grpcConditions.has(condition));
  if (!policy || retryOn.length === 0 || !policy.numRetries) return undefined;
  return {
    retryOn: retryOn.join(","),
    numRetries: policy.numRetries,
    ...(policy.retryBackOff ? { retryBackOff: policy.retryBackOff } : {}),
  };
};

const cluster = (name: string, { loadBalancer, connectionPool }: PolicyBlocks): ClusterJson => ({
  name,
  type: "EDS",
  edsClusterConfig: { edsConfig: fromSameStream, serviceName: name },
  ...(loadBalancer?.consistentHash
    ? {
        lbPolicy: "RING_HASH",
        ringHashLbConfig: {
          minimumRingSize: String(loadBalancer.consistentHash.ringHash?.minimumRingSize ?? 1024),
          hashFunction: "XX_HASH",
        },
      }
    : { lbPolicy: "ROUND_ROBIN" }),
  ...(connectionPool?.http?.http2MaxRequests
    ? { circuitBreakers: { thresholds: [{ maxRequests: connectionPool.http.http2MaxRequests }] } }
    : {}),
});

const noteLosses = ({ rules, trafficPolicy, subsets }: DestinationPolicy, notes: Finding[]): void => {
  const [rule] = rules;
  for (const policy of [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)]) {
    const simple = policy?.loadBalancer?.simple;
    if (simple && simple !== "ROUND_ROBIN" && simple !== "UNSPECIFIED") {
      notes.push(note("WF3012", `gRPC clients have no ${simple} load balancing: they use ROUND_ROBIN`, rule));
    }
    if (policy?.outlierDetection) {
      notes.push(
        note("WF3013", "gRPC clients do not count consecutive errors: outlierDetection has no effect there", rule),
      );
    }
    if (policy?.tls?.mode && policy.tls.mode !== "DISABLE") {
      notes.push(note("WF3014", `gRPC clients cannot do TLS mode ${policy.tls.mode}: they connect in plaintext`, rule));
    }
  }
};
