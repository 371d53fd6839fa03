/** EnvoyFilter: changes to the resources the control plane has made, in Envoy's own language. */
import { anything, type Infer, int, list, mapOf, object, oneWord, required, text, uint } from "../schema/schema.ts";
import { labelSelector, targetRefs } from "./common.ts";
import { validateEnvoyFilter } from "./envoy-filter-rules.ts";
import { defineKind, type Kind } from "./kind.ts";

const portNumber = (about: string) => uint(about, { max: 65_535 });

const listenerMatch = object("Which listener, and where in it.", {
  portNumber: portNumber("Port the listener is for; 0 is any."),
  portName: text("Not used, as in Istio."),
  name: text("Name of the listener."),
  listenerFilter: text("Name of a listener filter."),
  filterChain: object("Which filter chain.", {
    name: text("Name of the chain."),
    sni: text("A server name the chain matches on."),
    transportProtocol: text("`tls` or `raw_buffer`, as the chain matches on."),
    applicationProtocols: text("Application protocols the chain matches on, separated by commas."),
    destinationPort: portNumber("Port the chain matches on; 0 is any."),
    filter: object("Which network filter.", {
      name: text("Name of the filter."),
      subFilter: object("Which filter within it: an HTTP filter of the connection manager.", {
        name: text("Name of the filter."),
      }),
    }),
  }),
});
export interface EnvoyFilterListenerMatch extends Infer<typeof listenerMatch> {}

const routeConfigurationMatch = object("Which routes.", {
  portNumber: portNumber("Port the routes are for; 0 is any."),
  portName: text("Name of the Gateway's port the routes are for."),
  gateway: text("NAMESPACE/NAME of the Gateway the routes are for."),
  name: text("Name of the route configuration."),
  vhost: object("Which virtual host.", {
    name: text("Name of the virtual host."),
    domainName: text("A domain of the virtual host."),
    route: object("Which route.", {
      name: text("Name of the route."),
      action: oneWord(["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"], "What the route does.", { default: "ANY" }),
    }),
  }),
});
export interface EnvoyFilterRouteMatch extends Infer<typeof routeConfigurationMatch> {}

const clusterMatch = object("Which clusters.", {
  portNumber: portNumber("Service port of the cluster; 0 is any."),
  service: text("Full host of the cluster's service."),
  subset: text("Subset of the service."),
  name: text("Name of the cluster."),
});
export interface EnvoyFilterClusterMatch extends Infer<typeof clusterMatch> {}

const match = object(
  "Which resources of which proxies; absent: all.",
  {
    context: oneWord(["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"], "Which side.", {
      default: "ANY",
    }),
    proxy: object("Which proxies.", {
      proxyVersion: text("RE2 expression the proxy's Istio version matches.", { format: "regex" }),
      metadata: mapOf(text("The value."), "Values the proxy's node metadata has."),
    }),
    listener: listenerMatch,
    routeConfiguration: routeConfigurationMatch,
    cluster: clusterMatch,
    waypoint: object("Which part of a waypoint.", {
      portNumber: portNumber("Service port; 0 is any."),
      filter: object("Which network filter.", {
        name: text("Name of the filter."),
        subFilter: object("Which filter within it.", { name: text("Name of the filter.") }),
      }),
      route: object("Which route.", { name: text("Name of the route.") }),
    }),
  },
  { oneOf: [["listener", "routeConfiguration", "cluster", "waypoint"]] },
);
export interface EnvoyFilterMatch extends Infer<typeof match> {}

const patch = object("What is changed.", {
  operation: required(
    oneWord(
      ["MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE", "MERGE_AND_REPLACE_LIST"],
      "How.",
    ),
  ),
  value: anything("The resource, filter or fragment, as Envoy's own JSON."),
  filterClass: oneWord(["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"], "Where ADD puts a filter among those there.", {
    default: "UNSPECIFIED",
  }),
});
export interface EnvoyFilterPatch extends Omit<Infer<typeof patch>, "value"> {
  readonly value?: Readonly<Record<string, unknown>>;
}

const configPatch = object("One change.", {
  applyTo: required(
    oneWord(
      [
        "LISTENER",
        "FILTER_CHAIN",
        "NETWORK_FILTER",
        "HTTP_FILTER",
        "ROUTE_CONFIGURATION",
        "VIRTUAL_HOST",
        "HTTP_ROUTE",
        "CLUSTER",
        "EXTENSION_CONFIG",
        "BOOTSTRAP",
        "LISTENER_FILTER",
      ],
      "Kind of thing that is changed.",
    ),
  ),
  match,
  patch: required(patch),
});
export interface EnvoyConfigPatch extends Omit<Infer<typeof configPatch>, "patch"> {
  readonly patch: EnvoyFilterPatch;
}

export const envoyFilterSpec = object(
  "Changes to generated resources, made in order.",
  {
    workloadSelector: labelSelector,
    targetRefs,
    configPatches: list(configPatch, "The changes."),
    priority: int("Order among EnvoyFilters: lower first, then older, then by name.", {
      min: -2_147_483_648,
      default: "0",
    }),
  },
  { oneOf: [["workloadSelector", "targetRefs"]] },
);
export interface EnvoyFilterSpec extends Omit<Infer<typeof envoyFilterSpec>, "configPatches"> {
  readonly configPatches?: readonly EnvoyConfigPatch[];
}

export const envoyFilter: Kind = defineKind({
  name: "EnvoyFilter",
  plural: "envoyfilters",
  group: "networking.istio.io",
  versions: ["v1alpha3"],
  about:
    "Changes what the control plane made for a proxy, in Envoy's own language. Those of the root namespace go first.",
  schema: envoyFilterSpec,
  validate: (spec, tools) => validateEnvoyFilter(spec as EnvoyFilterSpec, tools),
});
