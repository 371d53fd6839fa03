/** Has a request wait for its virtual host and for the cluster that it goes to, where they are not here and can be fetched. */
import type {
  OnDemandJson,
  PerRouteConfigJson,
} from "@weft/xds/gen/envoy/extensions/filters/http/on_demand/v3/on_demand";
import { refuseOthers } from "../../compile/fields.ts";
import type { CompileTools } from "../../compile/tools.ts";
import type { Exchange } from "../../http/exchange.ts";
import { reroute } from "../../http/reroute.ts";
import { compileOdcds, type DemandSettings } from "../../on-demand/on-demand.ts";
import { type FilterTools, type HttpFilter, type HttpFilterKind, type Wait, wait } from "./filter.ts";

const filterName = "envoy.filters.http.on_demand";

/** What a route has in place of the filter's own settings. */
interface RouteSettings {
  readonly clusters: DemandSettings | undefined;
}

const build = (own: DemandSettings | undefined, tools: FilterTools): HttpFilter => {
  const { onDemand, isCluster, random, name = filterName } = tools;
  if (onDemand === undefined || isCluster === undefined) return {};
  const { clusters, hosts } = onDemand;
  const waiting = new Map<Exchange, Disposable>();

  const hold = (exchange: Exchange, asked: Disposable | undefined): Wait | undefined => {
    if (asked === undefined) return undefined;
    waiting.set(exchange, asked);
    return wait;
  };

  const awaitHost = (exchange: Exchange): Wait | undefined => {
    const table = exchange.settings?.routes.table;
    const host = exchange.request.authority.toLowerCase();
    if (table?.vhds === undefined || host === "") return undefined;
    const wanted = { ...table.vhds, name: `${table.name}/${host}` };
    // It is here and has no such route: there is nothing else to wait for.
    if (hosts.holds(wanted)) return undefined;
    // However it ends, the routes of then are looked at: they say whether there is one.
    const asked = hosts.ask(wanted, () => {
      waiting.delete(exchange);
      reroute(exchange);
    });
    return hold(exchange, asked);
  };

  /** The cluster is drawn here, where one is: the one that was waited for is the one that the request goes to. */
  const awaitCluster = (exchange: Exchange, { source, timeoutMs }: DemandSettings): Wait | undefined => {
    const { route, request } = exchange;
    if (route?.action.kind !== "forward") return undefined;
    exchange.chosen = route.action.clusterName(request, random());
    const { cluster } = exchange.chosen;
    if (cluster === "" || (isCluster(cluster) && !clusters.awaits(cluster))) return undefined;
    // However it ends, the request goes on: the router knows what to answer where there is no cluster.
    const asked = clusters.ask({ source, name: cluster, timeoutMs }, () => {
      waiting.delete(exchange);
      exchange.resume();
    });
    return hold(exchange, asked);
  };

  return {
    onRequest(exchange) {
      if (exchange.route === undefined) return awaitHost(exchange);
      const routed = exchange.route.filterConfig.get(name) as RouteSettings | symbol | undefined;
      const demand = typeof routed === "object" ? routed.clusters : own;
      return demand === undefined ? undefined : awaitCluster(exchange, demand);
    },
    onEnd(exchange) {
      if (waiting.size === 0) return;
      waiting.get(exchange)?.[Symbol.dispose]();
      waiting.delete(exchange);
    },
  };
};

export const onDemand: HttpFilterKind = {
  name: filterName,
  typeName: "envoy.extensions.filters.http.on_demand.v3.OnDemand",
  configure(raw) {
    const { odcds }: OnDemandJson = raw;
    refuseOthers(raw satisfies OnDemandJson, "OnDemand", "", ["odcds"]);
    return (tools) => build(odcds && compileOdcds(odcds, "odcds", tools.onDemand), tools);
  },
  configureRoute(raw, tools: CompileTools): RouteSettings {
    const { odcds }: PerRouteConfigJson = raw;
    refuseOthers(raw satisfies PerRouteConfigJson, "OnDemandPerRoute", "", ["odcds"]);
    return { clusters: odcds && compileOdcds(odcds, "odcds", tools.onDemand) };
  },
};
