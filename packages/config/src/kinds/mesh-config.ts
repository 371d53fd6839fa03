/** MeshConfig: settings of the whole mesh, as a document of its own or in a ConfigMap named `istio`. */
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
  required,
  text,
} from "../schema/schema.ts";
import { exportTo } from "./common.ts";
import {
  clientTlsSettings,
  connectionPool,
  localityLbSetting,
  outlierDetection,
  tcpKeepalive,
  zoneAwareLbSetting,
} from "./destination-rule.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateMeshConfig } from "./mesh-config-rules.ts";
import { meshProxyConfig } from "./mesh-proxy-config.ts";
import { httpRetry } from "./virtual-service.ts";

const labelsSelector = object("Objects by their labels.", {
  matchLabels: mapOf(text("The label's value."), "Labels they must carry."),
  matchExpressions: list(
    object("A condition on a label.", {
      key: required(text("The label.", { minLength: 1 })),
      operator: required(oneWord(["In", "NotIn", "Exists", "DoesNotExist"], "How it is compared.")),
      values: list(text("A value."), "Values it is compared with."),
    }),
    "Conditions they must meet.",
  ),
});

const provider = object("Configured for what comes with telemetry and external authorization.", {}, { open: true });

const extensionProvider = object("A service that policies and Telemetry name.", {
  name: required(text("The name.", { minLength: 1 })),
  envoyExtAuthzHttp: provider,
  envoyExtAuthzGrpc: provider,
  zipkin: provider,
  lightstep: provider,
  datadog: provider,
  stackdriver: provider,
  opencensus: provider,
  skywalking: provider,
  opentelemetry: provider,
  prometheus: provider,
  envoyFileAccessLog: provider,
  envoyHttpAls: provider,
  envoyTcpAls: provider,
  envoyOtelAls: provider,
  sds: provider,
});

const tlsConfig = object("Bounds of TLS.", {
  minProtocolVersion: oneWord(["TLS_AUTO", "TLSV1_2", "TLSV1_3"], "Least version.", { default: "TLSV1_2" }),
  ecdhCurves: list(text("A curve."), "Curves, in order of preference."),
  cipherSuites: list(text("A cipher suite."), "Cipher suites, in order of preference."),
});

const visibility = oneWord(["VISIBILITY_UNSPECIFIED", "NONE", "NAMESPACE", "PUBLIC"], "Who sees them.");

const serviceEntryVisibility = object("Who sees ServiceEntries that do not say so.", {
  defaultVisibility: visibility,
  applyToSidecars: bool("Whether it holds for sidecars.", { default: "false" }),
  policies: list(
    object("Another visibility for some namespaces.", {
      visibility,
      matchingRules: list(object("A condition.", { namespaceSelector: labelsSelector }), "Which namespaces."),
    }),
    "Exceptions.",
  ),
});

const traffic = {
  proxyListenPort: port("Port outbound connections are captured to.", { default: "15001" }),
  proxyInboundListenPort: port("Port inbound connections are captured to.", { default: "15006" }),
  proxyHttpPort: int("Port of an HTTP proxy for programs; 0 is none.", { max: 65_535, default: "none" }),
  connectTimeout: duration("Longest wait for a connection.", { minMs: 1, default: "10s" }),
  hboneIdleTimeout: duration("Idle time after which a tunnel closes."),
  protocolDetectionTimeout: duration("Longest wait for the first bytes of a connection; 0s waits on.", {
    default: "0s",
  }),
  tcpKeepalive,
  outboundTrafficPolicy: object("What happens to traffic for destinations no service has.", {
    mode: oneWord(
      ["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"],
      "Whether it is allowed; ALLOW_ANY_DYNAMIC_DNS looks up the name the request is for.",
      { default: "ALLOW_ANY" },
    ),
    tls: clientTlsSettings,
  }),
  inboundTrafficPolicy: object("Where inbound connections go.", {
    mode: oneWord(["PASSTHROUGH", "LOCALHOST"], "To the workload's address, or to localhost.", {
      default: "PASSTHROUGH",
    }),
  }),
  enableAutoMtls: bool("Use mutual TLS wherever the server takes it.", { default: "true" }),
  localityLbSetting,
  zoneAwareLbSetting,
  dnsRefreshRate: duration("Time between look-ups of DNS services.", { default: "60s" }),
  h2UpgradePolicy: oneWord(["DO_NOT_UPGRADE", "UPGRADE"], "Whether HTTP/1.1 goes upstream as HTTP/2.", {
    default: "DO_NOT_UPGRADE",
  }),
  pathNormalization: object("How paths are written before they are matched.", {
    normalization: oneWord(
      ["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"],
      "Each does what those before it do, and more; DEFAULT is BASE.",
      { default: "DEFAULT" },
    ),
  }),
  defaultHttpRetryPolicy: { ...httpRetry, about: "Retries of routes that do not say otherwise." },
  defaultTrafficPolicy: object("Blocks of services for which no DestinationRule has them.", {
    connectionPool,
    outlierDetection,
  }),
};

const identity = {
  trustDomain: text("Trust domain of the mesh's identities.", { default: "cluster.local" }),
  trustDomainAliases: list(text("A trust domain."), "Trust domains that mean the same."),
  rootNamespace: text("Namespace whose policies hold for all.", { default: "istio-system" }),
  caCertificates: list(
    object("Certificates of an authority.", {
      pem: text("As PEM."),
      spiffeBundleUrl: text("Where they are fetched."),
      certSigners: list(text("A signer."), "Kubernetes signers they are for."),
      trustDomains: list(text("A trust domain."), "Trust domains they are for."),
    }),
    "Further authorities the mesh trusts.",
  ),
  ca: object("An authority outside the control plane.", {
    address: text("HOST:PORT.", { minLength: 1 }),
    tlsSettings: clientTlsSettings,
    requestTimeout: duration("Longest wait for a certificate."),
    istiodSide: bool("Whether the control plane asks, not the proxies."),
  }),
  certificates: anything("Not used by weft.", { deprecated: "leave it out" }),
  verifyCertificateAtClient: bool("Not used by weft.", { deprecated: "leave it out" }),
  meshMTLS: { ...tlsConfig, about: "Bounds of TLS within the mesh." },
  tlsDefaults: { ...tlsConfig, about: "Bounds of TLS with others." },
};

const scope = {
  defaultServiceExportTo: { ...exportTo, about: "Where services are visible that do not say so." },
  defaultVirtualServiceExportTo: { ...exportTo, about: "Where VirtualServices are visible that do not say so." },
  defaultDestinationRuleExportTo: { ...exportTo, about: "Where DestinationRules are visible that do not say so." },
  serviceEntryVisibility,
  discoverySelectors: list(labelsSelector, "Namespaces that are read; absent: all."),
  serviceSettings: list(
    object("Settings of some services.", {
      settings: object("The settings.", { clusterLocal: bool("Keep traffic within the cluster.") }),
      hosts: list(text("A host.", { format: "host" }), "Which services."),
    }),
    "Settings by service.",
  ),
  serviceScopeConfigs: list(
    object("Scope of some services.", {
      namespaceSelector: labelsSelector,
      servicesSelector: labelsSelector,
      scope: oneWord(["LOCAL", "GLOBAL"], "Whether other clusters see them."),
    }),
    "Scope by service.",
  ),
  configSources: anything("Where configuration is read; not used by weft."),
};

const observation = {
  enableTracing: bool("Make spans and request identifiers.", { default: "true" }),
  accessLogFile: text("File of the access log, such as /dev/stdout; empty is none.", { default: "none" }),
  accessLogFormat: text("Format of a line.", { default: "Istio's" }),
  accessLogEncoding: oneWord(["TEXT", "JSON"], "How a line is written.", { default: "TEXT" }),
  enableEnvoyAccessLogService: bool("Send access logs to a service.", { default: "false" }),
  disableEnvoyListenerLog: bool("Do not log connections no chain takes.", { default: "false" }),
  enablePrometheusMerge: bool("Merge the application's metrics with the proxy's.", { default: "true" }),
  inboundClusterStatName: text("Name of inbound clusters in statistics."),
  outboundClusterStatName: text("Name of outbound clusters in statistics."),
  extensionProviders: list(extensionProvider, "Services that policies and Telemetry name."),
  defaultProviders: object("Providers where Telemetry names none.", {
    tracing: list(text("A provider."), "Of traces."),
    metrics: list(text("A provider."), "Of metrics."),
    accessLogging: list(text("A provider."), "Of access logs."),
  }),
};

const ingress = {
  ingressClass: text("Class of Ingress objects that are read."),
  ingressService: text("Service of the edge proxies."),
  ingressControllerMode: oneWord(["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"], "Which Ingress objects are read."),
  ingressSelector: text("Label `istio` of the edge proxies."),
};

export const meshConfigSpec = object("Settings of the whole mesh.", {
  ...traffic,
  ...identity,
  ...scope,
  ...observation,
  ...ingress,
  defaultConfig: meshProxyConfig,
});
export interface MeshConfigSpec extends Infer<typeof meshConfigSpec> {}

export const meshConfig: Kind = defineKind({
  name: "MeshConfig",
  plural: "meshconfigs",
  group: "mesh.istio.io",
  versions: ["v1alpha1"],
  about: "Settings of the whole mesh. The key `mesh` of a ConfigMap `istio` or `istio-REVISION` says the same.",
  schema: meshConfigSpec,
  validate: validateMeshConfig,
});
