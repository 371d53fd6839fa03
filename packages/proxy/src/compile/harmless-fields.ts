/**
 * Every field of Envoy's API that is accepted without effect, by message, and why that does no harm. A field that is
 * neither used nor listed here is refused.
 */
const none: readonly string[] = [];

export const harmlessFields: ReadonlyMap<string, readonly string[]> = new Map([
  // Whether clusters exist is decided per request (clusterNotFoundResponseCode); the others only name or bound.
  ["RouteConfiguration", ["validateClusters", "metadata"]],
  // Virtual clusters only count.
  ["VirtualHost", ["metadata", "virtualClusters"]],
  // Tracing names and statistics prefixes; nothing of how a request is treated.
  ["Route", ["decorator", "tracing", "statPrefix"]],
  ["WeightedCluster", ["runtimeKeyPrefix"]],
  ["ClusterWeight", none],
  // Early data never reaches us (no 0-RTT); what else it says is used.
  ["RouteAction", ["earlyDataPolicy"]],
  ["MirrorPolicy", ["traceSampled"]],
  // There is no runtime layer: the default value always holds.
  ["RuntimeFractionalPercent", ["runtimeKey"]],
  ["RuntimeDouble", ["runtimeKey"]],
  // The engine and program size limits of RE2 are ours.
  ["RegexMatcher", ["googleRe2"]],
  ["Cluster", ["trackTimeoutBudgets", "trackClusterStats", "connectionPoolPerDownstreamConnection"]],
  // Connection pools are bounded by connections.
  ["CircuitBreakerThresholds", ["maxConnectionPools"]],
  // No route names the host it wants.
  ["CommonLbConfig", ["overrideHostStatus"]],
  ["UpstreamConnectionOptions", ["setLocalInterfaceNameOnUpstreamConnections"]],
  // Client session caching is off; key usage is checked by OpenSSL.
  ["UpstreamTlsContext", ["maxSessionKeys", "enforceRsaKeyUsage", "allowRenegotiation"]],
  // No session is ever resumed, so that what forbids, feeds or ends resumption changes nothing.
  [
    "DownstreamTlsContext",
    [
      "disableStatelessSessionResumption",
      "disableStatefulSessionResumption",
      "sessionTimeout",
      "sessionTicketKeys",
      "sessionTicketKeysSdsSecretConfig",
    ],
  ],
  ["CertificateValidationContext", ["watchedDirectory", "maxVerifyDepth"]],
  ["TlsCertificate", ["watchedDirectory"]],
  // Codec limits of ours hold instead; they bound the same things.
  [
    "Http2ProtocolOptions",
    [
      "hpackTableSize",
      "initialStreamWindowSize",
      "initialConnectionWindowSize",
      "allowConnect",
      "maxOutboundFrames",
      "maxOutboundControlFrames",
      "maxConsecutiveInboundFramesWithEmptyPayload",
      "maxInboundPriorityFramesPerStream",
      "maxInboundWindowUpdateFramesPerDataFrameSent",
      "streamErrorOnInvalidHttpMessaging",
      "overrideStreamErrorOnInvalidHttpMessage",
      "useOghttp2Codec",
    ],
  ],
  [
    "Http1ProtocolOptions",
    [
      "allowAbsoluteUrl",
      "acceptHttp10",
      "defaultHostForHttp10",
      "enableTrailers",
      "allowChunkedLength",
      "overrideStreamErrorOnInvalidHttpMessage",
      "useBalsaParser",
      "allowCustomMethods",
    ],
  ],
  ["CommonHttpProtocolOptions", ["maxHeadersCount", "headersWithUnderscoresAction"]],
  ["ClusterLoadAssignment", ["namedEndpoints"]],
  ["ClusterLoadAssignmentPolicy", none],
  ["LocalityLbEndpoints", ["metadata", "proximity"]],
  ["LbEndpoint", none],
  ["HappyEyeballsConfig", none],
  ["Endpoint", none],
  // What the fault filter reads from Envoy's runtime layer.
  [
    "HTTPFault",
    [
      "delayPercentRuntime",
      "abortPercentRuntime",
      "delayDurationRuntime",
      "abortHttpStatusRuntime",
      "maxActiveFaultsRuntime",
      "responseRateLimitPercentRuntime",
      "abortGrpcStatusRuntime",
      "disableDownstreamClusterStats",
      "filterMetadata",
    ],
  ],
  ["Router", ["dynamicStats", "startChildSpan", "suppressGrpcRequestFailureCodeStats"]],
  ["CorsPolicy", ["shadowEnabled"]],
  ["RBAC", ["trackPerRuleStats"]],
  // A request is decided once, at its first byte, in either mode: the connection's attributes do not change.
  ["NetworkRBAC", ["enforcementType"]],
  // Audit loggers observe; none is built in.
  ["RBACRules", ["auditLoggingOptions"]],
  ["AccessLog", ["name"]],
  ["SubstitutionFormatString", ["contentType", "formatters", "jsonFormatOptions"]],
  // Spans are not made; a listener drains as long as the process lets it; whoever asks for a stricter
  // reading of malformed messages gets the strictest anyway.
  [
    "HttpConnectionManager",
    [
      "tracing",
      "drainTimeout",
      "requestIdExtension",
      "accessLogOptions",
      "addUserAgent",
      "streamErrorOnInvalidHttpMessage",
      "proxyStatusConfig",
    ],
  ],
  // Where routes come from is the discovery client's business.
  ["Rds", ["configSource"]],
  // Balancing over threads and socket options tune how, not what; UDP is told apart by its address.
  [
    "Listener",
    [
      "metadata",
      "connectionBalanceConfig",
      "reusePort",
      "enableReusePort",
      "socketOptions",
      "tcpFastOpenQueueLength",
      "tcpBacklogSize",
      "deprecatedV1",
      "transparent",
      "freebind",
      "enableMptcp",
      "maxConnectionsToAcceptPerSocketEvent",
    ],
  ],
  ["FilterChain", ["metadata"]],
  // Resumption is off whatever they say.
  [
    "DownstreamTlsContext",
    [
      "disableStatelessSessionResumption",
      "disableStatefulSessionResumption",
      "sessionTimeout",
      "ocspStaplePolicy",
      "fullScanCertsOnSniMismatch",
      "preferClientCiphers",
    ],
  ],
  // Envoy has no use for them either: one idle timeout holds for both sides.
  ["TcpProxy", ["downstreamIdleTimeout", "upstreamIdleTimeout"]],
  // What answered a tunnel stands in no log line of ours.
  ["TunnelingConfig", ["propagateResponseHeaders", "propagateResponseTrailers"]],
]);
