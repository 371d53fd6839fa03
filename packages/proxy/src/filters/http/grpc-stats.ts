/** Counts gRPC calls and messages per cluster and, where asked, per method. */
import type { FilterConfigJson } from "@weft/xds/gen/envoy/extensions/filters/http/grpc_stats/v3/config";
import { refuseOthers } from "../../compile/fields.ts";
import type { Exchange } from "../../http/exchange.ts";
import { isGrpcRequest } from "../../matching/grpc.ts";
import type { Counter } from "../../observe/stats.ts";
import type { HttpFilterKind } from "./filter.ts";

/** Methods are named by clients; beyond this many per filter they are counted together. */
const methodsMax = 1000;

interface MethodCounters {
  readonly total: Counter;
  readonly success: Counter;
  readonly failure: Counter;
  readonly requests: Counter;
  readonly responses: Counter;
}

const parseMethod = (path: string): readonly [service: string, method: string] | undefined => {
  const match = /^\/([^/?]+)\/([^/?]+)$/.exec(path);
  return match ? [match[1] as string, match[2] as string] : undefined;
};

/** Whether a method gets counters of its own. */
const methodFilter = (json: FilterConfigJson): ((service: string, method: string) => boolean) => {
  if (json.statsForAllMethods === true) return () => true;
  const allowed = new Map((json.individualMethodStatsAllowlist?.services ?? []).map((s) => [s.name, s.methodNames]));
  return (service, method) => allowed.get(service)?.includes(method) ?? false;
};

export const grpcStats: HttpFilterKind = {
  name: "envoy.filters.http.grpc_stats",
  typeName: "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",

  configure(raw) {
    const json = raw as FilterConfigJson;
    // Message counts are in the exchange always, so emitting filter state for them is nothing extra.
    refuseOthers(json, "GrpcStats", "", [
      "emitFilterState",
      "individualMethodStatsAllowlist",
      "statsForAllMethods",
      "replaceDotsInGrpcServiceName",
    ]);
    const ownCounters = methodFilter(json);
    const dots = json.replaceDotsInGrpcServiceName === true;
    return ({ stats }) => {
      const known = new Map<string, MethodCounters>();
      const countersOf = (prefix: string): MethodCounters => {
        const found = known.get(prefix);
        if (found) return found;
        const made: MethodCounters = {
          total: stats.counter(`${prefix}.total`),
          success: stats.counter(`${prefix}.success`),
          failure: stats.counter(`${prefix}.failure`),
          requests: stats.counter(`${prefix}.request_message_count`),
          responses: stats.counter(`${prefix}.response_message_count`),
        };
        known.set(prefix, made);
        return made;
      };
      const prefixOf = (exchange: Exchange): string => {
        const common = `cluster.${exchange.cluster?.statName}.grpc`;
        const [service = "", method = ""] = parseMethod(exchange.request.path) ?? [];
        if (!ownCounters(service, method)) return common;
        const own = `${common}.${dots ? service.replaceAll(".", "_") : service}.${method}`;
        return known.size < methodsMax || known.has(own) ? own : common;
      };
      return {
        onEnd(exchange) {
          if (!exchange.cluster || !isGrpcRequest(exchange.request)) return;
          const counters = countersOf(prefixOf(exchange));
          counters.total.add(1);
          (exchange.grpcStatus === 0 ? counters.success : counters.failure).add(1);
          counters.requests.add(exchange.requestMessages);
          counters.responses.add(exchange.responseMessages);
        },
      };
    };
  },
};
