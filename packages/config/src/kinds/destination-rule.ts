/** DestinationRule: what happens to traffic once routing has chosen a service. */
import {
  bool,
  duration,
  type Infer,
  int,
  list,
  mapOf,
  number,
  object,
  oneWord,
  port,
  required,
  text,
  uint,
} from "../schema/schema.ts";
import { exportTo, matchLabels, portSelector, workloadSelector } from "./common.ts";
import { validateDestinationRule } from "./destination-rule-rules.ts";
import { defineKind, type Kind } from "./kind.ts";

const httpCookie = object("Hash on a cookie, making it when absent if `ttl` is given.", {
  name: required(text("Cookie name.", { minLength: 1 })),
  path: text("Path of a cookie that is made."),
  ttl: duration("Life of a cookie that is made; 0s makes a session cookie."),
  attributes: list(
    object("One attribute of a cookie that is made.", {
      name: required(text("Attribute name.", { minLength: 1 })),
      value: text("Attribute value."),
    }),
    "Further attributes of a cookie that is made.",
  ),
});

const consistentHash = object(
  "Requests with equal hash go to the same endpoint.",
  {
    httpHeaderName: text("Hash on this header.", { format: "headerName" }),
    httpCookie,
    useSourceIp: bool("Hash on the client's address."),
    httpQueryParameterName: text("Hash on this query parameter.", { minLength: 1 }),
    ringHash: object("Ketama ring.", {
      minimumRingSize: int("Least number of points on the ring.", { max: 8_388_608, default: "1024" }),
    }),
    maglev: object("Maglev table.", {
      tableSize: int("Table size, a prime below 5000011.", { max: 5_000_011, default: "65537" }),
    }),
    minimumRingSize: int("Least number of points on the ring.", {
      max: 8_388_608,
      deprecated: "write ringHash.minimumRingSize",
    }),
  },
  {
    oneOf: [
      ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"],
      ["ringHash", "maglev"],
    ],
  },
);

const localityFailover = object("Where traffic of a region goes when that region has no healthy endpoint.", {
  from: text("Region that fails."),
  to: text("Region that takes over."),
});
const failoverPriority = list(
  text("A label key, or key=value.", { minLength: 1 }),
  "Labels that order endpoints: those that share more of them with the client come first.",
);

export const localityLbSetting = object(
  "How locality steers traffic; replaces the mesh's setting.",
  {
    enabled: bool("Whether locality is considered.", { default: "the mesh's setting (true)" }),
    distribute: list(
      object("Shares for the traffic of one origin.", {
        from: required(text("Origin `region/zone/subzone`, with `*`.", { minLength: 1 })),
        to: required(mapOf(uint("Percent of the traffic.", { max: 100 }), "Shares by locality, which sum to 100.")),
      }),
      "Explicit shares by origin. Localities not listed receive nothing.",
    ),
    failover: list(localityFailover, "Preferred regions on failure; needs outlierDetection."),
    failoverPriority,
  },
  {
    oneOf: [
      ["distribute", "failover"],
      ["distribute", "failoverPriority"],
    ],
  },
);

export const zoneAwareLbSetting = object("Keep traffic in the client's zone while capacity there allows it.", {
  enabled: bool("Whether zone awareness is on.", { default: "true when the block is present" }),
  failover: list(localityFailover, "Preferred regions on failure."),
  failoverPriority,
  minClusterSize: int("Fewest endpoints for which zones are considered.", { default: "6" }),
});

const loadBalancer = object(
  "How an endpoint is chosen.",
  {
    simple: oneWord(
      ["UNSPECIFIED", "LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "PASSTHROUGH", "LEAST_CONN"],
      "Algorithm. LEAST_CONN is the older name of LEAST_REQUEST.",
      { default: "LEAST_REQUEST" },
    ),
    consistentHash,
    localityLbSetting,
    zoneAwareLbSetting,
    warmup: object("New endpoints receive a growing share.", {
      duration: required(duration("How long the growth lasts.", { minMs: 1 })),
      minimumPercent: number("Share at the start, in percent.", { min: 0, max: 100, default: "10" }),
      aggression: number("Speed of growth; 1 is linear.", { min: 1, default: "1.0" }),
    }),
    warmupDurationSecs: duration("How long new endpoints warm up.", { deprecated: "write warmup.duration" }),
  },
  {
    oneOf: [
      ["simple", "consistentHash"],
      ["localityLbSetting", "zoneAwareLbSetting"],
      ["warmup", "warmupDurationSecs"],
    ],
  },
);
export interface LocalityLbSetting extends Infer<typeof localityLbSetting> {}
export interface ZoneAwareLbSetting extends Infer<typeof zoneAwareLbSetting> {}
export interface LoadBalancerSettings extends Infer<typeof loadBalancer> {}

export const tcpKeepalive = object("Keep-alive probes of the operating system.", {
  probes: uint("Probes without answer before the connection is dead.", { default: "the system's (9)" }),
  time: duration("Idle time before the first probe.", { default: "the system's (2h)" }),
  interval: duration("Time between probes.", { default: "the system's (75s)" }),
});

export const connectionPool = object("Limits on connections and requests to each proxy's view of the service.", {
  tcp: object("Limits of TCP connections; they also hold for HTTP.", {
    maxConnections: int("Most connections per proxy.", { default: "no limit" }),
    connectTimeout: duration("Longest wait for a connection.", { minMs: 1, default: "10s" }),
    tcpKeepalive,
    maxConnectionDuration: duration("Longest life of a connection.", { minMs: 1, default: "no limit" }),
    idleTimeout: duration("Idle time after which a connection closes; 0s keeps it.", { default: "1h" }),
  }),
  http: object("Limits of HTTP/1.1, HTTP/2 and gRPC.", {
    http1MaxPendingRequests: int("Most requests waiting for a connection.", { default: "no limit" }),
    http2MaxRequests: int("Most requests in flight, whatever the HTTP version.", { default: "no limit" }),
    maxRequestsPerConnection: int("Requests after which a connection closes; 0 is no limit.", { default: "0" }),
    maxRetries: int("Most retries in flight at a time.", { default: "no limit" }),
    idleTimeout: duration("Time without a request after which a connection closes.", { default: "1h" }),
    h2UpgradePolicy: oneWord(["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"], "Whether HTTP/1.1 goes upstream as HTTP/2.", {
      default: "the mesh's (DO_NOT_UPGRADE)",
    }),
    useClientProtocol: bool("Go upstream with the version the client used.", { default: "false" }),
    maxConcurrentStreams: int("Most streams on one HTTP/2 connection.", { default: "no limit" }),
    http2KeepAlive: object("HTTP/2 PINGs.", {
      interval: required(duration("Time between PINGs.", { minMs: 1 })),
      timeout: required(duration("Longest wait for the answer.", { minMs: 1 })),
    }),
  }),
});
export interface ConnectionPoolSettings extends Infer<typeof connectionPool> {}

export const outlierDetection = object("Endpoints that fail too often are left out for a while.", {
  consecutive5xxErrors: uint("Consecutive 5xx answers that eject; 0 turns this off.", { default: "5" }),
  consecutiveGatewayErrors: uint("Consecutive 502, 503 or 504 that eject; 0 turns this off.", { default: "off" }),
  interval: duration("Time between sweeps.", { minMs: 1, default: "10s" }),
  baseEjectionTime: duration("Ejection time, multiplied by the number of ejections.", { minMs: 1, default: "30s" }),
  maxEjectionPercent: int("Largest share ejected at a time.", { max: 100, default: "10" }),
  minHealthPercent: int("Share of healthy endpoints below which all are used.", { max: 100, default: "0" }),
  splitExternalLocalOriginErrors: bool("Count connection failures apart from answers.", { default: "false" }),
  consecutiveLocalOriginFailures: uint("Consecutive connection failures that eject.", { default: "5" }),
  consecutiveErrors: int("Older form of consecutiveGatewayErrors; does nothing.", {
    deprecated: "write consecutive5xxErrors or consecutiveGatewayErrors",
  }),
  outlierDetectionHttpErrorCodes: list(
    int("A status code.", { min: 100, max: 599 }),
    "Status codes that count as failures.",
    { default: "5xx" },
  ),
});
export interface OutlierDetection extends Infer<typeof outlierDetection> {}

export const clientTlsSettings = object("TLS towards the service.", {
  mode: oneWord(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"], "How connections are secured.", {
    default: "DISABLE when the block is present",
  }),
  clientCertificate: text("File with the client certificate; for MUTUAL."),
  privateKey: text("File with the client's key; for MUTUAL."),
  caCertificates: text("File with the authorities that may sign the server's certificate."),
  credentialName: text("Secret that holds key, certificate and authorities."),
  subjectAltNames: list(text("A name.", { minLength: 1 }), "Names of which the server's certificate must have one."),
  sni: text("Server name sent in the handshake."),
  insecureSkipVerify: bool("Do not verify the server's certificate.", { default: "false" }),
  caCrl: text("File with revoked certificates."),
});
export interface ClientTlsSettings extends Infer<typeof clientTlsSettings> {}

const blocks = { loadBalancer, connectionPool, outlierDetection, tls: clientTlsSettings };

const portTrafficPolicy = object("Settings of one port, instead of the settings around it.", {
  port: portSelector,
  ...blocks,
});
export interface PortTrafficPolicy extends Infer<typeof portTrafficPolicy> {}

const trafficPolicy = object("Settings for traffic to the service or subset.", {
  ...blocks,
  portLevelSettings: list(portTrafficPolicy, "Settings by port; each replaces all blocks for its port.", {
    maxItems: 4096,
  }),
  tunnel: object("Carry TCP through an HTTP proxy.", {
    protocol: oneWord(["CONNECT", "POST"], "How the tunnel is asked for.", { default: "CONNECT" }),
    targetHost: required(text("Host the tunnel ends at.", { minLength: 1 })),
    targetPort: required(port("Port the tunnel ends at.")),
  }),
  proxyProtocol: object("Send a PROXY protocol header.", {
    version: oneWord(["V1", "V2"], "Version of the header.", { default: "V1" }),
  }),
  retryBudget: object("Bound on retries as a share of requests in flight.", {
    percent: number("Share of requests in flight that may be retries.", { min: 0, max: 100, default: "20" }),
    minRetryConcurrency: uint("Retries always allowed.", { default: "3" }),
    budgetInterval: duration("Window over which requests count.", { default: "0ms" }),
  }),
});
export interface TrafficPolicy extends Infer<typeof trafficPolicy> {}

const subset = object("A named part of the service's endpoints.", {
  name: required(
    text("Name that routes use.", {
      minLength: 1,
      maxLength: 63,
      pattern: "[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?",
      patternAbout: "letters, digits and `-`, with a letter or digit at both ends",
    }),
  ),
  labels: matchLabels,
  trafficPolicy,
});
export interface Subset extends Infer<typeof subset> {}

export const destinationRuleSpec = object("Policies for traffic to one host.", {
  host: required(text("Service the rule is for; short names are of the rule's namespace.", { format: "host" })),
  trafficPolicy,
  subsets: list(subset, "Named parts of the service."),
  exportTo,
  workloadSelector,
});
export interface DestinationRuleSpec extends Infer<typeof destinationRuleSpec> {}

export const destinationRule: Kind = defineKind({
  name: "DestinationRule",
  plural: "destinationrules",
  shortNames: ["dr"],
  group: "networking.istio.io",
  versions: ["v1", "v1beta1", "v1alpha3"],
  about: "Policies for traffic to a service after routing: load balancing, pools, outlier detection, TLS, subsets.",
  schema: destinationRuleSpec,
  validate: validateDestinationRule,
});
