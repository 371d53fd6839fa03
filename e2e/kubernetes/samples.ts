/** One object or more of each kind, as users of Istio write them. */
import { parseAllDocuments } from "yaml";

const text = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews.prod.svc.cluster.local]
  gateways: [mesh, prod/edge]
  http:
    - name: beta
      match:
        - uri: {prefix: /beta}
          headers: {x-user: {exact: jason}}
          sourceLabels: {app: web}
      rewrite: {uri: /}
      route:
        - destination: {host: reviews, subset: v2, port: {number: 9080}}
          weight: 75
        - destination: {host: reviews, subset: v3}
          weight: 25
      timeout: 3.5s
      retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx,reset"}
      fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}}
      corsPolicy: {allowOrigins: [{exact: "https://a.example"}], maxAge: 24h}
      mirror: {host: shadow}
      mirrorPercentage: {value: 10}
  tcp:
    - match: [{port: 3306}]
      route: [{destination: {host: mysql}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  exportTo: ["."]
  trafficPolicy:
    loadBalancer:
      consistentHash: {httpCookie: {name: user, ttl: 0s}}
      localityLbSetting: {enabled: true, failover: [{from: eu, to: us}]}
    connectionPool:
      tcp: {maxConnections: 100, connectTimeout: 30ms, tcpKeepalive: {time: 7200s, interval: 75s}}
      http: {http2MaxRequests: 1000, maxRequestsPerConnection: 10, h2UpgradePolicy: UPGRADE}
    outlierDetection: {consecutive5xxErrors: 7, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 40}
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: LEAST_REQUEST}}]
  subsets: [{name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external}
spec:
  hosts: [api.example.com]
  addresses: [192.0.2.0/24]
  ports: [{number: 443, name: https, protocol: TLS}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{address: 192.0.2.1, ports: {https: 8443}, labels: {version: v1}, locality: eu/a, weight: 5}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-1}
spec: {address: 10.0.0.1, labels: {app: vm}, serviceAccount: vm, ports: {http: 8080}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vm}
spec:
  metadata: {labels: {app: vm}}
  template: {serviceAccount: vm, ports: {http: 8080}}
  probe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 5}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 443, name: https, protocol: HTTPS}
      hosts: ["prod/*.example.com"]
      tls: {mode: SIMPLE, credentialName: edge, minProtocolVersion: TLSV1_2}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  workloadSelector: {labels: {app: web}}
  ingress: [{port: {number: 9080, protocol: HTTP, name: http}, defaultEndpoint: "127.0.0.1:8080"}]
  egress: [{hosts: ["./*", "istio-system/*"]}]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: cache}
spec:
  workloadSelector: {labels: {app: web}}
  configPatches:
    - applyTo: HTTP_FILTER
      match: {context: SIDECAR_INBOUND, listener: {portNumber: 8080, filterChain: {filter: {name: a}}}}
      patch:
        operation: INSERT_BEFORE
        value: {name: b, typed_config: {"@type": type.googleapis.com/x, deep: {anything: [1, two]}}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}, concurrency: 0, environmentVariables: {A: b}, image: {imageType: distroless}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}, selector: {matchLabels: {app: web}}, portLevelMtls: {"8080": {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web}
spec:
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/a/sa/b], ipBlocks: [10.0.0.0/8]}}]
      to: [{operation: {methods: [GET], paths: ["/info*"]}}]
      when: [{key: "request.auth.claims[iss]", values: [https://a.example]}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: web}
spec: {jwtRules: [{issuer: a, jwksUri: "https://a.example/keys", fromHeaders: [{name: x-jwt, prefix: "Bearer "}]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: default}
spec:
  accessLogging: [{providers: [{name: envoy}], filter: {expression: "response.code >= 400"}}]
  metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true}]}]
  tracing: [{randomSamplingPercentage: 10.5}]
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: any}
spec: {url: "oci://a/b", pluginConfig: {a: [1]}, phase: AUTHN}
---
apiVersion: weft.dev/v1alpha1
kind: LocalRateLimit
metadata: {name: web}
spec: {side: inbound, bucket: {maxTokens: 10, tokensPerFill: 5, fillInterval: 1s}}
---
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default}
spec: {}
---
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {enablePrometheusMerge: true, outboundTrafficPolicy: {mode: ALLOW_ANY}, defaultConfig: {concurrency: 2}}
`;

export const samples: readonly Readonly<Record<string, unknown>>[] = parseAllDocuments(text).map(
  (document) => document.toJS() as Readonly<Record<string, unknown>>,
);
