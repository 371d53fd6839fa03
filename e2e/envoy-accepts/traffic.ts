/** Traffic rules that use every field of VirtualService, Gateway and Sidecar, for a mesh with services of every protocol. */

const port = (name: string, number: number): string => `{ name: ${name}, port: ${number}, targetPort: 8080 }`;

const service = (name: string, ip: string, ports: string, namespace = "default"): string => `
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { clusterIP: ${ip}, ports: [${ports}] }
---
apiVersion: v1
kind: Endpoints
metadata: { name: ${name}, namespace: ${namespace} }
subsets: [{ addresses: [{ ip: 10.1.0.1 }, { ip: 10.1.0.2 }], ports: [{ name: x, port: 8080 }] }]
`;

export const services = [
  service("web", "10.96.0.1", port("http", 80)),
  service("catalog", "10.96.0.2", `${port("http", 80)}, ${port("grpc", 9000)}`),
  service("plain", "10.96.0.3", port("unnamed", 80)),
  service("db", "10.96.0.4", port("tcp", 5432)),
  service("sql", "10.96.0.5", port("mysql", 3306)),
  service("secure", "10.96.0.6", port("https", 443)),
  service("headless", "None", `${port("tcp", 7000)}, ${port("http", 80)}`),
  service("web", "10.96.1.1", port("http", 80), "shop"),
  `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside }
spec:
  hosts: [api.example.com, "*.wild.example.com"]
  ports: [{ number: 443, name: tls, protocol: TLS }, { number: 80, name: http, protocol: HTTP }]
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ranges }
spec:
  hosts: [ranges.example.com]
  addresses: [10.200.0.0/16, 10.201.0.1]
  ports: [{ number: 9999, name: tcp, protocol: TCP }]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: addressless }
spec:
  hosts: [mail.example.com]
  ports: [{ number: 2525, name: tcp, protocol: TCP }]
  resolution: DNS
`,
].join("");

/** A rule for each thing a route can match or do. */
export const routes = `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: catalog }
spec:
  host: catalog
  trafficPolicy: { loadBalancer: { consistentHash: { httpCookie: { name: user, ttl: 1h, path: /, attributes: [{ name: SameSite, value: Lax }] } } } }
  subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 }, trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: x-user } } } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: catalog }
spec:
  hosts: [catalog, virtual.example.com, "*.wild.example.com"]
  http:
    - name: everything
      match:
        - name: exact
          uri: { exact: /a }
          ignoreUriCase: true
          scheme: { exact: http }
          method: { regex: "GET|POST" }
          authority: { prefix: cat }
          headers: { here: {}, star: { regex: "*" }, x-one: { exact: "1" }, x-two: { prefix: "2" }, x-three: { regex: "3.*" } }
          withoutHeaders: { gone: {}, x-four: { regex: "4.*" } }
          queryParams: { q: { exact: "1" }, there: {}, r: { regex: "r+" } }
          statPrefix: everything
        - uri: { regex: "/items/[0-9]+" }
          headers: { "@request.auth.claims.group": { exact: admins } }
      route:
        - destination: { host: catalog, subset: v1, port: { number: 80 } }
          weight: 90
          headers: { request: { set: { x-set: a, Host: inner }, add: { x-add: b }, remove: [x-gone] }, response: { set: { y: z } } }
        - { destination: { host: catalog, subset: v2, port: { number: 80 } }, weight: 10 }
        - { destination: { host: web }, weight: 0 }
      timeout: 5s
      retries: { attempts: 3, perTryTimeout: 1s, retryOn: "5xx,reset,503,gateway-error", backoff: 10ms, retryRemoteLocalities: true, retryIgnorePreviousHosts: false }
      fault: { delay: { fixedDelay: 1s, percentage: { value: 0.1 } }, abort: { grpcStatus: UNAVAILABLE, percentage: { value: 100 } } }
      mirrors: [{ destination: { host: web }, percentage: { value: 12.5 } }, { destination: { host: plain, port: { number: 80 } } }]
      corsPolicy: { allowOrigins: [{ exact: "https://a" }, { prefix: "https://b" }, { regex: ".*c" }], allowMethods: [GET], allowHeaders: [x], exposeHeaders: [y], maxAge: 1h, allowCredentials: true, unmatchedPreflights: IGNORE }
      headers: { request: { set: { ":authority": outer } } }
    - match: [{ uri: { prefix: /old } }]
      redirect: { prefixRewrite: /new, authority: other.example.com, redirectCode: 308, derivePort: FROM_REQUEST_PORT }
    - match: [{ uri: { prefix: /moved } }]
      redirect: { uri: /here, scheme: https, port: 8443, redirectCode: 303 }
    - match: [{ uri: { prefix: /say } }]
      directResponse: { status: 418, body: { string: teapot } }
    - match: [{ uri: { prefix: /bytes } }]
      directResponse: { status: 200, body: { bytes: aGVsbG8= } }
    - match: [{ uri: { prefix: /rewrite } }]
      rewrite: { uri: /, authority: inner.example.com }
      route: [{ destination: { host: catalog, port: { number: 80 } } }]
      fault: { delay: { percent: 5, fixedDelay: 10ms }, abort: { httpStatus: 503 } }
      mirror: { host: web }
    - match: [{ uri: { prefix: /regex } }]
      rewrite: { uriRegexRewrite: { match: "^/regex/([^/]+)", rewrite: '/\\1' } }
      route: [{ destination: { host: web } }]
      retries: {}
    - match: [{ port: 9000 }, { sourceLabels: { app: nobody } }, { sourceNamespace: other }, { gateways: [mesh] , uri: { prefix: /m } }]
      route: [{ destination: { host: catalog } }]
    - route: [{ destination: { host: catalog, port: { number: 80 } } }]
    - route: [{ destination: { host: web } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: catalog-again }
spec: { hosts: [catalog], http: [{ route: [{ destination: { host: web } }] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: plain }
spec:
  hosts: [plain]
  http: [{ match: [{ uri: { prefix: /shop } }], delegate: { name: shop, namespace: shop } }, { delegate: { name: nobody } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop, namespace: shop }
spec: { http: [{ match: [{ uri: { prefix: /shop/cart } }], route: [{ destination: { host: web } }] }, { match: [{ uri: { prefix: /x } }], route: [{ destination: { host: web } }] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: connections }
spec:
  hosts: [db, ranges.example.com, secure, api.example.com, "*.wild.example.com", mail.example.com]
  tcp:
    - match: [{ destinationSubnets: [10.200.1.0/24, 10.200.2.7], port: 9999 }]
      route: [{ destination: { host: db, port: { number: 5432 } }, weight: 30 }, { destination: { host: mail.example.com }, weight: 70 }]
    - match: [{ port: 5432, sourceLabels: { app: nobody } }]
      route: [{ destination: { host: mail.example.com } }]
  tls:
    - match: [{ sniHosts: [api.example.com], port: 443 }, { sniHosts: ["*.wild.example.com"], destinationSubnets: [10.9.0.0/16] }]
      route: [{ destination: { host: secure, port: { number: 443 } }, weight: 1 }, { destination: { host: api.example.com, port: { number: 443 } }, weight: 3 }]
    - match: [{ sniHosts: [api.example.com] }]
      route: [{ destination: { host: secure } }]
`;

const files = { chain: "CERTIFICATE_FILE", key: "KEY_FILE", roots: "ROOTS_FILE" };

/** Servers of every protocol and TLS mode, several to a port. */
export const gateways = `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  selector: { istio: edge }
  servers:
    - { port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"], tls: { httpsRedirect: true } }
    - { port: { number: 80, name: http-2, protocol: HTTP2 }, hosts: [default/open.example.com] }
    - { port: { number: 443, name: simple, protocol: HTTPS }, hosts: ["*.example.com"], name: simple, tls: { mode: SIMPLE, credentialName: edge-cert } }
    - port: { number: 443, name: mutual, protocol: HTTPS }
      hosts: [./mutual.example.com]
      tls: { mode: MUTUAL, serverCertificate: ${files.chain}, privateKey: ${files.key}, caCertificates: ${files.roots}, subjectAltNames: [client.example.com, "spiffe://a/b"], minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384, NO-SUCH-CIPHER] }
    - port: { number: 443, name: optional, protocol: HTTPS }
      hosts: [optional.example.com]
      tls: { mode: OPTIONAL_MUTUAL, credentialNames: [edge-cert], insecureSkipVerify: true }
    - { port: { number: 443, name: pass, protocol: TLS }, hosts: [pass.example.com], tls: { mode: PASSTHROUGH } }
    - { port: { number: 443, name: taken, protocol: HTTPS }, hosts: [mutual.example.com], tls: { mode: SIMPLE, credentialName: edge-cert } }
    - { port: { number: 443, name: lost, protocol: HTTPS }, hosts: [lost.example.com], tls: { mode: SIMPLE, credentialName: no-such-secret } }
    - { port: { number: 6379, name: ended, protocol: TLS }, hosts: [ended.example.com], tls: { mode: SIMPLE, serverCertificate: ${files.chain}, privateKey: ${files.key} } }
    - { port: { number: 5432, name: tcp, protocol: TCP }, hosts: ["*"] }
    - { port: { number: 5432, name: conflict, protocol: HTTP }, hosts: ["*"] }
    - { port: { number: 8443, name: mesh, protocol: HTTPS }, hosts: ["*"], tls: { mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/default/sa/web"] } }
    - { port: { number: 15443, name: auto, protocol: TLS }, hosts: ["*.local"], tls: { mode: AUTO_PASSTHROUGH } }
---
apiVersion: v1
kind: Secret
metadata: { name: edge-cert, namespace: default }
type: kubernetes.io/tls
data: { tls.crt: CERTIFICATE_DATA, tls.key: KEY_DATA, ca.crt: ROOTS_DATA }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: edge }
spec:
  hosts: ["*.example.com"]
  gateways: [edge]
  http:
    - { match: [{ uri: { prefix: /a }, gateways: [edge] }], route: [{ destination: { host: catalog, port: { number: 80 } } }] }
    - { route: [{ destination: { host: web } }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: edge-too }
spec:
  hosts: [shop.example.com, mutual.example.com]
  gateways: [edge]
  http: [{ match: [{ uri: { prefix: /b } }], redirect: { derivePort: FROM_PROTOCOL_DEFAULT, uri: /c } }, { route: [{ destination: { host: catalog } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: edge-connections }
spec:
  hosts: [pass.example.com, ended.example.com, "*.example.com"]
  gateways: [edge]
  tls:
    - { match: [{ sniHosts: [pass.example.com], port: 443 }], route: [{ destination: { host: secure } }] }
    - { match: [{ sniHosts: [pass.example.com] }], route: [{ destination: { host: db } }] }
  tcp:
    - { match: [{ port: 6379 }, { port: 5432 }], route: [{ destination: { host: db }, weight: 1 }, { destination: { host: sql }, weight: 2 }] }
`;

/** One Sidecar with listeners of its own, one for everybody else. */
export const sidecars = `
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: own }
spec:
  workloadSelector: { labels: { app: own } }
  ingress:
    - { port: { number: 9080, name: http, protocol: HTTP }, defaultEndpoint: "127.0.0.1:8080", connectionPool: { tcp: { maxConnections: 5 } } }
    - { port: { number: 9081, name: tcp, protocol: TCP }, defaultEndpoint: "unix:///tmp/app.sock", captureMode: NONE, bind: 127.0.0.1 }
    - { port: { number: 9443, name: https, protocol: HTTPS }, defaultEndpoint: "0.0.0.0:8443", tls: { mode: SIMPLE, serverCertificate: ${files.chain}, privateKey: ${files.key} } }
  egress:
    - { port: { number: 5432, name: db, protocol: TCP }, hosts: [./db.default.svc.cluster.local] }
    - { port: { number: 8081, name: shop, protocol: HTTP }, bind: 127.0.0.2, captureMode: NONE, hosts: [shop/*] }
    - { hosts: ["./*", "*/*.example.com", "~./plain.default.svc.cluster.local"] }
  outboundTrafficPolicy: { mode: REGISTRY_ONLY }
  inboundConnectionPool: { http: { http1MaxPendingRequests: 7 } }
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default }
spec: { egress: [{ hosts: ["./*", "shop/*"] }], outboundTrafficPolicy: { mode: ALLOW_ANY, egressProxy: { host: web.default.svc.cluster.local, port: { number: 80 } } } }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: own }
spec: { selector: { matchLabels: { app: own } }, portLevelMtls: { 9443: { mode: DISABLE } } }
`;
