/** The bootstrap of the routing comparison. */
import type { BootstrapPorts } from "./pair.ts";
import { cluster, connectionManager, listener, router, tcp, type } from "./parts.ts";
import { actionHosts, matchHosts, type RoutingHost } from "./routing-hosts.ts";
import { policyHosts } from "./routing-policies.ts";

export interface RoutingPorts {
  readonly one: number;
  readonly two: number;
  readonly three: number;
  readonly shadow: number;
  readonly closed: number;
  readonly echo: number;
}

const filter = (name: string, kind: string, message: string, rest: object, more: object = {}): object => ({
  name: `envoy.filters.http.${name}`,
  typedConfig: { "@type": type(`extensions.filters.http.${kind}.v3.${message}`), ...rest },
  ...more,
});
const mutation = (key: string, value: string): object => ({ append: { header: { key, value } } });

const httpFilters: readonly object[] = [
  filter("header_mutation", "header_mutation", "HeaderMutation", {
    mutations: { requestMutations: [mutation("x-order", "filter")], responseMutations: [mutation("x-back", "filter")] },
  }),
  filter(
    "optional",
    "header_mutation",
    "HeaderMutation",
    { mutations: { requestMutations: [mutation("x-optional", "yes")] } },
    { disabled: true },
  ),
  filter("set_metadata", "set_metadata", "Config", {
    metadata: [
      { metadataNamespace: "test.space", value: { color: "red", in: { deep: "down" } } },
      { metadataNamespace: "test.space", value: { color: "blue" } },
    ],
  }),
  filter("set_filter_state", "set_filter_state", "Config", {
    onRequestHeaders: [
      {
        objectKey: "test.path",
        factoryKey: "envoy.string",
        formatString: { textFormatSource: { inlineString: "to %REQ(:PATH)%" } },
      },
    ],
  }),
  filter("fault", "fault", "HTTPFault", {}),
  filter("cors", "cors", "Cors", {}),
  filter("local_ratelimit", "local_ratelimit", "LocalRateLimit", { statPrefix: "limits" }),
  filter("buffer", "buffer", "Buffer", { maxRequestBytes: 100_000 }),
  filter("on_demand", "on_demand", "OnDemand", {}),
  router,
];

const virtualHosts = (hosts: readonly RoutingHost[]): readonly object[] =>
  hosts.map((host) => ({ domains: [`${host.name}.example`], ...host }));

const routeConfig = (rest: object = {}): object => ({
  name: "local",
  validateClusters: false,
  virtualHosts: virtualHosts([...matchHosts, ...actionHosts, ...policyHosts]),
  requestHeadersToAdd: [{ header: { key: "x-order", value: "table" } }],
  responseHeadersToAdd: [{ header: { key: "x-answer-order", value: "table" } }],
  ...rest,
});

const ring = (policy: string, ports: readonly number[], name: string): object =>
  cluster(name, ports, { lbPolicy: policy });
const named = (port: number): object =>
  cluster("named", [], {
    loadAssignment: {
      clusterName: "named",
      endpoints: [{ lbEndpoints: [{ endpoint: { address: tcp(port), hostname: "its-name.test" } }] }],
    },
  });
const tiers = (low: number, high: number): object =>
  cluster("tiers", [], {
    loadAssignment: {
      clusterName: "tiers",
      endpoints: [low, high].map((port, priority) => ({
        priority,
        lbEndpoints: [{ endpoint: { address: tcp(port) } }],
      })),
    },
  });

const stages = (ports: Readonly<Record<string, number>>): object =>
  cluster("stages", [], {
    lbSubsetConfig: { fallbackPolicy: "NO_FALLBACK", subsetSelectors: [{ keys: ["stage", "tier"] }] },
    loadAssignment: {
      clusterName: "stages",
      endpoints: [
        {
          lbEndpoints: Object.entries(ports).map(([stage, port]) => ({
            endpoint: { address: tcp(port) },
            metadata: { filterMetadata: { "envoy.lb": { stage, tier: "a" } } },
          })),
        },
      ],
    },
  });

export const routingListeners = ["plain", "specific", "ported", "inside", "tunnels"] as const;

export const routingBootstrap = ({ listener: port, admin }: BootstrapPorts, ports: RoutingPorts): object => {
  const at = (name: string, rest: object): object =>
    listener(name, port(name), connectionManager({ httpFilters, routeConfig: routeConfig(), ...rest }));
  const inside = { cidrRanges: [{ addressPrefix: "127.0.0.0", prefixLen: 8 }] };
  const connectRoutes = [
    {
      name: "connect-end",
      match: { connectMatcher: {}, headers: [{ name: "x-end", presentMatch: true }] },
      route: { cluster: "echo", upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: {} }] },
    },
    {
      name: "connect-through",
      match: { connectMatcher: {}, headers: [{ name: "x-through", presentMatch: true }] },
      route: { cluster: "echo", upgradeConfigs: [{ upgradeType: "CONNECT" }] },
    },
    { name: "connect-refused", match: { connectMatcher: {} }, route: { cluster: "echo" } },
    { name: "rest", match: { prefix: "/" }, route: { cluster: "one" } },
  ];
  return {
    node: { id: "same", cluster: "same" },
    admin: { address: tcp(admin) },
    staticResources: {
      listeners: [
        at("plain", {}),
        at("specific", { routeConfig: routeConfig({ mostSpecificHeaderMutationsWins: true }) }),
        at("ported", { routeConfig: routeConfig({ ignorePortInHostMatching: true }) }),
        at("inside", { useRemoteAddress: true, internalAddressConfig: inside }),
        at("tunnels", {
          httpFilters: [router],
          routeConfig: {
            name: "tunnels",
            validateClusters: false,
            virtualHosts: [{ name: "all", domains: ["*"], routes: connectRoutes }],
          },
          http2ProtocolOptions: { allowConnect: true },
        }),
      ],
      clusters: [
        cluster("one", [ports.one], { circuitBreakers: { thresholds: [{ maxRetries: 100 }] } }),
        cluster("two", [ports.two]),
        cluster("tight", [ports.one], { circuitBreakers: { thresholds: [{ maxRequests: 0 }] } }),
        stages({ one: ports.one, two: ports.two }),
        cluster("shadow", [ports.shadow]),
        cluster("refused", [ports.closed]),
        cluster("echo", [ports.echo]),
        ring("RING_HASH", [ports.one, ports.two, ports.three], "ring"),
        ring("RING_HASH", [ports.one], "lone"),
        ring("MAGLEV", [ports.one, ports.two, ports.three], "maglev"),
        named(ports.one),
        tiers(ports.one, ports.two),
      ],
    },
  };
};
