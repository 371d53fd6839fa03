import assert from "node:assert/strict";
import { test } from "node:test";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const other = (name: string, ip: string, port: number): string =>
  kubernetesService(name, { ip, port }).replaceAll("namespace: default", "namespace: shop");

const services =
  kubernetesService("catalog", { ip: "10.96.0.1", port: 80 }) +
  kubernetesService("db", { ip: "10.96.0.2", port: 5432, portName: "tcp" }) +
  other("cart", "10.96.1.1", 80) +
  other("stock", "10.96.1.2", 8080);

const sidecar = (name: string, spec: string, namespace = "default"): string => `
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;

const generate = (yaml: string, metadata: Record<string, unknown> = {}) => {
  const mesh = testMesh({ yaml: services + yaml });
  const proxy = testProxy({ INTERCEPTION_MODE: "REDIRECT", LABELS: { app: "own" }, ...metadata });
  const { resources, notes } = mesh.generator.generate(proxy);
  const outbound = [...resources.cluster.keys()].filter((name) => name.startsWith("outbound|"));
  return {
    mesh,
    proxy,
    resources,
    notes,
    sees: outbound.map((name) => name.split("|")[3]?.split(".").slice(0, 2).join(".")),
    hosts: (table: string) =>
      (resources.route.get(table)?.virtualHosts ?? []).map(({ name }) => name?.replace(".svc.cluster.local", "")),
  };
};

const imports = (hosts: string): string => `{ egress: [{ hosts: ${hosts} }] }`;

test("hosts import by namespace and name; a name after ~ is taken away again; ~/* imports nothing", () => {
  const sees = (hosts: string) => generate(sidecar("s", imports(hosts))).sees;
  assert.deepEqual(sees('["*/*"]'), ["cart.shop", "catalog.default", "db.default", "stock.shop"]);
  assert.deepEqual(sees('["./*"]'), ["catalog.default", "db.default"]);
  assert.deepEqual(sees('["shop/*", "./db.default.svc.cluster.local"]'), ["cart.shop", "db.default", "stock.shop"]);
  assert.deepEqual(sees('["*/stock.shop.svc.cluster.local"]'), ["stock.shop"]);
  assert.deepEqual(sees('["*/*", "~shop/cart.shop.svc.cluster.local"]'), [
    "catalog.default",
    "db.default",
    "stock.shop",
  ]);
  assert.deepEqual(sees('["~/*"]'), []);
});

test("what the mesh keeps in its namespace by default, a Sidecar elsewhere cannot import", () => {
  const mesh = `
---
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: { name: mesh, namespace: istio-system }
spec: { defaultServiceExportTo: ["."] }
`;
  assert.deepEqual(generate(mesh + sidecar("s", imports('["*/*"]'))).sees, ["catalog.default", "db.default"]);
});

test("a workload's own Sidecar counts, then its namespace's, then the root namespace's with the workload's namespace as .", () => {
  const own = sidecar("own", `{ workloadSelector: { labels: { app: own } }, egress: [{ hosts: [shop/*] }] }`);
  const wide = sidecar("wide", imports('["./db.default.svc.cluster.local"]'));
  const mesh = sidecar("mesh", imports('["./*"]'), "istio-system");
  assert.deepEqual(generate(own + wide + mesh).sees, ["cart.shop", "stock.shop"]);
  assert.deepEqual(generate(own + wide + mesh, { LABELS: { app: "x" } }).sees, ["db.default"]);
  assert.deepEqual(generate(own + mesh, { LABELS: { app: "x" } }).sees, ["catalog.default", "db.default"]);
  assert.deepEqual(generate(own + wide + mesh, { NAMESPACE: "shop" }).sees, ["cart.shop", "stock.shop"]);
});

test("of two Sidecars for the same workload the older holds and the other is told", () => {
  const { sees, notes } = generate(sidecar("a", imports('["shop/*"]')) + sidecar("b", imports('["./*"]')));
  assert.deepEqual(sees, ["cart.shop", "stock.shop"]);
  assert.deepEqual(
    notes.map(({ code, name, line }) => [code, name, line > 0]),
    [["WF1536", "b", true]],
  );
});

test("proxies under different Sidecars do not share what they get, those under the same do", () => {
  const yaml = sidecar("own", `{ workloadSelector: { labels: { app: own } }, egress: [{ hosts: [shop/*] }] }`);
  const { mesh } = generate(yaml);
  const at = (labels: Record<string, string>) =>
    mesh.generator.generate(testProxy({ INTERCEPTION_MODE: "REDIRECT", LABELS: labels })).resources.route.get("80");
  assert.notDeepEqual(at({ app: "own" }), at({ app: "other" }));
  assert.equal(at({ app: "own" }), at({ app: "own", more: "x" }));
});

test("a listener with a port has only what it imports there, and no other listener adds to that port", () => {
  const { resources, hosts } = generate(
    sidecar(
      "s",
      `{ egress: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [shop/*] }, { hosts: ["./*"] }] }`,
    ),
  );
  assert.deepEqual(hosts("80"), ["cart.shop:80", "allow_any"]);
  assert.ok(resources.listener.has("10.96.0.2_5432"));
  assert.equal(resources.route.has("8080"), false);
});

test("captureMode NONE and bind give a listener a socket of its own", () => {
  const egress = (fields: string) =>
    generate(
      sidecar(
        "s",
        `{ egress: [{ port: { number: 5432, name: t, protocol: TCP }, hosts: ["./*"]${fields} }, { hosts: [shop/*] }] }`,
      ),
    ).resources.listener;
  assert.equal(egress("").get("10.96.0.2_5432")?.bindToPort, false);
  assert.equal(egress(", captureMode: NONE").get("127.0.0.1_5432")?.bindToPort, undefined);
  assert.equal(egress(", bind: 127.0.0.5").get("127.0.0.5_5432")?.bindToPort, false);
});

test("explicit mode has the listeners with ports beside the proxy's own, and hosts of all that is imported", () => {
  const yaml = sidecar(
    "s",
    `{ egress: [{ port: { number: 5432, name: t, protocol: TCP }, hosts: ["./*"] }, { hosts: [shop/*] }] }`,
  );
  const { resources, hosts } = generate(yaml, { INTERCEPTION_MODE: "NONE" });
  assert.deepEqual([...resources.listener.keys()], ["127.0.0.1_5432", "127.0.0.1_15001"]);
  assert.deepEqual(hosts("http_proxy").slice(1, 4), ["db.default:5432", "cart.shop:80", "stock.shop:8080"]);
});

test("destinations of imported routes have clusters, though they are not imported", () => {
  const route = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v }
spec: { hosts: [catalog], http: [{ route: [{ destination: { host: cart.shop.svc.cluster.local } }], mirror: { host: stock.shop.svc.cluster.local } }] }
`;
  assert.deepEqual(generate(sidecar("s", imports('["./catalog.default.svc.cluster.local"]')) + route).sees, [
    "cart.shop",
    "catalog.default",
    "stock.shop",
  ]);
});

test("unknown destinations: 502 and the black hole under REGISTRY_ONLY, which an empty block means; else the egress proxy", () => {
  const policy = (block: string) => {
    const { resources } = generate(sidecar("s", `{ egress: [{ hosts: ["./*"] }], outboundTrafficPolicy: ${block} }`));
    const chain = resources.listener.get("virtualOutbound")?.filterChains?.at(-1);
    const last = resources.route.get("80")?.virtualHosts?.at(-1)?.routes?.[0];
    const tcp = chain?.filters?.at(-1)?.typedConfig as Record<string, unknown>;
    return [tcp.cluster, last?.route?.cluster ?? last?.directResponse?.status];
  };
  assert.deepEqual(policy("{ mode: REGISTRY_ONLY }"), ["BlackHoleCluster", 502]);
  assert.deepEqual(policy("{}"), ["BlackHoleCluster", 502]);
  assert.deepEqual(policy("{ mode: ALLOW_ANY }"), ["PassthroughCluster", "PassthroughCluster"]);
  const egress = "outbound|80||cart.shop.svc.cluster.local";
  assert.deepEqual(policy("{ mode: ALLOW_ANY, egressProxy: { host: cart.shop.svc.cluster.local } }"), [egress, egress]);
});

const ingress = (listeners: string, more = ""): string =>
  sidecar("s", `{ workloadSelector: { labels: { app: own } }, ingress: [${listeners}]${more} }`);

test("ingress says which ports the workload has, where its application is, and what limits hold", () => {
  const pool = "{ tcp: { maxConnections: 3 } }";
  const { resources } = generate(
    ingress(
      `{ port: { number: 9080, name: h, protocol: HTTP }, defaultEndpoint: "127.0.0.1:8080", connectionPool: ${pool} },
       { port: { number: 9081, name: t, protocol: TCP }, defaultEndpoint: "unix:///run/app.sock" },
       { port: { number: 9082, name: o, protocol: TCP }, defaultEndpoint: "0.0.0.0:7000" }`,
      ", inboundConnectionPool: { tcp: { maxConnections: 9 } }",
    ),
  );
  const facts = (name: string) => {
    const cluster = resources.cluster.get(name);
    const address = cluster?.loadAssignment?.endpoints?.[0]?.lbEndpoints?.[0]?.endpoint?.address;
    return [
      address?.pipe?.path ?? Object.values(address?.socketAddress ?? {}).join(":"),
      cluster?.circuitBreakers?.thresholds?.[0]?.maxConnections,
    ];
  };
  assert.deepEqual(facts("inbound|9080||"), ["127.0.0.1:8080", 3]);
  assert.deepEqual(facts("inbound|9081||"), ["/run/app.sock", 9]);
  assert.deepEqual(facts("inbound|9082||"), ["10.0.0.9:7000", 9]);
  const chains = resources.listener.get("virtualInbound")?.filterChains ?? [];
  assert.ok(chains.some(({ name }) => name === "0.0.0.0_9080"));
});

test("explicit mode listens where ingress says; a listener that would dial itself is left out and told", () => {
  const { resources, notes } = generate(
    ingress(
      `{ port: { number: 9080, name: h, protocol: HTTP }, bind: 127.0.0.1, defaultEndpoint: "127.0.0.1:8080" },
       { port: { number: 9081, name: t, protocol: TCP }, bind: 127.0.0.1, defaultEndpoint: "127.0.0.1:9081" }`,
    ),
    { INTERCEPTION_MODE: "NONE" },
  );
  assert.deepEqual([...resources.listener.keys()], ["127.0.0.1_15001", "127.0.0.1_9080"]);
  assert.deepEqual(
    notes.map(({ code, level }) => [code, level]),
    [["WF1544", "error"]],
  );
});

test("ingress.tls is used where the mesh's own TLS is off for the port, and told where it is on", () => {
  const tls = `{ port: { number: 9443, name: s, protocol: HTTPS }, defaultEndpoint: "127.0.0.1:8080", tls: { mode: SIMPLE, serverCertificate: /c, privateKey: /k } }`;
  const off = `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: p }
spec: { selector: { matchLabels: { app: own } }, portLevelMtls: { 9443: { mode: DISABLE } } }
`;
  const sockets = (yaml: string) => {
    const { resources, notes } = generate(yaml);
    const chains = resources.listener.get("virtualInbound")?.filterChains ?? [];
    const own = chains.filter(({ name }) => name === "0.0.0.0_9443");
    return [
      own.map((chain) => JSON.stringify(chain.transportSocket)?.includes('"filename":"/c"')),
      notes.map(({ code }) => code),
    ];
  };
  assert.deepEqual(sockets(ingress(tls) + off), [[true], []]);
  assert.deepEqual(sockets(ingress(tls)), [[false, undefined], ["WF1545"]]);
});

test("an egress listener that imports nothing is told, unless that is what it says", () => {
  const codes = (hosts: string) => generate(sidecar("s", imports(hosts))).notes.map(({ code }) => code);
  assert.deepEqual(codes("[nowhere/*]"), ["WF1537"]);
  assert.deepEqual(codes('["~/*"]'), []);
});
