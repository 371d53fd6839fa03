/**
 * Fields that are taken and checked but have no effect in weft so far. `analyze` reports each use, so that
 * nothing is dropped in silence. A field leaves this list with the change that gives it an effect.
 */
export interface FieldWithoutEffect {
  /** From the spec: `http[].delegate`; `[]` is any index and `*` any key. */
  readonly path: string;
  /** Only these values are without effect; absent means all. */
  readonly values?: readonly (string | number | boolean)[];
  /** What happens instead, or what to write. */
  readonly note: string;
  /** Resources show it all the same: for an Envoy, which acts on it, or for a part of weft that is still missing. */
  readonly inResources?: true;
  /** How `analyze` tells of it; a warning when absent. */
  readonly level?: "warning" | "info";
}

const policyPlaces = [
  "trafficPolicy",
  "trafficPolicy.portLevelSettings[]",
  "subsets[].trafficPolicy",
  "subsets[].trafficPolicy.portLevelSettings[]",
];

type Options = Pick<FieldWithoutEffect, "inResources" | "level">;
const inPolicies = (path: string, note: string, options: Options = {}): FieldWithoutEffect[] =>
  policyPlaces.map((place) => ({ path: `${place}.${path}`, note, ...options }));

/** Fields of MeshConfig.defaultConfig by which a proxy would be started. */
const proxyDefaults = [
  "configPath",
  "binaryPath",
  "serviceCluster",
  "tracingServiceName",
  "drainDuration",
  "terminationDrainDuration",
  "discoveryAddress",
  "discoveryRefreshDelay",
  "zipkinAddress",
  "statsdUdpAddress",
  "envoyMetricsServiceAddress",
  "proxyAdminPort",
  "availabilityZone",
  "controlPlaneAuthPolicy",
  "customConfigFile",
  "statNameLength",
  "proxyBootstrapTemplatePath",
  "interceptionMode",
  "tracing",
  "sds",
  "envoyAccessLogService",
  "envoyMetricsService",
  "proxyMetadata",
  "runtimeValues",
  "statusPort",
  "extraStatTags",
  "gatewayTopology.forwardClientCertDetails",
  "gatewayTopology.proxyProtocol",
  "meshId",
  "readinessProbe",
  "proxyStatsMatcher",
  "holdApplicationUntilProxyStarts",
  "caCertificatesPem",
  "image",
  "privateKeyProvider",
  "proxyHeaders",
  "fileFlushInterval",
  "fileFlushMinSizeKb",
  "statsCompression",
  "connectionSettings",
];

/** By kind. Kinds without any effect are not here: they are reported as a whole when they are read. */
export const fieldsWithoutEffect: ReadonlyMap<string, readonly FieldWithoutEffect[]> = new Map([
  [
    "VirtualService",
    [
      {
        path: "http[].match[].statPrefix",
        note: "Envoy keeps statistics for the route, weft's sidecar does not",
        inResources: true,
      },
      { path: "tcp[].match[].sourceSubnet", note: "as in Istio; use an AuthorizationPolicy" },
    ],
  ],
  [
    "DestinationRule",
    [
      { path: "trafficPolicy.retryBudget.budgetInterval", note: "the budget counts requests in flight" },
      { path: "subsets[].trafficPolicy.retryBudget.budgetInterval", note: "the budget counts requests in flight" },
      ...inPolicies(
        "loadBalancer.zoneAwareLbSetting",
        "zones count only for a proxy with a local_cluster: use localityLbSetting",
        { inResources: true },
      ),
      ...inPolicies("outlierDetection.consecutiveErrors", "as in Istio: use consecutive5xxErrors"),
      ...inPolicies("outlierDetection.outlierDetectionHttpErrorCodes", "as in Istio: 5xx answers count"),
    ],
  ],
  ["ServiceEntry", [{ path: "endpoints[].network", note: "endpoints are dialled directly, whatever their network" }]],
  ["WorkloadEntry", [{ path: "network", note: "endpoints are dialled directly, whatever their network" }]],
  [
    "Gateway",
    [
      { path: "servers[].defaultEndpoint", note: "as in Istio: attach a VirtualService" },
      { path: "servers[].port.targetPort", note: "the gateway listens at port.number" },
    ],
  ],
  [
    "WorkloadGroup",
    [
      { path: "metadata.annotations", note: "nothing reads them" },
      { path: "template.network", note: "endpoints are dialled directly, whatever their network" },
    ],
  ],
  [
    "Sidecar",
    [
      { path: "ingress[].port.name", note: "as in Istio: it names nothing in the proxy", level: "info" },
      { path: "ingress[].port.targetPort", note: "as in Istio: write defaultEndpoint" },
      { path: "ingress[].connectionPool.http.h2UpgradePolicy", note: "as in Istio: clients upgrade, servers do not" },
      { path: "ingress[].tls.httpsRedirect", note: "only a Gateway redirects" },
      { path: "ingress[].tls.credentialNames", note: "use credentialName, or files" },
      { path: "ingress[].tls.tlsCertificates", note: "use serverCertificate and privateKey" },
      { path: "ingress[].tls.insecureSkipVerify", note: "client certificates are verified" },
      { path: "egress[].port.name", note: "as in Istio: it names nothing in the proxy", level: "info" },
      { path: "egress[].port.targetPort", note: "as in Istio: clients dial port.number" },
      { path: "inboundConnectionPool.http.h2UpgradePolicy", note: "as in Istio: clients upgrade, servers do not" },
    ],
  ],
  [
    "EnvoyFilter",
    [
      { path: "targetRefs", note: "use workloadSelector" },
      { path: "configPatches[].match.listener.portName", note: "as in Istio: use portNumber" },
      { path: "configPatches[].match.waypoint", note: "weft has no waypoints" },
    ],
  ],
  [
    "ProxyConfig",
    [{ path: "image", note: "a sidecar is the weft that is installed where it starts: install another there" }],
  ],
  [
    "MeshConfig",
    [
      { path: "proxyListenPort", note: "use the sidecar's --outbound" },
      { path: "proxyInboundListenPort", note: "use the sidecar's --inbound" },
      { path: "proxyHttpPort", note: "no such listener is made" },
      { path: "hboneIdleTimeout", note: "weft makes no such tunnels" },
      { path: "outboundTrafficPolicy.tls", note: "traffic to unknown places stays as it is" },
      { path: "zoneAwareLbSetting", note: "zones count only for a proxy with a local_cluster", inResources: true },
      {
        path: "defaultTrafficPolicy.outlierDetection.consecutiveErrors",
        note: "as in Istio: use consecutive5xxErrors",
      },
      {
        path: "defaultTrafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes",
        note: "as in Istio: 5xx answers count",
      },
      { path: "trustDomain", note: "identities are of the control plane's --trust-domain: start it with that one" },
      { path: "trustDomainAliases", note: "identities of one trust domain are known" },
      { path: "caCertificates", note: "the mesh has its own authority" },
      { path: "ca", note: "the mesh has its own authority" },
      { path: "certificates", note: "as in Istio" },
      { path: "verifyCertificateAtClient", note: "as in Istio" },
      { path: "meshMTLS", note: "TLS 1.2 and 1.3 hold" },
      { path: "tlsDefaults", note: "TLS 1.2 and 1.3 hold" },
      { path: "serviceEntryVisibility.policies", note: "the default holds for every namespace: write exportTo" },
      { path: "serviceSettings", note: "a mesh has one cluster" },
      { path: "serviceScopeConfigs", note: "a mesh has one cluster" },
      { path: "configSources", note: "use the control plane's flags" },
      { path: "enableTracing", note: "no spans are made yet" },
      { path: "enableEnvoyAccessLogService", note: "logs are written to files" },
      { path: "disableEnvoyListenerLog", note: "listeners write none" },
      { path: "enablePrometheusMerge", note: "the application's metrics stay its own" },
      { path: "inboundClusterStatName", note: "names are as in Istio" },
      { path: "outboundClusterStatName", note: "names are as in Istio" },
      { path: "extensionProviders", note: "no provider is asked yet" },
      { path: "defaultProviders", note: "no provider is asked yet" },
      { path: "ingressClass", note: "Ingress is not read" },
      { path: "ingressService", note: "Ingress is not read" },
      { path: "ingressControllerMode", note: "Ingress is not read" },
      { path: "ingressSelector", note: "Ingress is not read" },
      ...proxyDefaults.map((name) => ({ path: `defaultConfig.${name}`, note: "use the sidecar's flags" })),
    ],
  ],
  ["MeshDefaults", []],
  ["LocalRateLimit", [{ path: "key.maxKeys", note: "the sidecar keeps the 1000 used last, Envoy its own number" }]],
  ["PeerAuthentication", []],
  [
    "AuthorizationPolicy",
    [
      { path: "targetRef", note: "the policy applies to no workload: use selector" },
      { path: "targetRefs", note: "the policy applies to no workload: use selector" },
      { path: "action", values: ["CUSTOM"], note: "no provider is asked: what the policy selects is denied" },
      { path: "provider.name", note: "no provider is asked: what the policy selects is denied", level: "info" },
      {
        path: "rules[].from[].source.requestPrincipals",
        note: "tokens are not read yet, so the rule does not match",
        inResources: true,
      },
      { path: "rules[].from[].source.notRequestPrincipals", note: "tokens are not read yet", inResources: true },
    ],
  ],
  ["Service", [{ path: "trafficDistribution", note: "use a DestinationRule with localityLbSetting" }]],
  ["Endpoints", []],
  ["EndpointSlice", []],
  ["Secret", []],
]);
