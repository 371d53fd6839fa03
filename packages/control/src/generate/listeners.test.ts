import assert from "node:assert/strict";
import { test } from "node:test";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const inbound = (protocol: string) => ({
  WEFT_INBOUND: [{ address: "127.0.0.1", port: 9001, appPort: 3000, protocol, name: protocol }],
});

const mode = (text: string) => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: ${text} } }
`;

/** `alpn,…/transport→http|tcp[+TLS]` of each chain, as Istio's table is written. */
const shape = (chain: FilterChainJson): string => {
  const alpn = chain.filterChainMatch?.applicationProtocols?.join(",") ?? "–";
  const last = chain.filters?.at(-1)?.name === "envoy.filters.network.tcp_proxy" ? "tcp" : "http";
  return `${alpn}/${chain.filterChainMatch?.transportProtocol ?? "–"}→${last}${chain.transportSocket ? "+TLS" : ""}`;
};

const listenerOf = (yaml: string, metadata: Record<string, unknown>, name = "127.0.0.1_9001") => {
  const { resources, notes } = testMesh({ yaml }).generator.generate(testProxy(metadata));
  const listener = resources.listener.get(name);
  assert.ok(listener, [...resources.listener.keys()].join());
  return { listener, resources, notes };
};

const meshHttp = "istio-http/1.0,istio-http/1.1,istio-h2";
const anyMesh = `istio,istio-peer-exchange,${meshHttp}`;

test("inbound chains follow Istio's table of mode and protocol", () => {
  const table: readonly (readonly [string, string, readonly string[]])[] = [
    [
      "PERMISSIVE",
      "",
      [
        `${meshHttp}/tls→http+TLS`,
        "http/1.1,h2c/raw_buffer→http",
        "istio-peer-exchange,istio/tls→tcp+TLS",
        "–/raw_buffer→tcp",
        "–/tls→tcp",
      ],
    ],
    ["PERMISSIVE", "http", [`${anyMesh}/tls→http+TLS`, "–/raw_buffer→http"]],
    ["PERMISSIVE", "grpc", [`${anyMesh}/tls→http+TLS`, "–/raw_buffer→http"]],
    ["PERMISSIVE", "tcp", [`${anyMesh}/tls→tcp+TLS`, "–/tls→tcp", "–/raw_buffer→tcp"]],
    ["STRICT", "", [`${meshHttp}/tls→http+TLS`, "–/tls→tcp+TLS"]],
    ["STRICT", "http", ["–/tls→http+TLS"]],
    ["STRICT", "mysql", ["–/tls→tcp+TLS"]],
    ["DISABLE", "", ["http/1.1,h2c/raw_buffer→http", "–/–→tcp"]],
    ["DISABLE", "http", ["–/–→http"]],
    ["DISABLE", "tcp", ["–/–→tcp"]],
  ];
  for (const [tls, protocol, chains] of table) {
    const { listener } = listenerOf(mode(tls), inbound(protocol));
    assert.deepEqual(listener.filterChains?.map(shape), chains, `${tls} ${protocol}`);
    const inspectors = listener.listenerFilters?.map(({ name }) => name?.split(".").at(-1)) ?? [];
    const expected = protocol === "" ? ["tls_inspector", "http_inspector"] : tls === "DISABLE" ? [] : ["tls_inspector"];
    assert.deepEqual(inspectors, expected, `${tls} ${protocol}`);
  }
});

test("explicit mode: the listener dials the application; its cluster, route and filters are Istio's", () => {
  const { listener, resources } = listenerOf("", inbound("http"));
  assert.deepEqual(
    [listener.trafficDirection, listener.address],
    ["INBOUND", { socketAddress: { address: "127.0.0.1", portValue: 9001 } }],
  );
  const cluster = resources.cluster.get("inbound|3000||");
  assert.match(JSON.stringify(cluster?.loadAssignment), /"address":"127.0.0.1","portValue":3000/);
  const manager = listener.filterChains?.[0]?.filters?.at(-1)?.typedConfig as Record<string, unknown>;
  assert.deepEqual(
    (manager.httpFilters as { name: string }[]).map(({ name }) => name),
    [
      "istio.metadata_exchange",
      "envoy.filters.http.grpc_stats",
      "envoy.filters.http.fault",
      "envoy.filters.http.cors",
      "istio.stats",
      "envoy.filters.http.router",
    ],
  );
  assert.deepEqual([manager.forwardClientCertDetails, manager.serverName], ["APPEND_FORWARD", "istio-envoy"]);
  assert.match(
    JSON.stringify(manager.routeConfig),
    /"name":"inbound\|3000\|\|".*"retryOn":"reset-before-request","numRetries":2/,
  );
  const outbound = resources.listener.get("127.0.0.1_15001")?.filterChains?.[0]?.filters?.[0]?.typedConfig as Record<
    string,
    unknown
  >;
  assert.deepEqual((outbound.rds as Record<string, unknown>).routeConfigName, "http_proxy");
  assert.ok((outbound.httpFilters as { name: string }[]).some(({ name }) => name === "istio.alpn"));
  const server = listener.filterChains?.[0]?.transportSocket?.typedConfig as Record<string, unknown>;
  assert.equal(server.requireClientCertificate, true);
  assert.match(JSON.stringify(server), /"prefix":"spiffe:\/\/cluster.local\/"/);
});

test("a stock Envoy has none of Istio's filters, and without keys plaintext chains, which is said where STRICT forbids it", () => {
  const { listener, resources, notes } = listenerOf(mode("STRICT"), { ...inbound("http"), WEFT_VERSION: undefined });
  assert.deepEqual(listener.filterChains?.map(shape), ["–/–→http"]);
  assert.deepEqual(
    notes.map(({ code, level }) => [code, level]),
    [["WF7010", "error"]],
  );
  assert.doesNotMatch(JSON.stringify([...resources.listener.values()]), /"name":"istio\./);
});

test("a port of a PeerAuthentication is the application's port, also where the mesh dials another", () => {
  const yaml = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: p }
spec: { selector: { matchLabels: { app: a } }, mtls: { mode: STRICT }, portLevelMtls: { 3000: { mode: DISABLE } } }
`;
  const { listener } = listenerOf(yaml, { ...inbound("http"), LABELS: { app: "a" } });
  assert.deepEqual(listener.filterChains?.map(shape), ["–/–→http"]);
});

test("intercepted mode: virtualInbound tells ports apart, passes on what it does not know, and never calls itself", () => {
  const mesh = testMesh({ yaml: kubernetesService("web", { ip: "10.96.0.1", port: 80 }) });
  const proxy = testProxy(
    { INTERCEPTION_MODE: "REDIRECT" },
    "sidecar~10.1.0.1~web-1.default~default.svc.cluster.local",
  );
  const { resources } = mesh.generator.generate(proxy);
  const listener = resources.listener.get("virtualInbound");
  assert.deepEqual(
    listener?.filterChains?.map(({ name, filterChainMatch }) => [name, filterChainMatch?.destinationPort]),
    [
      ["virtualInbound-blackhole", 15006],
      ["virtualInbound-catchall-http", undefined],
      ["virtualInbound-catchall-http", undefined],
      ["virtualInbound", undefined],
      ["virtualInbound", undefined],
      ["virtualInbound", undefined],
      ["0.0.0.0_8080", 8080],
      ["0.0.0.0_8080", 8080],
    ],
  );
  assert.deepEqual(
    listener?.listenerFilters?.map(({ name }) => name?.split(".").at(-1)),
    ["original_dst", "tls_inspector", "http_inspector"],
  );
  const services = resources.cluster.get("inbound|8080||")?.metadata?.filterMetadata?.istio?.services;
  assert.deepEqual(services, [{ host: "web.default.svc.cluster.local", name: "web", namespace: "default" }]);
  assert.equal(
    resources.cluster.get("InboundPassthroughCluster")?.upstreamBindConfig?.sourceAddress?.address,
    "127.0.0.6",
  );
});

test("intercepted by TPROXY the inbound listener is transparent, and IPv6 has a source of its own to pass on from", () => {
  const mesh = testMesh({ yaml: kubernetesService("web", { ip: "10.96.0.1", port: 80 }) });
  const generated = (facts: Record<string, string>) =>
    mesh.generator.generate(testProxy(facts, "sidecar~10.1.0.1~web-1.default~default.svc.cluster.local")).resources;
  const redirect = generated({ INTERCEPTION_MODE: "REDIRECT" });
  assert.equal(redirect.listener.get("virtualInbound")?.transparent, undefined);
  const tproxy = generated({ INTERCEPTION_MODE: "TPROXY", INSTANCE_IPS: "10.1.0.1,fd00::1" });
  const inbound = tproxy.listener.get("virtualInbound");
  assert.equal(inbound?.transparent, true);
  assert.deepEqual(
    inbound?.additionalAddresses?.map(({ address }) => address?.socketAddress?.address),
    ["::"],
  );
  assert.deepEqual(tproxy.cluster.get("InboundPassthroughCluster")?.upstreamBindConfig, {
    sourceAddress: { address: "127.0.0.6", portValue: 0 },
    extraSourceAddresses: [{ address: { address: "::6", portValue: 0 } }],
  });
});

test("intercepted mode: HTTP shares a listener by port, TCP has one by address, sniffed ports have both", () => {
  const mesh = testMesh({
    yaml:
      kubernetesService("web", { ip: "10.96.0.1", port: 80 }) +
      kubernetesService("api", { ip: "10.96.0.2", port: 80 }) +
      kubernetesService("db", { ip: "10.96.0.3", port: 5432, portName: "tcp" }) +
      kubernetesService("any", { ip: "10.96.0.4", port: 7000, portName: "x" }),
  });
  const { resources } = mesh.generator.generate(testProxy({ INTERCEPTION_MODE: "REDIRECT" }));
  assert.deepEqual([...resources.listener.keys()].sort(), [
    "0.0.0.0_80",
    "10.96.0.3_5432",
    "10.96.0.4_7000",
    "virtualInbound",
    "virtualOutbound",
  ]);
  assert.deepEqual([...resources.route.keys()].sort(), ["80", "any.default.svc.cluster.local:7000"]);
  assert.deepEqual(
    resources.route.get("80")?.virtualHosts?.map(({ name }) => name),
    ["api.default.svc.cluster.local:80", "web.default.svc.cluster.local:80", "allow_any"],
  );
  assert.equal(resources.route.get("80")?.ignorePortInHostMatching, true);
  assert.ok(resources.route.get("80")?.virtualHosts?.[0]?.domains?.includes("10.96.0.2"));
  const shared = resources.listener.get("0.0.0.0_80");
  assert.deepEqual(shared?.metadata?.filterMetadata?.weft, { clientFirst: true }, "every service there says HTTP");
  assert.equal(resources.listener.get("10.96.0.4_7000")?.metadata, undefined);
  assert.deepEqual(
    [shared?.bindToPort, shared?.filterChains?.map(shape), shared?.defaultFilterChain?.name],
    [false, ["http/1.1,h2c/raw_buffer→http"], "PassthroughFilterChain"],
  );
  assert.match(JSON.stringify(resources.listener.get("10.96.0.3_5432")), /"cluster":"outbound\|5432\|\|db\.default/);
  assert.deepEqual(
    [
      resources.listener.get("10.96.0.4_7000")?.filterChains?.map(shape),
      shape(resources.listener.get("10.96.0.4_7000")?.defaultFilterChain ?? {}),
    ],
    [["http/1.1,h2c/raw_buffer→http"], "–/–→tcp"],
  );
  const outbound = resources.listener.get("virtualOutbound");
  assert.deepEqual(
    outbound?.filterChains?.map(({ name, filterChainMatch }) => [name, filterChainMatch?.destinationPort]),
    [
      ["virtualOutbound-blackhole", 15001],
      ["virtualOutbound-catchall-tcp", undefined],
    ],
  );
  assert.equal(outbound?.useOriginalDst, true);
});

test("what is intercepted is taken at IPv6 addresses too where the proxy's machine has one", () => {
  const mesh = testMesh({ yaml: kubernetesService("web", { ip: "10.96.0.1", port: 80 }) });
  const additional = (ips: string): readonly unknown[] => {
    const { resources } = mesh.generator.generate(testProxy({ INTERCEPTION_MODE: "REDIRECT", INSTANCE_IPS: ips }));
    return ["virtualOutbound", "virtualInbound"].map(
      (name) => resources.listener.get(name)?.additionalAddresses?.[0]?.address?.socketAddress?.address,
    );
  };
  assert.deepEqual(additional("10.0.0.1,fd00::1"), ["::", "::"]);
  assert.deepEqual(additional("10.0.0.1"), [undefined, undefined]);
});

test("two services on one port without addresses do not make a listener that Envoy refuses", () => {
  const entry = (name: string, protocol: string) => `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec: { hosts: [${name}.example.com], resolution: DNS, ports: [{ number: 443, name: p, protocol: ${protocol} }] }
`;
  const twins = testMesh({ yaml: entry("a", "TCP") + entry("b", "TCP") }).generator.generate(
    testProxy({ INTERCEPTION_MODE: "REDIRECT" }),
  );
  assert.equal(twins.resources.listener.get("0.0.0.0_443")?.filterChains?.length, 1);
  const mesh = testMesh({ yaml: entry("a", "TCP") + entry("b", "TCP") + entry("c", "TLS") + entry("d", "TLS") });
  const listener = mesh.generator
    .generate(testProxy({ INTERCEPTION_MODE: "REDIRECT" }))
    .resources.listener.get("0.0.0.0_443");
  const matches = listener?.filterChains?.map(({ filterChainMatch }) => JSON.stringify(filterChainMatch));
  assert.equal(new Set(matches).size, matches?.length);
  assert.deepEqual(
    listener?.filterChains?.flatMap(({ filterChainMatch }) => filterChainMatch?.serverNames ?? []),
    ["c.example.com", "d.example.com"],
  );
});

const gateway = (server: string, more = "") => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge }
spec: { selector: { app: ingress }, servers: [${server}] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop }
spec: { hosts: ["shop.example.com"], gateways: [edge], http: [{ route: [{ destination: { host: web } }] }] }
${more}
`;
const edge = (metadata: Record<string, unknown> = {}) =>
  testProxy({ LABELS: { app: "ingress" }, ...metadata }, "router~127.0.0.1~edge.default~default.svc.cluster.local");
const web = { service: "web", id: "w", port: 9001, portName: "http", servicePort: 80 };

test("a gateway listens where its servers say, or where its node maps that port, and routes what is bound to it", () => {
  const server = '{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*.example.com"] }';
  const mesh = testMesh({ yaml: gateway(server), instances: [web] });
  const { resources } = mesh.generator.generate(
    edge({ WEFT_INBOUND: [{ address: "127.0.0.1", port: 18080, appPort: 80 }] }),
  );
  assert.deepEqual([...resources.listener.keys()], ["127.0.0.1_18080"]);
  const table = resources.route.get("http.80");
  assert.deepEqual(
    table?.virtualHosts?.map(({ domains }) => domains),
    [["shop.example.com"]],
  );
  assert.equal(table?.virtualHosts?.[0]?.routes?.[0]?.route?.cluster, "outbound|80||web.default.svc.cluster.local");
  assert.deepEqual(
    [...mesh.generator.generate(edge({ INTERCEPTION_MODE: "REDIRECT" })).resources.listener.keys()],
    ["0.0.0.0_80"],
  );
  const other = mesh.generator.generate(edge({ LABELS: { app: "other" } }));
  assert.deepEqual([other.resources.listener.size, other.resources.route.size], [0, 0]);
});

test("a gateway redirects to HTTPS, ends TLS with files, says when a secret cannot be read, and hides other namespaces' hosts", () => {
  const redirect =
    '{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["shop.example.com"], tls: { httpsRedirect: true } }';
  const secure =
    '{ port: { number: 443, name: https, protocol: HTTPS }, hosts: ["shop.example.com"], tls: { mode: SIMPLE, serverCertificate: /c.pem, privateKey: /k.pem } }';
  const { resources } = testMesh({ yaml: gateway(`${redirect}, ${secure}`), instances: [web] }).generator.generate(
    edge(),
  );
  assert.equal(resources.route.get("http.80")?.virtualHosts?.[0]?.requireTls, "ALL");
  assert.ok(resources.route.has("https.443.https.edge.default"));
  assert.deepEqual(resources.listener.get("127.0.0.1_443")?.filterChains?.[0]?.filterChainMatch?.serverNames, [
    "shop.example.com",
  ]);
  const secret =
    '{ port: { number: 443, name: https, protocol: HTTPS }, hosts: ["*"], tls: { mode: SIMPLE, credentialName: cert } }';
  assert.deepEqual(
    testMesh({ yaml: gateway(secret) })
      .generator.generate(edge())
      .notes.map(({ code }) => code),
    ["WF7011"],
  );
  const foreign = '{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["team/*.example.com"] }';
  const hidden = testMesh({ yaml: gateway(foreign) })
    .generator.generate(edge())
    .resources.route.get("http.80");
  assert.deepEqual(
    hidden?.virtualHosts?.map(({ name, routes }) => [name, routes]),
    [["blackhole:80", undefined]],
  );
});

test("proxyless gRPC: API listeners by every name, routes and clusters gRPC takes, losses noted", () => {
  const mesh = testMesh({
    yaml: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web }
spec: { host: web, trafficPolicy: { loadBalancer: { simple: RANDOM }, outlierDetection: { interval: 1s } }, subsets: [{ name: v2, labels: { version: v2 } }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec: { hosts: [web], http: [{ match: [{ uri: { prefix: /a } }], directResponse: { status: 500 } }, { timeout: 3s, route: [{ destination: { host: web, subset: v2 } }] }] }
`,
    instances: [web],
  });
  const { resources, notes } = mesh.generator.generate(testProxy({ GENERATOR: "grpc" }, "client"));
  assert.ok(resources.listener.has("web:80") && resources.listener.has("web.default.svc.cluster.local:80"));
  assert.match(
    JSON.stringify(resources.listener.get("web:80")),
    /"routeConfigName":"outbound\|80\|\|web\.default\.svc\.cluster\.local"/,
  );
  const routes = resources.route.get("outbound|80||web.default.svc.cluster.local")?.virtualHosts?.[0]?.routes;
  assert.deepEqual(routes, [
    {
      match: { prefix: "/" },
      route: {
        cluster: "outbound|80|v2|web.default.svc.cluster.local",
        maxStreamDuration: { maxStreamDuration: "3s" },
        retryPolicy: { retryOn: "unavailable,cancelled", numRetries: 2 },
      },
    },
  ]);
  const cluster = resources.cluster.get("outbound|80||web.default.svc.cluster.local");
  assert.deepEqual(
    [cluster?.lbPolicy, cluster?.transportSocketMatches, cluster?.outlierDetection],
    ["ROUND_ROBIN", undefined, undefined],
  );
  assert.deepEqual(
    notes.map(({ code }) => code),
    ["WF3011", "WF3012", "WF3013"],
  );
});
