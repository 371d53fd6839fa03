/** `defaultConfig` of MeshConfig: how every proxy of the mesh starts. */
import {
  anything,
  bool,
  duration,
  type Infer,
  int,
  list,
  mapOf,
  object,
  oneWord,
  port,
  text,
  uint,
} from "../schema/schema.ts";
import { clientTlsSettings, tcpKeepalive } from "./destination-rule.ts";
import { proxyConcurrency, proxyImage } from "./proxy-config.ts";
import { readinessProbe } from "./workload-group.ts";

const remoteService = object("A service the proxy reports to.", {
  address: text("HOST:PORT."),
  tlsSettings: clientTlsSettings,
  tcpKeepalive,
});
const disabled = object("A header.", { disabled: bool("Leave it out.", { default: "false" }) });
const enabled = object("A header.", { enabled: bool("Add it.", { default: "false" }) });
const certificateDetails = oneWord(
  ["UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"],
  "What happens to X-Forwarded-Client-Cert.",
);

const proxyHeaders = object("Headers the proxy adds.", {
  forwardedClientCert: certificateDetails,
  setCurrentClientCertDetails: object("Parts of the client's certificate that are added.", {
    subject: bool("Its subject."),
    cert: bool("The certificate."),
    chain: bool("Its chain."),
    dns: bool("Its DNS names."),
    uri: bool("Its URI."),
  }),
  requestId: { ...disabled, about: "X-Request-Id." },
  server: object("Server.", { disabled: bool("Leave it out."), value: text("Its value.") }),
  attemptCount: { ...disabled, about: "X-Envoy-Attempt-Count." },
  envoyDebugHeaders: { ...disabled, about: "Headers such as X-Envoy-Upstream-Service-Time." },
  metadataExchangeHeaders: object("Headers that exchange workload metadata.", {
    mode: oneWord(["UNDEFINED", "IN_MESH"], "Where they are sent."),
  }),
  preserveHttp1HeaderCase: bool("Keep the case of HTTP/1.1 header names.", { default: "false" }),
  xForwardedHost: { ...enabled, about: "X-Forwarded-Host." },
  xForwardedPort: { ...enabled, about: "X-Forwarded-Port." },
});

const connectionSettings = object("Limits of connections and streams; fields given here go before the profile's.", {
  profile: oneWord(["SIDECAR", "EDGE"], "A set of defaults; EDGE is for proxies open to strangers.", {
    default: "SIDECAR",
  }),
  listenerPerConnectionBufferLimitBytes: int("Bytes buffered for a client's connection."),
  clusterPerConnectionBufferLimitBytes: int("Bytes buffered for a connection to a service."),
  httpIdleTimeout: duration("Time without a request after which a client's connection closes."),
  httpMaxConnectionDuration: duration("Longest life of a client's connection."),
  httpDrainTimeout: duration("Time a connection has to end once it drains."),
  httpRequestTimeout: duration("Longest time for a whole request to arrive."),
  httpRequestHeadersTimeout: duration("Longest time for a request's headers to arrive."),
  httpStreamIdleTimeout: duration("Longest time a stream may stand still."),
  httpMaxStreamDuration: duration("Longest life of a stream."),
  httpMaxConcurrentStreams: int("Most streams on one HTTP/2 connection."),
  http2InitialStreamWindowSize: int("Flow-control window of a stream, in bytes."),
  http2InitialConnectionWindowSize: int("Flow-control window of a connection, in bytes."),
  httpHeadersWithUnderscoresAction: oneWord(
    [
      "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
      "HEADERS_WITH_UNDERSCORES_ALLOW",
      "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
      "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
    ],
    "What happens to headers with `_` in their name.",
  ),
  httpMergeSlashes: bool("Write adjacent slashes of the path as one."),
  httpPathWithEscapedSlashesAction: oneWord(
    [
      "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
      "KEEP_UNCHANGED",
      "REJECT_REQUEST",
      "UNESCAPE_AND_REDIRECT",
      "UNESCAPE_AND_FORWARD",
    ],
    "What happens to paths with %2F or %5C.",
  ),
  listenerConnectionLimit: int("Most connections of one listener."),
  globalDownstreamConnectionLimit: int("Most connections of clients."),
});
export interface ConnectionSettings extends Infer<typeof connectionSettings> {}

const notUsed = "Not used by weft.";

export const meshProxyConfig = object("How proxies start, unless a ProxyConfig or an annotation says otherwise.", {
  configPath: text(notUsed),
  binaryPath: text(notUsed),
  serviceCluster: text("Name of the proxy's service in traces."),
  tracingServiceName: oneWord(
    ["APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE"],
    "How that name is made.",
  ),
  drainDuration: duration("Time connections have to end when a listener goes.", { default: "45s" }),
  terminationDrainDuration: duration("Time connections have to end when the proxy ends.", { default: "5s" }),
  discoveryAddress: text("HOST:PORT of the control plane."),
  discoveryRefreshDelay: duration(notUsed, { deprecated: "leave it out" }),
  zipkinAddress: text(notUsed, { deprecated: "write tracing.zipkin.address" }),
  statsdUdpAddress: text("HOST:PORT of a statsd server."),
  envoyMetricsServiceAddress: text(notUsed, { deprecated: "write envoyMetricsService" }),
  proxyAdminPort: port("Port of the admin interface.", { default: "15000" }),
  availabilityZone: text(notUsed, { deprecated: "leave it out" }),
  controlPlaneAuthPolicy: oneWord(["NONE", "MUTUAL_TLS", "INHERIT"], "How the proxy and the control plane meet."),
  customConfigFile: text(notUsed),
  statNameLength: int("Most characters of a statistic's name.", { default: "189" }),
  concurrency: proxyConcurrency,
  proxyBootstrapTemplatePath: text(notUsed),
  interceptionMode: oneWord(["REDIRECT", "TPROXY", "NONE"], "How connections come to the proxy.", {
    default: "REDIRECT",
  }),
  tracing: anything("Where traces go."),
  sds: anything(notUsed, { deprecated: "leave it out" }),
  envoyAccessLogService: remoteService,
  envoyMetricsService: remoteService,
  proxyMetadata: mapOf(text("The value."), "Environment variables of the proxy and values of its metadata."),
  runtimeValues: mapOf(text("The value."), "Runtime keys of the proxy."),
  statusPort: port("Port of readiness and merged metrics.", { default: "15020" }),
  extraStatTags: list(text("A tag."), "Further tags of statistics."),
  gatewayTopology: object("What stands before an edge proxy.", {
    numTrustedProxies: uint("Proxies before it whose X-Forwarded-For is believed.", { default: "0" }),
    forwardClientCertDetails: certificateDetails,
    proxyProtocol: object("Connections begin with a PROXY protocol header.", {}),
  }),
  meshId: text("Name of the mesh in metrics."),
  readinessProbe,
  proxyStatsMatcher: object("Further statistics that are kept.", {
    inclusionPrefixes: list(text("A prefix."), "By prefix."),
    inclusionSuffixes: list(text("A suffix."), "By suffix."),
    inclusionRegexps: list(text("An expression.", { format: "regex" }), "By expression."),
  }),
  holdApplicationUntilProxyStarts: bool("Start the application when the proxy is ready.", { default: "false" }),
  caCertificatesPem: list(text("A certificate."), "Further authorities the proxy trusts."),
  image: proxyImage,
  privateKeyProvider: anything(notUsed),
  proxyHeaders,
  fileFlushInterval: duration("Time between writes of access logs."),
  fileFlushMinSizeKb: uint("KiB after which access logs are written."),
  statsCompression: bool("Compress metrics for clients that ask for it.", { default: "true" }),
  connectionSettings,
});
export interface MeshProxyConfig extends Infer<typeof meshProxyConfig> {}
