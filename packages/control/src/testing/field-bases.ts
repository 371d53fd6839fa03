/** Objects into which fields are written one at a time: for each kind, the surroundings its fields need to mean something. */

type Spec = Readonly<Record<string, unknown>>;

const host = "app.default.svc.cluster.local";
const to = { route: [{ destination: { host } }] };
const rule = (fields: Spec, more: Spec = {}): Spec => ({ hosts: [host], http: [{ ...to, ...fields }], ...more });
const atEdge = (fields: Spec): Spec => ({
  hosts: ["site.example"],
  gateways: ["default/edge"],
  http: [{ ...to, ...fields }],
});

const virtualService: readonly Spec[] = [
  rule({}),
  rule({ match: [{ uri: { prefix: "/x" } }] }),
  rule({ match: [{ headers: { "x-a": { exact: "1" } } }] }),
  rule({ retries: { attempts: 2 } }),
  rule({ fault: { delay: { fixedDelay: "1s", percentage: { value: 10 } } } }),
  rule({ fault: { delay: { fixedDelay: "1s" } } }),
  rule({ fault: { abort: { httpStatus: 500, percentage: { value: 10 } } } }),
  rule({ mirror: { host } }),
  rule({ corsPolicy: { allowOrigins: [{ exact: "https://a.example" }] } }),
  rule({ rewrite: { authority: "b.example" }, match: [{ uri: { prefix: "/x" } }] }),
  rule({ rewrite: { uriRegexRewrite: { match: "a", rewrite: "b" } } }),
  rule({
    route: [
      { destination: { host, subset: "v1" }, weight: 50 },
      { destination: { host }, weight: 50 },
    ],
  }),
  { hosts: [host], http: [{ redirect: { uri: "/y" } }] },
  { hosts: [host], http: [{ redirect: { uri: "/y", port: 80 } }] },
  { hosts: [host], http: [{ match: [{ uri: { prefix: "/x" } }], redirect: { prefixRewrite: "/y" } }] },
  { hosts: [host], http: [{ directResponse: { status: 200, body: { string: "a" } } }] },
  { hosts: [host], http: [{ delegate: { name: "inner" } }] },
  atEdge({ match: [{ gateways: ["default/edge"] }] }),
  {
    hosts: ["secure.example", "a.secure.example"],
    tls: [
      { match: [{ sniHosts: ["secure.example"], port: 443 }], route: [{ destination: { host: "secure.example" } }] },
    ],
  },
  {
    hosts: ["secure.example"],
    tls: [
      {
        match: [{ sniHosts: ["secure.example"] }],
        route: [
          { destination: { host: "secure.example" }, weight: 50 },
          { destination: { host }, weight: 50 },
        ],
      },
    ],
  },
  { hosts: [host], tcp: [{ match: [{ port: 3306 }], route: [{ destination: { host, port: { number: 3306 } } }] }] },
  {
    hosts: [host],
    tcp: [
      {
        route: [
          { destination: { host, port: { number: 3306 } }, weight: 50 },
          { destination: { host: "kube.default.svc.cluster.local" }, weight: 50 },
        ],
      },
    ],
  },
];

const policies: readonly Spec[] = [
  {},
  { loadBalancer: { consistentHash: { httpHeaderName: "x-a" } } },
  { loadBalancer: { consistentHash: { httpCookie: { name: "c", ttl: "5s" } } } },
  { loadBalancer: { simple: "ROUND_ROBIN", warmup: { duration: "10s" } } },
  {
    loadBalancer: { localityLbSetting: { failover: [{ from: "r1", to: "r2" }] } },
    outlierDetection: { interval: "5s" },
  },
  { loadBalancer: { localityLbSetting: { failoverPriority: ["version"] } }, outlierDetection: { interval: "5s" } },
  { loadBalancer: { localityLbSetting: { distribute: [{ from: "r1/*", to: { "r2/*": 100 } }] } } },
  {
    loadBalancer: { zoneAwareLbSetting: { failover: [{ from: "r1", to: "r2" }] } },
    outlierDetection: { interval: "5s" },
  },
  { loadBalancer: { zoneAwareLbSetting: { failoverPriority: ["rack"] } }, outlierDetection: { interval: "5s" } },
  { outlierDetection: { splitExternalLocalOriginErrors: true } },
  { connectionPool: { http: { h2UpgradePolicy: "UPGRADE" } } },
  { connectionPool: { tcp: { tcpKeepalive: { probes: 3 } } } },
  { tls: { mode: "MUTUAL", clientCertificate: "/c", privateKey: "/k", caCertificates: "/ca" } },
  { tls: { mode: "SIMPLE", caCertificates: "/ca" } },
  { tls: { mode: "SIMPLE" } },
  { tunnel: { targetHost: "t.example", targetPort: 443 } },
];
const blocks = ({ tunnel: _, ...rest }: Spec): Spec => rest;
const inPort = (policy: Spec): Spec => ({ portLevelSettings: [{ port: { number: 80 }, ...blocks(policy) }] });
const subset = (trafficPolicy: Spec): Spec => ({
  host,
  subsets: [{ name: "v1", labels: { version: "v2" }, trafficPolicy }],
});

/** Where a DestinationRule has policies, in the order in which each policy is put there below. */
const places = [
  "trafficPolicy",
  "trafficPolicy.portLevelSettings[]",
  "subsets[].trafficPolicy",
  "subsets[].trafficPolicy.portLevelSettings[]",
];

const everywhere = (policy: Spec): readonly Spec[] => [
  { host, trafficPolicy: policy },
  { host, trafficPolicy: inPort(policy) },
  subset(policy),
  subset(inPort(policy)),
];

/** Some settings act only on ports declared as HTTP/2. */
const inHttp2Port: Spec = { portLevelSettings: [{ port: { number: 90 }, connectionPool: {} }] };

/** Sidecars read a Secret only for a rule that selects them. */
const selected = { workloadSelector: { matchLabels: { app: "web" } } };
const destinationRule: readonly Spec[] = [
  ...policies.flatMap(everywhere),
  ...[{ host, trafficPolicy: {} }, { host, trafficPolicy: inHttp2Port }, subset({}), subset(inHttp2Port)],
  ...everywhere({ tls: { mode: "SIMPLE", credentialName: "cert" } }).map((spec) => ({ ...spec, ...selected })),
];

const ports = [{ number: 80, name: "http", protocol: "HTTP" }];
const entry = (fields: Spec): Spec => ({ hosts: ["other.example"], ports, ...fields });
const serviceEntry: readonly Spec[] = [
  entry({ resolution: "STATIC", location: "MESH_INTERNAL", endpoints: [{ address: "10.3.0.1" }] }),
  entry({ resolution: "DNS" }),
  entry({ resolution: "NONE", addresses: ["10.9.1.1"] }),
  entry({ hosts: ["*.other.example"], resolution: "NONE" }),
  entry({ resolution: "STATIC", location: "MESH_INTERNAL", workloadSelector: { labels: { app: "app" } } }),
  entry({
    resolution: "STATIC",
    location: "MESH_INTERNAL",
    endpoints: [{ address: "10.3.0.1", serviceAccount: "x" }, { address: "10.3.0.2" }],
  }),
];

const server = (fields: Spec, protocol = "HTTPS"): Spec => ({
  selector: { istio: "edge" },
  servers: [{ port: { number: 8443, name: "p", protocol }, hosts: ["*/site.example"], ...fields }],
});
const files = { serverCertificate: "/c", privateKey: "/k", caCertificates: "/ca" };
const gateway: readonly Spec[] = [
  server({ tls: { mode: "MUTUAL", tlsCertificates: [files] } }),
  server({}, "HTTP"),
  server({ tls: { httpsRedirect: true } }, "HTTP"),
  server({ tls: { mode: "SIMPLE", ...files } }),
  server({ tls: { mode: "MUTUAL", ...files } }),
  server({ tls: { mode: "SIMPLE", credentialName: "cert" } }),
  server({ tls: { mode: "MUTUAL", credentialName: "cert" } }),
  server({
    tls: { mode: "SIMPLE", tlsCertificates: [{ serverCertificate: "/c", privateKey: "/k", caCertificates: "/ca" }] },
  }),
];

const egress = [{ hosts: ["*/*"] }];
const ingress = [{ port: { number: 7001, protocol: "HTTP", name: "http" }, defaultEndpoint: "127.0.0.1:7000" }];
const workloadSelector = { labels: { app: "app" } };
const plain = { labels: { tier: "plain" } };
const secure = { ...ingress[0], port: { number: 7001, protocol: "HTTPS", name: "https" } };
const inH2 = { ...ingress[0], port: { number: 7001, protocol: "HTTP2", name: "http2" } };
const sidecar: readonly Spec[] = [
  { workloadSelector: plain, ingress: [{ ...secure, tls: { mode: "SIMPLE", ...files } }] },
  { workloadSelector: plain, ingress: [{ ...secure, tls: { mode: "MUTUAL", ...files } }] },
  { workloadSelector, ingress: [inH2] },
  { egress: [{ hosts: ["./*"] }] },
  { egress: [{ port: { number: 80, protocol: "HTTP", name: "http" }, hosts: ["./*"] }, ...egress] },
  {
    egress: [
      { port: { number: 6000, protocol: "TCP", name: "tcp" }, bind: "127.0.0.3", captureMode: "NONE", hosts: ["./*"] },
    ],
  },
  { workloadSelector, ingress },
  {
    workloadSelector,
    ingress: [
      { ...ingress[0], port: { number: 7001, protocol: "HTTPS", name: "https" }, tls: { mode: "SIMPLE", ...files } },
    ],
  },
  { workloadSelector, ingress: [{ ...ingress[0], connectionPool: { http: { h2UpgradePolicy: "UPGRADE" } } }] },
  { workloadSelector, egress, inboundConnectionPool: { tcp: { maxConnections: 5 } } },
  { egress, outboundTrafficPolicy: { mode: "ALLOW_ANY" } },
];

const patch = (applyTo: string, match: Spec, value: Spec, operation = "MERGE"): Spec => ({
  configPatches: [{ applyTo, match, patch: { operation, value } }],
});
const cluster = `outbound|80||${host}`;
const fault = {
  name: "envoy.filters.http.fault",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault" },
};
const manager = "envoy.filters.network.http_connection_manager";
const atGateway = { context: "GATEWAY", routeConfiguration: { portNumber: 8080 } };
const envoyFilter: readonly Spec[] = [
  patch("VIRTUAL_HOST", atGateway, { include_request_attempt_count: true }),
  patch("CLUSTER", { context: "SIDECAR_OUTBOUND" }, { connect_timeout: "3s" }),
  patch("CLUSTER", { cluster: { name: cluster } }, { connect_timeout: "3s" }),
  patch("LISTENER", { context: "SIDECAR_INBOUND" }, { per_connection_buffer_limit_bytes: 5000 }),
  patch("ROUTE_CONFIGURATION", { context: "SIDECAR_OUTBOUND" }, { max_direct_response_body_size_bytes: 5000 }),
  patch("VIRTUAL_HOST", { context: "SIDECAR_OUTBOUND" }, { include_request_attempt_count: true }),
  patch("HTTP_ROUTE", { context: "SIDECAR_OUTBOUND" }, { response_headers_to_remove: ["x-z"] }),
  patch("FILTER_CHAIN", { context: "SIDECAR_INBOUND" }, { transport_socket_connect_timeout: "9s" }),
  patch(
    "NETWORK_FILTER",
    { listener: { filterChain: { filter: { name: manager } } } },
    { typed_config: { server_name: "x" } },
  ),
  patch(
    "HTTP_FILTER",
    {
      context: "SIDECAR_INBOUND",
      listener: { filterChain: { filter: { name: manager, subFilter: { name: "envoy.filters.http.router" } } } },
    },
    fault,
    "INSERT_BEFORE",
  ),
  patch("HTTP_FILTER", { context: "SIDECAR_INBOUND" }, fault, "ADD"),
  patch(
    "LISTENER_FILTER",
    { context: "SIDECAR_INBOUND", listener: { listenerFilter: "envoy.filters.listener.tls_inspector" } },
    { name: "x" },
    "REMOVE",
  ),
];

const source = (fields: Spec): Spec => ({ rules: [{ from: [{ source: fields }] }] });
const operation = (fields: Spec): Spec => ({ rules: [{ to: [{ operation: fields }] }] });
const authorizationPolicy: readonly Spec[] = [
  {},
  { rules: [{}] },
  source({ namespaces: ["default"] }),
  source({}),
  operation({ methods: ["GET"] }),
  { rules: [{ when: [{ key: "source.ip", values: ["10.0.0.1"] }] }] },
  { action: "DENY", rules: [{}] },
];

const bucket = { maxTokens: 10, fillInterval: "1s" };

/** By kind; each object is tried in turn until one shows the field's effect. */
export const fieldBases: ReadonlyMap<string, readonly Spec[]> = new Map([
  ["VirtualService", virtualService],
  ["DestinationRule", destinationRule],
  ["ServiceEntry", serviceEntry],
  [
    "WorkloadEntry",
    [
      { address: "10.3.0.9", labels: { app: "entry" } },
      { address: "10.3.0.9", labels: { app: "entry" }, serviceAccount: "x" },
    ],
  ],
  ["WorkloadGroup", [{ template: {} }, { template: {}, probe: { httpGet: { port: 80 } } }]],
  ["Sidecar", sidecar],
  ["Gateway", gateway],
  ["EnvoyFilter", envoyFilter],
  ["ProxyConfig", [{}]],
  [
    "MeshConfig",
    [
      {},
      { defaultHttpRetryPolicy: { attempts: 3 } },
      {
        localityLbSetting: { failover: [{ from: "r1", to: "r2" }] },
        defaultTrafficPolicy: { outlierDetection: { interval: "5s" } },
      },
      {
        zoneAwareLbSetting: { failover: [{ from: "r1", to: "r2" }] },
        defaultTrafficPolicy: { outlierDetection: { interval: "5s" } },
      },
      { serviceEntryVisibility: { defaultVisibility: "NAMESPACE", applyToSidecars: true } },
      { accessLogFile: "/dev/stdout" },
      { defaultTrafficPolicy: { outlierDetection: { splitExternalLocalOriginErrors: true } } },
    ],
  ],
  ["MeshDefaults", [{}, { hedging: { enabled: true } }, { adaptiveConcurrency: { enabled: true } }]],
  ["LocalRateLimit", [{ bucket }, { side: "outbound", bucket }, { bucket, per: "key", key: { header: "x-a" } }]],
  [
    "PeerAuthentication",
    [
      {},
      { selector: { matchLabels: { app: "app" } }, portLevelMtls: { "8080": { mode: "STRICT" } } },
      { mtls: { mode: "STRICT" } },
    ],
  ],
  ["AuthorizationPolicy", authorizationPolicy],
]);

/**
 * The objects to try for a field: of a DestinationRule only those that have the field's place, as each place is tried with
 * every policy.
 */
export const basesFor = (kind: string, name: string): readonly Spec[] => {
  const all = fieldBases.get(kind) ?? [];
  const place =
    kind === "DestinationRule" ? /^(.*trafficPolicy(?:\.portLevelSettings\[\])?)\./.exec(name)?.[1] : undefined;
  return place === undefined ? all : all.filter((_, index) => places[index % places.length] === place);
};
