/** VirtualService: where requests and connections to a host go. */
import {
  bool,
  duration,
  type Infer,
  int,
  list,
  mapOf,
  object,
  oneWord,
  port,
  required,
  text,
  uint,
} from "../schema/schema.ts";
import { exportTo, headerMatch, percent, portSelector, stringMatch, weight } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateVirtualService } from "./virtual-service-rules.ts";

export const destination = object("A service, or a subset of one.", {
  host: required(text("Service; short names are of the VirtualService's namespace.", { format: "destinationHost" })),
  subset: text("Subset named by a DestinationRule.", { minLength: 1 }),
  port: portSelector,
});
export interface Destination extends Infer<typeof destination> {}

const headerOperations = object("Changes to headers.", {
  set: mapOf(text("Value."), "Headers that get this value, replacing any."),
  add: mapOf(text("Value."), "Headers to which this value is added."),
  remove: list(text("Header name.", { minLength: 1 }), "Headers taken away."),
});
export interface HeaderOperations extends Infer<typeof headerOperations> {}

const headers = object("Changes to request and response headers.", {
  request: headerOperations,
  response: headerOperations,
});
export interface Headers extends Infer<typeof headers> {}

const httpRouteDestination = object("A destination with its share.", {
  destination: required(destination),
  weight,
  headers,
});
export interface HttpRouteDestination extends Infer<typeof httpRouteDestination> {}

const sourceLabels = mapOf(text("The label's value.", { format: "labelValue" }), "Only for clients with these labels.");
const matchGateways = list(text("Gateway, or `mesh`.", { minLength: 1 }), "Only behind these gateways.");
const sourceNamespace = text("Only for clients of this namespace.");
const matchPort = port("Only on this port.");

const httpMatchRequest = object("Conditions that must all hold.", {
  name: text("Name of the match, shown in access logs."),
  uri: stringMatch,
  scheme: stringMatch,
  method: stringMatch,
  authority: stringMatch,
  headers: mapOf(headerMatch, "Headers by lower-case name."),
  port: matchPort,
  sourceLabels,
  gateways: matchGateways,
  queryParams: mapOf(stringMatch, "Query parameters by name."),
  ignoreUriCase: bool("Compare the URI without regard to case; not for regex.", { default: "false" }),
  withoutHeaders: mapOf(headerMatch, "Headers that must not match."),
  sourceNamespace,
  statPrefix: text("Prefix of statistics kept for this route."),
});
export interface HttpMatchRequest extends Infer<typeof httpMatchRequest> {}

const httpRedirect = object(
  "Answer with a redirect.",
  {
    uri: text("New path."),
    prefixRewrite: text("New text for the matched prefix of the path."),
    authority: text("New host."),
    port: port("New port."),
    derivePort: oneWord(["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"], "Where the port comes from."),
    scheme: text("New scheme.", { pattern: "https?", patternAbout: "http or https" }),
    redirectCode: uint("Status: 301, 302, 303, 307 or 308.", { min: 300, max: 399, default: "301" }),
  },
  {
    oneOf: [
      ["uri", "prefixRewrite"],
      ["port", "derivePort"],
    ],
  },
);
export interface HttpRedirect extends Infer<typeof httpRedirect> {}

const httpBody = object(
  "The body.",
  { string: text("As text.", { maxLength: 1_048_576 }), bytes: text("As base64.", { maxLength: 1_398_104 }) },
  { oneOf: [["string", "bytes"]] },
);

const httpDirectResponse = object("Answer at once.", {
  status: required(uint("Status code.", { min: 100, max: 599 })),
  body: httpBody,
});
export interface HttpDirectResponse extends Infer<typeof httpDirectResponse> {}

const httpRewrite = object(
  "Change the request before it is forwarded.",
  {
    uri: text("New text for the path, or for its matched prefix."),
    authority: text("New host."),
    uriRegexRewrite: object("Change the path by expression.", {
      match: required(text("RE2 expression.", { format: "regex" })),
      rewrite: required(text("New text; `\\1` is the first group.")),
    }),
  },
  { oneOf: [["uri", "uriRegexRewrite"]] },
);
export interface HttpRewrite extends Infer<typeof httpRewrite> {}

export const httpRetry = object("Whether and how failed requests are sent again.", {
  attempts: int("Retries; 0 turns them off.", { default: "0 when the block is present, 2 when it is absent" }),
  perTryTimeout: duration("Longest time of one try.", { minMs: 1, default: "the route's timeout" }),
  retryOn: text("Conditions, separated by commas: Envoy's names or status codes.", {
    default: "connect-failure,refused-stream,unavailable,cancelled",
  }),
  retryRemoteLocalities: bool("Whether tries may leave the locality.", { default: "false" }),
  retryIgnorePreviousHosts: bool("Whether tries avoid hosts that already failed.", { default: "true" }),
  backoff: duration("Base time between tries.", { minMs: 1, default: "25ms" }),
});
export interface HttpRetry extends Infer<typeof httpRetry> {}

const httpFault = object("Failures made on purpose.", {
  delay: object(
    "Hold requests back.",
    {
      percent: int("Share of requests.", { max: 100, deprecated: "write percentage.value" }),
      fixedDelay: duration("How long.", { minMs: 1 }),
      exponentialDelay: duration("Mean of an exponential delay; not supported."),
      percentage: percent,
    },
    { oneOf: [["fixedDelay", "exponentialDelay"]] },
  ),
  abort: object(
    "Answer instead of the service.",
    {
      httpStatus: int("Status code.", { min: 200, max: 599 }),
      grpcStatus: text("gRPC status by name, such as UNAVAILABLE.", { minLength: 1 }),
      http2Error: text("HTTP/2 error; not supported."),
      percentage: percent,
    },
    { oneOf: [["httpStatus", "grpcStatus", "http2Error"]] },
  ),
});
export interface HttpFaultInjection extends Infer<typeof httpFault> {}

const corsPolicy = object("Answers to cross-origin requests.", {
  allowOrigin: list(text("An origin."), "Origins allowed.", { deprecated: "write allowOrigins" }),
  allowOrigins: list(stringMatch, "Origins allowed."),
  allowMethods: list(text("A method.", { minLength: 1 }), "Methods allowed."),
  allowHeaders: list(text("A header.", { minLength: 1 }), "Request headers allowed."),
  exposeHeaders: list(text("A header.", { minLength: 1 }), "Response headers scripts may read."),
  maxAge: duration("How long a browser may keep the answer."),
  allowCredentials: bool("Whether credentials are allowed."),
  unmatchedPreflights: oneWord(["UNSPECIFIED", "FORWARD", "IGNORE"], "What happens to other preflight requests.", {
    default: "FORWARD",
  }),
});
export interface CorsPolicy extends Infer<typeof corsPolicy> {}

const httpMirrorPolicy = object("A copy of the traffic goes here; its answers are dropped.", {
  destination: required(destination),
  percentage: percent,
});
export interface HttpMirrorPolicy extends Infer<typeof httpMirrorPolicy> {}

const delegate = object("Another VirtualService holds the routes.", {
  name: text("Its name."),
  namespace: text("Its namespace; this one's when absent."),
});

const httpRoute = object("A rule: when one of the matches holds, what happens.", {
  name: text("Name of the route, shown in access logs."),
  match: list(httpMatchRequest, "Alternatives, of which one must hold; absent: all requests."),
  route: list(httpRouteDestination, "Where requests go."),
  redirect: httpRedirect,
  directResponse: httpDirectResponse,
  delegate,
  rewrite: httpRewrite,
  timeout: duration("Longest time for the request; 0s is no limit.", { default: "no limit" }),
  retries: httpRetry,
  fault: httpFault,
  mirror: destination,
  mirrors: list(httpMirrorPolicy, "Copies of the traffic."),
  mirrorPercent: uint("Share copied to `mirror`.", { max: 100, deprecated: "write mirrorPercentage.value" }),
  mirror_percent: uint("Share copied to `mirror`.", { max: 100, deprecated: "write mirrorPercentage.value" }),
  mirrorPercentage: percent,
  corsPolicy,
  headers,
});
export interface HttpRoute extends Infer<typeof httpRoute> {}

const routeDestination = object("A destination with its share.", { destination: required(destination), weight });
export interface RouteDestination extends Infer<typeof routeDestination> {}

const l4Match = {
  destinationSubnets: list(text("Address or CIDR.", { format: "ipOrCidr" }), "Only to these addresses."),
  port: matchPort,
  sourceLabels,
  gateways: matchGateways,
  sourceNamespace,
};

const tlsRoute = object("A rule for TLS that is passed through.", {
  match: required(
    list(
      object("Conditions that must all hold.", {
        sniHosts: required(
          list(text("Server name.", { format: "host" }), "Server names, exact or with a leading `*.`.", {
            minItems: 1,
          }),
        ),
        ...l4Match,
      }),
      "Alternatives, of which one must hold.",
      { minItems: 1 },
    ),
  ),
  route: list(routeDestination, "Where connections go."),
});
export interface TlsRoute extends Infer<typeof tlsRoute> {}

const tcpRoute = object("A rule for raw TCP.", {
  match: list(
    object("Conditions that must all hold.", {
      ...l4Match,
      sourceSubnet: text("Only from these addresses; not implemented by Istio.", { format: "ipOrCidr" }),
    }),
    "Alternatives, of which one must hold; absent: all connections.",
  ),
  route: list(routeDestination, "Where connections go."),
});
export interface TcpRoute extends Infer<typeof tcpRoute> {}

export const virtualServiceSpec = object("Routes for a set of hosts.", {
  hosts: list(text("Host.", { format: "host" }), "Hosts the routes are for; short names are of this namespace."),
  gateways: list(text("`mesh`, NAME or NAMESPACE/NAME.", { minLength: 1 }), "Where the routes apply.", {
    default: '["mesh"]',
  }),
  http: list(httpRoute, "Rules for HTTP, in order; the first that matches holds."),
  tls: list(tlsRoute, "Rules for TLS that is passed through, in order."),
  tcp: list(tcpRoute, "Rules for TCP, in order."),
  exportTo,
});
export interface VirtualServiceSpec extends Infer<typeof virtualServiceSpec> {}

export const virtualService: Kind = defineKind({
  name: "VirtualService",
  plural: "virtualservices",
  shortNames: ["vs"],
  group: "networking.istio.io",
  versions: ["v1", "v1beta1", "v1alpha3"],
  about: "Routes: where requests and connections to a host go, and what happens to them on the way.",
  schema: virtualServiceSpec,
  validate: validateVirtualService,
});
