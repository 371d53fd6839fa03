/** Objects that use every field of DestinationRule, ServiceEntry, MeshConfig and EnvoyFilter that reaches a stock Envoy. */

const object = (kind: string, name: string, spec: string, more = ""): string => `
---
apiVersion: networking.istio.io/v1
kind: ${kind}
metadata: { name: ${name}${more} }
spec: ${spec}
`;

const entry = (name: string, spec: string): string => object("ServiceEntry", name, spec);

const ports =
  "ports: [{ number: 80, name: http }, { number: 81, name: grpc }, { number: 82, name: tcp }, { number: 83, name: unnamed }, { number: 84, name: https }]";
const endpoints = `endpoints: [
  { address: 10.1.0.1, locality: eu/a/1, weight: 2, labels: { version: v1 }, serviceAccount: one },
  { address: 10.1.0.2, locality: eu/b/1, labels: { version: v2 } }, { address: 10.1.0.3, locality: us/a/1 },
  { address: "unix:///tmp/x.sock", labels: { version: v1 } }]`;

export const services = [
  entry("as-dialled", `{ hosts: [dialled.example], addresses: [10.50.0.0/16], ${ports} }`),
  entry(
    "fixed",
    `{ hosts: [fixed.example], location: MESH_INTERNAL, resolution: STATIC, ${ports}, ${endpoints}, subjectAltNames: [spiffe://x/y] }`,
  ),
  entry(
    "looked-up",
    `{ hosts: [dns.example], resolution: DNS, ${ports}, endpoints: [{ address: a.example, locality: eu/a }, { address: b.example, locality: us/a }] }`,
  ),
  entry("looked-up-alone", `{ hosts: [alone.example], resolution: DNS, ${ports} }`),
  entry("one-name", `{ hosts: [one.example], resolution: DNS_ROUND_ROBIN, ${ports} }`),
  entry(
    "every-name",
    `{ hosts: ["*.every.example"], resolution: DYNAMIC_DNS, ports: [{ number: 80, name: http }, { number: 443, name: tls }] }`,
  ),
  entry(
    "every-name-tls",
    `{ hosts: ["*.secure.example"], resolution: DYNAMIC_DNS, ports: [{ number: 80, name: http }] }`,
  ),
  entry(
    "every-name-insecure",
    `{ hosts: ["*.trusting.example"], resolution: DYNAMIC_DNS, ports: [{ number: 80, name: http }] }`,
  ),
  entry("wild", `{ hosts: ["*.wild.example"], ${ports} }`),
].join("");

const hosts = ["dialled.example", "fixed.example", "dns.example", "alone.example", "one.example"];

/** Policies, each of which goes to every kind of service. */
const policies = [
  "{ loadBalancer: { simple: ROUND_ROBIN, warmup: { duration: 30s, minimumPercent: 5, aggression: 2 } } }",
  "{ loadBalancer: { simple: LEAST_REQUEST, warmupDurationSecs: 10s } }",
  "{ loadBalancer: { simple: RANDOM } }",
  "{ loadBalancer: { simple: PASSTHROUGH } }",
  "{ loadBalancer: { consistentHash: { httpHeaderName: x-user, ringHash: { minimumRingSize: 2048 } } } }",
  "{ loadBalancer: { consistentHash: { httpCookie: { name: user, ttl: 0s, path: / }, maglev: { tableSize: 997 } } } }",
  "{ loadBalancer: { consistentHash: { useSourceIp: true } } }",
  "{ loadBalancer: { consistentHash: { httpQueryParameterName: user } } }",
  '{ loadBalancer: { localityLbSetting: { distribute: [{ from: "eu/*", to: { "eu/a/*": 80, "us/*": 20 } }] } } }',
  "{ outlierDetection: {}, loadBalancer: { localityLbSetting: { failover: [{ from: eu, to: us }] } } }",
  "{ outlierDetection: {}, loadBalancer: { localityLbSetting: { failoverPriority: [version, topology.istio.io/network] } } }",
  "{ outlierDetection: {}, loadBalancer: { zoneAwareLbSetting: { minClusterSize: 1, failover: [{ from: eu, to: us }] } } }",
  "{ loadBalancer: { zoneAwareLbSetting: { enabled: false } } }",
  `{ connectionPool: { tcp: { maxConnections: 1, connectTimeout: 1s, tcpKeepalive: { probes: 3, time: 1s, interval: 1s },
     maxConnectionDuration: 1h, idleTimeout: 0s }, http: { http1MaxPendingRequests: 1, http2MaxRequests: 1,
     maxRequestsPerConnection: 1, maxRetries: 1, idleTimeout: 1s, maxConcurrentStreams: 1, http2KeepAlive: { interval: 1s, timeout: 1s } } } }`,
  "{ connectionPool: { http: { h2UpgradePolicy: UPGRADE } } }",
  "{ connectionPool: { http: { useClientProtocol: true } }, retryBudget: { percent: 30, minRetryConcurrency: 2 } }",
  `{ outlierDetection: { consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, interval: 1s, baseEjectionTime: 1s, maxEjectionPercent: 100,
     minHealthPercent: 40, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2 } }`,
  "{ tls: { mode: DISABLE } }",
  "{ tls: { mode: SIMPLE } }",
  "{ tls: { mode: SIMPLE, sni: other.example, subjectAltNames: [a.example, 10.0.0.1, spiffe://x/y] } }",
  "{ tls: { mode: SIMPLE, insecureSkipVerify: true } }",
  "{ tls: { mode: SIMPLE, credentialName: secret } }",
  "{ tls: { mode: MUTUAL, credentialName: secret } }",
  "{ tls: { mode: ISTIO_MUTUAL, sni: other.example } }",
  "{ tunnel: { targetHost: proxy.example, targetPort: 443 }, proxyProtocol: { version: V2 }, tls: { mode: SIMPLE } }",
  "{ tunnel: { protocol: POST, targetHost: 2001:db8::1, targetPort: 443 }, proxyProtocol: {} }",
  "{ portLevelSettings: [{ port: { number: 80 }, tls: { mode: SIMPLE } }, { port: { number: 82 }, connectionPool: { tcp: { idleTimeout: 5s } } }] }",
];

const wildcards = [
  object("DestinationRule", "every-tls", '{ host: "*.secure.example", trafficPolicy: { tls: { mode: SIMPLE } } }'),
  object(
    "DestinationRule",
    "every-insecure",
    '{ host: "*.trusting.example", trafficPolicy: { tls: { mode: SIMPLE, insecureSkipVerify: true } } }',
  ),
].join("");

const selector = ", workloadSelector: { matchLabels: { app: web } }";

/** One mesh for each policy. */
export const meshes: readonly string[] = policies.map(
  (policy) =>
    services +
    wildcards +
    hosts
      .map((host, i) =>
        object(
          "DestinationRule",
          `rule-${i}`,
          `{ host: ${host}, trafficPolicy: ${policy}, subsets: [{ name: v1, labels: { version: v1 } }]${policy.includes("credentialName") ? selector : ""} }`,
        ),
      )
      .join(""),
);

export const meshConfig = `
---
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: { name: istio, namespace: istio-system }
spec:
  accessLogFile: /dev/null
  accessLogEncoding: JSON
  connectTimeout: 2s
  protocolDetectionTimeout: 1s
  dnsRefreshRate: 10s
  h2UpgradePolicy: UPGRADE
  pathNormalization: { normalization: DECODE_AND_MERGE_SLASHES }
  tcpKeepalive: { probes: 2, time: 10s, interval: 5s }
  outboundTrafficPolicy: { mode: REGISTRY_ONLY }
  defaultTrafficPolicy: { connectionPool: { tcp: { maxConnections: 100 } }, outlierDetection: { interval: 5s } }
`;

const manager = "{ filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } }";

export const patches = `
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: all }
spec:
  configPatches:
    - applyTo: HTTP_FILTER
      match: { listener: ${manager} }
      patch:
        operation: ADD
        value:
          name: envoy.filters.http.lua
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
            default_source_code: { inline_string: "function envoy_on_request(handle) end" }
    - applyTo: HTTP_FILTER
      match: { context: SIDECAR_INBOUND, listener: ${manager} }
      patch:
        operation: INSERT_FIRST
        value:
          name: envoy.filters.http.local_ratelimit
          typed_config:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value: { stat_prefix: rate, token_bucket: { max_tokens: 5, tokens_per_fill: 5, fill_interval: 1s } }
    - applyTo: NETWORK_FILTER
      match: { listener: ${manager} }
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            max_request_headers_kb: 96
            common_http_protocol_options: { idle_timeout: 30s }
    - applyTo: CLUSTER
      match: { cluster: { service: fixed.example } }
      patch: { operation: MERGE, value: { dns_lookup_family: V4_ONLY, per_connection_buffer_limit_bytes: 32768 } }
    - applyTo: CLUSTER
      patch:
        operation: ADD
        value: { name: mine, type: STRICT_DNS, connect_timeout: 1s, load_assignment: { cluster_name: mine, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: mine.example, port_value: 80 } } } }] }] } }
    - applyTo: VIRTUAL_HOST
      match: { routeConfiguration: { vhost: { name: "fixed.example:80" } } }
      patch: { operation: MERGE, value: { rate_limits: [{ actions: [{ remote_address: {} }] }] } }
    - applyTo: HTTP_ROUTE
      match: { routeConfiguration: { vhost: { name: "fixed.example:80" } } }
      patch: { operation: INSERT_FIRST, value: { name: mine, match: { prefix: /mine }, route: { cluster: mine } } }
    - applyTo: LISTENER
      match: { context: SIDECAR_OUTBOUND }
      patch: { operation: MERGE, value: { per_connection_buffer_limit_bytes: 65536 } }
    - applyTo: FILTER_CHAIN
      match: { context: SIDECAR_INBOUND }
      patch: { operation: MERGE, value: { transport_socket_connect_timeout: 3s } }
`;
