import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeResource } from "@weft/xds/codec";
import { resourceTypes } from "@weft/xds/resource";
import type { MeshSettings } from "../model/mesh-settings.ts";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const catalog = {
  service: "catalog",
  id: "a",
  port: 9001,
  portName: "http",
  servicePort: 80,
  serviceAccount: "catalog",
};
const name = "outbound|80||catalog.default.svc.cluster.local";

const clusterOf = (
  yaml: string,
  options: { readonly proxy?: Record<string, unknown>; readonly mesh?: Partial<MeshSettings> } = {},
) => {
  const mesh = testMesh({ yaml, instances: [catalog], ...(options.mesh ? { mesh: options.mesh } : {}) });
  const cluster = mesh.generator.generate(testProxy(options.proxy)).resources.cluster.get(name);
  assert.ok(cluster);
  return cluster;
};

const rule = (policy: string) => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: catalog }
spec: { host: catalog, trafficPolicy: ${policy} }
`;

/** A transport socket's TLS context, loosely typed: tests read what Envoy would. */
const tlsOf = (socket: { readonly typedConfig?: object } | undefined) =>
  (socket?.typedConfig as { commonTlsContext?: Record<string, unknown>; sni?: string; "@type"?: string } | undefined) ??
  {};

test("a cluster has Istio's name, defaults, metadata and automatic mTLS", () => {
  const { transportSocketMatches, ...cluster } = clusterOf("");
  assert.deepEqual(cluster, {
    name,
    altStatName: `${name};`,
    type: "EDS",
    edsClusterConfig: {
      edsConfig: { ads: {}, initialFetchTimeout: "0s", resourceApiVersion: "V3" },
      serviceName: name,
    },
    lbPolicy: "LEAST_REQUEST",
    commonLbConfig: { healthyPanicThreshold: { value: 0 } },
    connectTimeout: "10s",
    circuitBreakers: {
      thresholds: [
        {
          maxConnections: 4294967295,
          maxPendingRequests: 4294967295,
          maxRequests: 4294967295,
          maxRetries: 4294967295,
          trackRemaining: true,
        },
      ],
    },
    metadata: {
      filterMetadata: {
        istio: { services: [{ host: "catalog.default.svc.cluster.local", name: "catalog", namespace: "default" }] },
      },
    },
  });
  const [istio, disabled] = transportSocketMatches ?? [];
  assert.deepEqual(
    [istio?.name, istio?.match, disabled?.name, disabled?.match],
    ["tlsMode-istio", { tlsMode: "istio" }, "tlsMode-disabled", {}],
  );
  assert.equal(disabled?.transportSocket?.name, "envoy.transport_sockets.raw_buffer");
  const { commonTlsContext, sni } = tlsOf(istio?.transportSocket);
  assert.equal(sni, "outbound_.80_._.catalog.default.svc.cluster.local");
  assert.deepEqual(commonTlsContext?.alpnProtocols, ["istio-peer-exchange", "istio"]);
  assert.deepEqual(commonTlsContext?.combinedValidationContext, {
    defaultValidationContext: {
      matchTypedSubjectAltNames: [
        { sanType: "URI", matcher: { exact: "spiffe://cluster.local/ns/default/sa/catalog" } },
      ],
    },
    validationContextSdsSecretConfig: {
      name: "ROOTCA",
      sdsConfig: {
        apiConfigSource: {
          apiType: "GRPC",
          transportApiVersion: "V3",
          setNodeOnFirstMessageOnly: true,
          grpcServices: [{ envoyGrpc: { clusterName: "sds-grpc" } }],
        },
        initialFetchTimeout: "0s",
        resourceApiVersion: "V3",
      },
    },
  });
});

test("a stock Envoy gets TLS only with an SDS cluster, which it names, and ALPN that the server's HTTP chain matches", () => {
  const stock = { WEFT_VERSION: undefined };
  assert.equal(clusterOf("", { proxy: stock }).transportSocketMatches, undefined);
  const { transportSocketMatches } = clusterOf("", { proxy: { ...stock, WEFT_SDS: "keys" } });
  const { commonTlsContext } = tlsOf(transportSocketMatches?.[0]?.transportSocket);
  assert.deepEqual(commonTlsContext?.alpnProtocols, ["istio-http/1.1", "istio", "http/1.1"]);
  assert.match(JSON.stringify(commonTlsContext), /"clusterName":"keys"/);
});

test("a DestinationRule's limits, outlier detection and HTTP options become the cluster's", () => {
  const cluster = clusterOf(
    rule(`{
    connectionPool: {
      tcp: { maxConnections: 7, connectTimeout: 30ms, tcpKeepalive: { time: 1500ms } },
      http: { http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRetries: 4, maxRequestsPerConnection: 5, idleTimeout: 9s } },
    outlierDetection: { consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100, minHealthPercent: 10 },
    retryBudget: { percent: 25 } }`),
  );
  assert.deepEqual(cluster.circuitBreakers?.thresholds?.[0], {
    maxConnections: 7,
    maxPendingRequests: 2,
    maxRequests: 3,
    maxRetries: 4,
    trackRemaining: true,
    retryBudget: { budgetPercent: { value: 25 }, minRetryConcurrency: 3 },
  });
  assert.equal(cluster.connectTimeout, "0.030s");
  assert.deepEqual(cluster.outlierDetection, {
    consecutive5xx: 0,
    enforcingConsecutive5xx: 0,
    consecutiveGatewayFailure: 2,
    enforcingConsecutiveGatewayFailure: 100,
    interval: "1s",
    baseEjectionTime: "180s",
    maxEjectionPercent: 100,
    enforcingSuccessRate: 0,
  });
  assert.deepEqual(cluster.commonLbConfig, { healthyPanicThreshold: { value: 10 } });
  assert.deepEqual(cluster.upstreamConnectionOptions, { tcpKeepalive: { keepaliveTime: 2 } });
  assert.deepEqual(Object.values(cluster.typedExtensionProtocolOptions ?? {}), [
    {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      commonHttpProtocolOptions: { idleTimeout: "9s", maxRequestsPerConnection: 5 },
      explicitHttpConfig: { httpProtocolOptions: {} },
    },
  ]);
});

test("a port's settings replace all of the policy; a subset's override block by block", () => {
  const mesh = testMesh({
    instances: [catalog, { ...catalog, id: "b", port: 9002, servicePort: 81, portName: "http-two" }],
    yaml: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: catalog }
spec:
  host: catalog
  trafficPolicy:
    loadBalancer: { simple: RANDOM }
    outlierDetection: { interval: 1s }
    portLevelSettings: [{ port: { number: 81 }, loadBalancer: { simple: ROUND_ROBIN } }]
  subsets:
    - { name: v1, labels: { version: v1 }, trafficPolicy: { loadBalancer: { consistentHash: { useSourceIp: true, maglev: { tableSize: 101 } } } } }
`,
  });
  const { cluster } = mesh.generator.generate(testProxy()).resources;
  const of = (port: number, subset: string) =>
    cluster.get(`outbound|${port}|${subset}|catalog.default.svc.cluster.local`);
  assert.deepEqual([of(80, "")?.lbPolicy, of(80, "")?.outlierDetection?.interval], ["RANDOM", "1s"]);
  assert.deepEqual([of(81, "")?.lbPolicy, of(81, "")?.outlierDetection], ["ROUND_ROBIN", undefined]);
  assert.deepEqual(
    [of(80, "v1")?.lbPolicy, of(80, "v1")?.maglevLbConfig, of(80, "v1")?.outlierDetection?.interval],
    ["MAGLEV", { tableSize: "101" }, "1s"],
  );
  assert.deepEqual(of(80, "v1")?.metadata?.filterMetadata?.istio?.subset, "v1");
  assert.equal(
    of(80, "")?.metadata?.filterMetadata?.istio?.config,
    "/apis/networking.istio.io/v1/namespaces/default/destination-rule/catalog",
  );
});

test("TLS as a DestinationRule asks: DISABLE without a mode, ISTIO_MUTUAL always, SIMPLE towards others", () => {
  for (const tls of ["{ mode: DISABLE }", "{ sni: x }"]) {
    const { transportSocket, transportSocketMatches } = clusterOf(rule(`{ tls: ${tls} }`));
    assert.deepEqual([transportSocket, transportSocketMatches], [undefined, undefined], tls);
  }
  const mutual = clusterOf(
    rule("{ tls: { mode: ISTIO_MUTUAL, sni: other, subjectAltNames: [spiffe://x/ns/a/sa/b] } }"),
  );
  assert.equal(mutual.transportSocketMatches, undefined);
  assert.equal(tlsOf(mutual.transportSocket).sni, "other");
  assert.match(JSON.stringify(mutual.transportSocket), /spiffe:\/\/x\/ns\/a\/sa\/b/);
  const simple = clusterOf(rule("{ tls: { mode: SIMPLE, caCertificates: /ca.pem } }"));
  assert.match(JSON.stringify(simple.transportSocket), /"trustedCa":\{"filename":"\/ca.pem"\}/);
  const named = (fields: string): string =>
    JSON.stringify(clusterOf(rule(`{ tls: { mode: SIMPLE, ${fields} } }`)).transportSocket);
  assert.match(named("subjectAltNames: [10.0.0.1]"), /"sanType":"IP_ADDRESS","matcher":\{"exact":"10.0.0.1"\}/);
  assert.doesNotMatch(named("insecureSkipVerify: true"), /matchTypedSubjectAltNames/);
  assert.equal(clusterOf("", { mesh: { enableAutoMtls: false } }).transportSocketMatches, undefined);
});

test("TLS to a server outside the mesh asks for its name unless the rule names others or leaves the check out", () => {
  const sansOf = (fields: string): readonly unknown[] | undefined => {
    const mesh = testMesh({
      yaml: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: bank }
spec: { hosts: [api.bank.example], resolution: DNS, ports: [{ number: 443, name: tls }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: bank }
spec: { host: api.bank.example, trafficPolicy: { tls: { mode: SIMPLE${fields} } } }
`,
    });
    const { cluster } = mesh.generator.generate(testProxy()).resources;
    const text = JSON.stringify(cluster.get("outbound|443||api.bank.example"));
    return [...text.matchAll(/"matcher":\{"exact":"([^"]*)"\}/g)].map(([, name]) => name);
  };
  assert.deepEqual(sansOf(""), ["api.bank.example"]);
  assert.deepEqual(sansOf(", sni: other.bank.example"), ["other.bank.example"]);
  assert.deepEqual(sansOf(", subjectAltNames: [a.example]"), ["a.example"]);
  assert.deepEqual(sansOf(", insecureSkipVerify: true"), []);
});

test("services found by DNS carry their names; headless and NONE go where the client dialled; UDP nowhere", () => {
  const mesh = testMesh({
    yaml: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: dns }
spec: { hosts: [api.example.com], resolution: DNS, ports: [{ number: 443, name: tls }], endpoints: [{ address: a.example.com, ports: { tls: 8443 } }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: bare }
spec: { hosts: [bare.example.com], resolution: DNS_ROUND_ROBIN, ports: [{ number: 443, name: tls }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: none }
spec: { hosts: ["*.example.org"], resolution: NONE, ports: [{ number: 443, name: tls }] }
---
apiVersion: v1
kind: Service
metadata: { name: dns }
spec: { ports: [{ name: dns, port: 53, protocol: UDP }] }
`,
  });
  const { cluster, endpoints } = mesh.generator.generate(testProxy()).resources;
  const dns = cluster.get("outbound|443||api.example.com");
  assert.deepEqual([dns?.type, dns?.transportSocketMatches], ["STRICT_DNS", undefined]);
  assert.match(JSON.stringify(dns?.loadAssignment), /"address":"a.example.com","portValue":8443/);
  const bare = cluster.get("outbound|443||bare.example.com");
  assert.match(
    JSON.stringify([bare?.type, bare?.loadAssignment]),
    /LOGICAL_DNS.*"address":"bare.example.com","portValue":443/,
  );
  assert.deepEqual(
    [cluster.get("outbound|443||*.example.org")?.type, cluster.get("outbound|443||*.example.org")?.lbPolicy],
    ["ORIGINAL_DST", "CLUSTER_PROVIDED"],
  );
  assert.equal(cluster.has("outbound|53||dns.default.svc.cluster.local"), false);
  assert.equal(endpoints.size, 0);
});

test("endpoints carry weight, locality, mTLS capability, draining, ill health and the workload's name", () => {
  const mesh = testMesh({
    instances: [
      {
        ...catalog,
        weight: 3,
        locality: "eu/a/1",
        labels: { version: "v1", app: "catalog" },
        metadata: { workload: "catalog-v1" },
      },
      { ...catalog, id: "b", address: "10.0.0.2", serviceAccount: "", health: "draining" },
      { ...catalog, id: "c", address: "10.0.0.3", health: "unhealthy" },
    ],
  });
  assert.deepEqual(mesh.generator.generate(testProxy()).resources.endpoints.get(name), {
    clusterName: name,
    endpoints: [
      {
        locality: {},
        lbEndpoints: [
          {
            endpoint: { address: { socketAddress: { address: "10.0.0.2", portValue: 9001 } } },
            healthStatus: "DRAINING",
            metadata: { filterMetadata: { istio: { workload: "b;default;b;;" } } },
            loadBalancingWeight: 1,
          },
          {
            endpoint: { address: { socketAddress: { address: "10.0.0.3", portValue: 9001 } } },
            healthStatus: "UNHEALTHY",
            metadata: {
              filterMetadata: {
                "envoy.transport_socket_match": { tlsMode: "istio" },
                istio: { workload: "c;default;c;;" },
              },
            },
            loadBalancingWeight: 1,
          },
        ],
        loadBalancingWeight: 2,
      },
      {
        locality: { region: "eu", zone: "a", subZone: "1" },
        lbEndpoints: [
          {
            endpoint: { address: { socketAddress: { address: "10.0.0.1", portValue: 9001 } } },
            metadata: {
              filterMetadata: {
                "envoy.transport_socket_match": { tlsMode: "istio" },
                istio: { workload: "catalog-v1;default;catalog;v1;" },
              },
            },
            loadBalancingWeight: 3,
          },
        ],
        loadBalancingWeight: 3,
      },
    ],
  });
});

const localities = (policy: string, proxyLocality: string, labels: Record<string, string> = {}) => {
  const places = ["eu/a/1", "eu/a/2", "eu/b/1", "us/a/1", "asia/a/1"];
  const mesh = testMesh({
    yaml: rule(policy),
    instances: places.map((locality, i) => ({
      ...catalog,
      id: `i${i}`,
      address: `10.0.0.${i + 1}`,
      locality,
      labels: { n: String(i % 2) },
    })),
  });
  const proxy = { ...testProxy({ LABELS: labels }), locality: proxyLocality };
  return Object.fromEntries(
    (mesh.generator.generate(proxy).resources.endpoints.get(name)?.endpoints ?? []).map(
      ({ locality, priority, loadBalancingWeight }) => [
        `${locality?.region}/${locality?.zone}/${locality?.subZone} ${priority ?? 0}`,
        loadBalancingWeight,
      ],
    ),
  );
};

test("with outlier detection the near come first, without gaps; without it nearness does not matter", () => {
  const outliers = "outlierDetection: { interval: 1s }";
  const flat = { "asia/a/1 0": 1, "eu/a/1 0": 1, "eu/a/2 0": 1, "eu/b/1 0": 1, "us/a/1 0": 1 };
  assert.deepEqual(localities("{}", "eu/a/1"), flat);
  assert.deepEqual(localities(`{ ${outliers} }`, ""), flat);
  assert.deepEqual(localities(`{ ${outliers} }`, "eu/a/1"), {
    "eu/a/1 0": 1,
    "eu/a/2 1": 1,
    "eu/b/1 2": 1,
    "asia/a/1 3": 1,
    "us/a/1 3": 1,
  });
  const failover = `{ ${outliers}, loadBalancer: { localityLbSetting: { failover: [{ from: eu, to: us }] } } }`;
  assert.deepEqual(localities(failover, "eu/b/9"), {
    "eu/b/1 0": 1,
    "eu/a/1 1": 1,
    "eu/a/2 1": 1,
    "us/a/1 2": 1,
    "asia/a/1 3": 1,
  });
  const off = `{ ${outliers}, loadBalancer: { localityLbSetting: { enabled: false } } }`;
  assert.deepEqual(localities(off, "eu/a/1"), flat);
  const byLabel = `{ ${outliers}, loadBalancer: { localityLbSetting: { failoverPriority: [n] } } }`;
  assert.deepEqual(localities(byLabel, "", { n: "1" }), {
    "eu/a/2 0": 1,
    "us/a/1 0": 1,
    "asia/a/1 1": 1,
    "eu/a/1 1": 1,
    "eu/b/1 1": 1,
  });
});

test("distribute gives the shares it names and nothing to others", () => {
  const policy =
    '{ loadBalancer: { localityLbSetting: { distribute: [{ from: "eu/*", to: { "eu/a/*": 70, "us/a/1": 30 } }] } } }';
  assert.deepEqual(localities(policy, "eu/b/1"), { "eu/a/1 0": 35, "eu/a/2 0": 35, "us/a/1 0": 30 });
});

test("everything generated for every kind of proxy is valid protobuf", () => {
  const mesh = testMesh({
    yaml: `${kubernetesService("kube", { ip: "10.96.0.1", port: 80 })}${kubernetesService("db", { ip: "10.96.0.2", port: 5432, portName: "tcp" })}${kubernetesService("any", { ip: "10.96.0.3", port: 7000, portName: "x" })}`,
    instances: [catalog],
    mesh: { accessLogFile: "/dev/stdout" },
  });
  const inbound = [{ port: 9001, appPort: 3000, protocol: "http" }, { port: 9003, protocol: "tcp" }, { port: 9004 }];
  const proxies = [
    testProxy({ WEFT_INBOUND: inbound }),
    testProxy({ WEFT_INBOUND: JSON.stringify(inbound), WEFT_VERSION: undefined, WEFT_SDS: "sds" }),
    testProxy({ INTERCEPTION_MODE: "REDIRECT" }, "sidecar~10.1.0.1~kube.default~x"),
    testProxy({ INTERCEPTION_MODE: "TPROXY" }, "sidecar~10.1.0.1~kube.default~x"),
    testProxy({}, "router~10.1.0.1~gw.default~x"),
    testProxy({ GENERATOR: "grpc" }, "anything"),
  ];
  for (const proxy of proxies) {
    const { resources } = mesh.generator.generate(proxy);
    for (const { kind } of resourceTypes) {
      for (const [key, json] of resources[kind]) {
        assert.ok(encodeResource(kind, json as never).length > 0, `${proxy.id} ${kind} ${key}`);
      }
    }
  }
});
