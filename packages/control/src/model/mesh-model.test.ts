import assert from "node:assert/strict";
import { test } from "node:test";
import { kubernetesService, testMesh } from "../generate/test-mesh.ts";
import { byKind, ofKind } from "./config-item.ts";
import { authorizationOf, peerAuthenticationModes } from "./workload-policies.ts";

const hostOf = (name: string) => `${name}.default.svc.cluster.local`;

test("registered instances make a service with their identities; endpoints come and go alone", () => {
  const mesh = testMesh();
  mesh.register({
    service: "catalog",
    id: "a",
    port: 9001,
    appPort: 3000,
    portName: "http",
    serviceAccount: "catalog",
  });
  assert.equal(mesh.commit().other, true);
  const key = `default/${hostOf("catalog")}`;
  assert.deepEqual(mesh.model.services.get(key)?.ports, [
    { number: 3000, name: "http", protocol: "http", targetPort: 3000 },
  ]);
  assert.deepEqual(mesh.model.services.get(key)?.identities, ["spiffe://cluster.local/ns/default/sa/catalog"]);

  mesh.register({
    service: "catalog",
    id: "b",
    address: "10.0.0.2",
    port: 9001,
    portName: "http",
    serviceAccount: "catalog",
  });
  const change = mesh.commit();
  assert.deepEqual([change.other, [...change.endpoints], [...change.addresses]], [false, [key], ["10.0.0.2"]]);

  mesh.register({
    service: "catalog",
    id: "b",
    address: "10.0.0.2",
    port: 9001,
    portName: "http",
    serviceAccount: "other",
  });
  assert.equal(mesh.commit().other, true, "a new service account changes what clients must accept");
  mesh.registry.remove({ namespace: "default", service: "catalog", id: "a" });
  mesh.registry.remove({ namespace: "default", service: "catalog", id: "b" });
  mesh.commit();
  assert.equal(mesh.model.services.size, 0);
});

test("a service several sources know has the ports of the first, endpoints of all, and conflicts that are said", () => {
  const mesh = testMesh({
    yaml: kubernetesService("catalog", { ip: "10.96.0.1", port: 80 }),
    instances: [
      { service: "catalog", id: "vm", address: "10.9.9.9", port: 80, protocol: "tcp" },
      { service: "catalog", id: "more", address: "10.9.9.8", port: 7777 },
    ],
  });
  const service = mesh.model.services.get(`default/${hostOf("catalog")}`);
  assert.deepEqual(service?.sources, ["Kubernetes", "Registry"]);
  assert.deepEqual(
    service?.ports.map(({ number }) => number),
    [80],
  );
  assert.deepEqual(service?.conflicts, [
    "port 80 is http for Kubernetes and tcp for Registry",
    "port 7777 is known to Registry only, and is left out",
  ]);
  const addresses = mesh.model.endpoints
    .get(service?.key ?? "")
    ?.endpoints.map(({ address, port }) => `${address}:${port}`);
  assert.deepEqual(addresses?.sort(), ["10.1.0.1:8080", "10.1.0.2:8080", "10.9.9.9:80"]);
});

test("mTLS of endpoints: by label, by service account, never where PeerAuthentication says DISABLE", () => {
  const mesh = testMesh({
    instances: [
      { service: "a", id: "plain", port: 80 },
      { service: "a", id: "account", port: 80, serviceAccount: "a" },
      { service: "a", id: "label", port: 80, labels: { "security.istio.io/tlsMode": "istio" } },
      { service: "a", id: "off", port: 80, serviceAccount: "a", labels: { "security.istio.io/tlsMode": "disabled" } },
      { service: "a", id: "disabled", port: 9000, appPort: 80, serviceAccount: "a", labels: { legacy: "yes" } },
    ],
  });
  const tls = () =>
    Object.fromEntries(
      (mesh.model.endpoints.get(`default/${hostOf("a")}`)?.endpoints ?? []).map(({ workload, meshTls }) => [
        workload,
        meshTls,
      ]),
    );
  assert.deepEqual(tls(), { account: true, disabled: true, label: true, off: false, plain: false });
  mesh.apply(`
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: legacy }
spec:
  selector: { matchLabels: { legacy: "yes" } }
  mtls: { mode: STRICT }
  portLevelMtls: { 80: { mode: DISABLE } }
`);
  mesh.commit();
  assert.deepEqual(tls(), { account: true, disabled: false, label: true, off: false, plain: false });
});

const peer = (name: string, namespace: string, spec: string, stamp: string) => `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: ${namespace}, creationTimestamp: "${stamp}" }
spec: ${spec}
`;

test("PeerAuthentication: workload over namespace over mesh, the oldest in each, UNSET asks the wider", () => {
  const mesh = testMesh({
    yaml:
      peer("mesh", "istio-system", "{ mtls: { mode: STRICT } }", "2024-01-01T00:00:00Z") +
      peer("young", "shop", "{ mtls: { mode: PERMISSIVE } }", "2024-03-01T00:00:00Z") +
      peer("old", "shop", "{ mtls: { mode: DISABLE } }", "2024-02-01T00:00:00Z") +
      peer(
        "unset",
        "bank",
        "{ selector: { matchLabels: { app: a } }, mtls: { mode: UNSET }, portLevelMtls: { 1: { mode: DISABLE } } }",
        "2024-02-01T00:00:00Z",
      ),
  });
  const of = (namespace: string, labels = {}) =>
    peerAuthenticationModes(mesh.model.peerAuthentications(), { namespace, labels }, "istio-system");
  assert.equal(of("elsewhere").mode, "STRICT");
  assert.equal(of("shop").mode, "DISABLE");
  const { mode, ports, from, portsFrom } = of("bank", { app: "a" });
  assert.deepEqual({ mode, ports }, { mode: "STRICT", ports: new Map([[1, "DISABLE"]]) });
  assert.deepEqual([from?.name, portsFrom?.name], ["mesh", "unset"]);
  assert.equal(of("bank", { app: "b" }).ports.size, 0);
  assert.equal(peerAuthenticationModes([], { namespace: "x", labels: {} }, "istio-system").mode, "PERMISSIVE");
});

test("AuthorizationPolicies select by namespace and labels; the root namespace's hold everywhere; targetRefs for none", () => {
  const policy = (name: string, namespace: string, spec: string) => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;
  const mesh = testMesh({
    yaml:
      policy("b", "shop", "{}") +
      policy("a", "shop", "{ selector: { matchLabels: { app: web } }, action: DENY, rules: [{}] }") +
      policy("z", "istio-system", "{ rules: [{}] }") +
      policy("ref", "shop", "{ targetRefs: [{ kind: Service, name: web }] }"),
  });
  const all = ofKind(byKind(mesh.config).lookup("AuthorizationPolicy"), "AuthorizationPolicy");
  const of = (labels: Record<string, string>) => authorizationOf(all, { namespace: "shop", labels }, "istio-system");
  assert.deepEqual(
    of({ app: "web" }).allow.map(({ name }) => name),
    ["z", "b"],
  );
  assert.deepEqual(
    of({ app: "web" }).deny.map(({ name }) => name),
    ["a"],
  );
  assert.deepEqual(of({ app: "other" }).deny, []);
});

const rule = (name: string, namespace: string, spec: string, stamp = "2024-01-01T00:00:00Z") => `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name}, namespace: ${namespace}, creationTimestamp: "${stamp}" }
spec: ${spec}
`;

test("DestinationRules: the client's namespace, then the service's, then the root; most specific host; levels do not merge", () => {
  const mesh = testMesh({
    yaml:
      rule("root", "istio-system", '{ host: "*.local", trafficPolicy: { loadBalancer: { simple: RANDOM } } }') +
      rule("own", "shop", "{ host: a, subsets: [{ name: v1 }] }") +
      rule("wild", "shop", '{ host: "*.shop.svc.cluster.local", subsets: [{ name: wild }] }') +
      rule("client", "team", "{ host: a.shop.svc.cluster.local, subsets: [{ name: mine }] }") +
      rule("private", "shop", "{ host: hidden, exportTo: ['.'], subsets: [{ name: v1 }] }") +
      rule(
        "some",
        "team",
        "{ host: b.shop.svc.cluster.local, workloadSelector: { matchLabels: { app: x } }, subsets: [{ name: x }] }",
      ),
  });
  const of = (host: string, namespace: string, labels: Record<string, string> = {}) =>
    mesh.model
      .rules()
      .destinationPolicy({ hostname: `${host}.shop.svc.cluster.local`, namespace: "shop" }, { namespace, labels });
  assert.deepEqual(
    of("a", "team")?.subsets.map(({ name }) => name),
    ["mine"],
  );
  assert.deepEqual(
    of("a", "elsewhere")?.subsets.map(({ name }) => name),
    ["v1"],
  );
  assert.equal(of("a", "elsewhere")?.trafficPolicy, undefined);
  assert.deepEqual(
    of("hidden", "shop")?.subsets.map(({ name }) => name),
    ["v1"],
  );
  assert.deepEqual(
    of("hidden", "team")?.subsets.map(({ name }) => name),
    ["wild"],
    "a hidden rule does not hide others",
  );
  assert.deepEqual(
    of("b", "team", { app: "x" })?.subsets.map(({ name }) => name),
    ["x"],
  );
  assert.equal(of("b", "team"), undefined, "a rule for others of the namespace still ends the search there");
});

test("DestinationRules of the root namespace hold for its own clients last, but for what is private there", () => {
  const mesh = testMesh({
    yaml:
      rule("all", "istio-system", '{ host: "*.local", subsets: [{ name: all }] }') +
      rule("own", "shop", "{ host: a, subsets: [{ name: v1 }] }") +
      rule(
        "private",
        "istio-system",
        "{ host: b.shop.svc.cluster.local, exportTo: ['.'], subsets: [{ name: mine }] }",
      ) +
      rule("exported", "shop", "{ host: b, subsets: [{ name: v1 }] }") +
      rule("others", "shop", "{ host: c, exportTo: [elsewhere], subsets: [{ name: v1 }] }") +
      rule("wild", "shop", '{ host: "*.shop.svc.cluster.local", subsets: [{ name: wild }] }'),
  });
  const of = (host: string, namespace: string) =>
    mesh.model
      .rules()
      .destinationPolicy({ hostname: `${host}.shop.svc.cluster.local`, namespace: "shop" }, { namespace, labels: {} })
      ?.subsets.map(({ name }) => name);
  assert.deepEqual(of("a", "istio-system"), ["v1"]);
  assert.deepEqual(of("b", "istio-system"), ["mine"]);
  assert.deepEqual(of("b", "team"), ["v1"]);
  assert.deepEqual(of("c", "team"), ["all"], "the narrowest host of a level counts even where it is not exported");
});

test("a selector's rule stands alone for its clients, and not at the server's side", () => {
  const mesh = testMesh({
    yaml:
      rule("all", "shop", "{ host: a, trafficPolicy: { tls: { mode: DISABLE } }, subsets: [{ name: v1 }] }") +
      rule("some", "shop", "{ host: a, workloadSelector: { matchLabels: { app: x } }, subsets: [{ name: x }] }"),
  });
  const find = mesh.model.rules().destinationPolicy;
  const service = { hostname: "a.shop.svc.cluster.local", namespace: "shop" };
  const client = { namespace: "shop", labels: { app: "x" } };
  const chosen = find(service, client);
  assert.deepEqual(
    [chosen?.subsets.map(({ name }) => name), chosen?.trafficPolicy, chosen?.selective],
    [["x"], undefined, true],
  );
  assert.deepEqual(
    find(service, client, "inbound")?.subsets.map(({ name }) => name),
    ["v1"],
  );
});

test("several DestinationRules for one host in one namespace: the oldest policy, all subsets, the first of a name", () => {
  const mesh = testMesh({
    yaml:
      rule(
        "late",
        "shop",
        "{ host: a, trafficPolicy: { loadBalancer: { simple: RANDOM } }, subsets: [{ name: v1, labels: { v: late } }, { name: v2 }] }",
        "2024-02-01T00:00:00Z",
      ) +
      rule(
        "early",
        "shop",
        "{ host: a, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN } }, subsets: [{ name: v1, labels: { v: early } }] }",
      ),
  });
  const policy = mesh.model
    .rules()
    .destinationPolicy({ hostname: "a.shop.svc.cluster.local", namespace: "shop" }, { namespace: "shop", labels: {} });
  assert.equal(policy?.trafficPolicy?.loadBalancer?.simple, "ROUND_ROBIN");
  assert.deepEqual(
    policy?.subsets.map(({ name, labels }) => [name, labels]),
    [
      ["v1", { v: "early" }],
      ["v2", undefined],
    ],
  );
});

test("a service of the same name in two namespaces: one's own first, then the oldest that is exported", () => {
  const entry = (namespace: string, exportTo: string, stamp: string) => `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: e, namespace: ${namespace}, creationTimestamp: "${stamp}" }
spec: { hosts: [api.example.com], exportTo: ["${exportTo}"], ports: [{ number: 80, name: http }], resolution: DNS }
`;
  const mesh = testMesh({
    yaml:
      entry("young", "*", "2024-02-01T00:00:00Z") +
      entry("old", "*", "2024-01-01T00:00:00Z") +
      entry("hidden", ".", "2023-01-01T00:00:00Z"),
  });
  const seen = (namespace: string) => mesh.model.visibleServices(namespace).get("api.example.com")?.namespace;
  assert.deepEqual([seen("elsewhere"), seen("young"), seen("hidden")], ["old", "young", "hidden"]);
});

test("ServiceEntry selectors pick WorkloadEntries, also when these come later", () => {
  const mesh = testMesh({
    yaml: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: vms }
spec:
  hosts: [vms.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, targetPort: 8080 }]
  workloadSelector: { labels: { app: vm } }
`,
  });
  const addresses = () =>
    mesh.model.endpoints
      .get("default/vms.example.com")
      ?.endpoints.map(({ address, port, meshTls }) => [address, port, meshTls]);
  assert.equal(addresses(), undefined);
  mesh.apply(`
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: vm1 }
spec: { address: 10.5.0.1, labels: { app: vm }, ports: { http: 9090 }, serviceAccount: vm }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: other }
spec: { address: 10.5.0.2, labels: { app: other } }
`);
  mesh.commit();
  assert.deepEqual(addresses(), [["10.5.0.1", 9090, true]]);
});

test("EndpointSlices win over Endpoints; what is not ready is unhealthy, what ends is draining", () => {
  const mesh = testMesh({
    yaml: `${kubernetesService("web", { ip: "None", port: 80 })}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: default, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8081 }]
endpoints:
  - { addresses: [10.2.0.1], zone: z1, targetRef: { kind: Pod, name: web-a } }
  - { addresses: [10.2.0.2], conditions: { ready: false } }
  - { addresses: [10.2.0.3], conditions: { ready: false, serving: true, terminating: true } }
`,
  });
  const service = mesh.model.services.get(`default/${hostOf("web")}`);
  assert.equal(service?.headless, true);
  assert.deepEqual(
    mesh.model.endpoints
      .get(service?.key ?? "")
      ?.endpoints.map(({ address, port, health, workload, locality }) => [address, port, health, workload, locality]),
    [
      ["10.2.0.1", 8081, "healthy", "web-a", "/z1/"],
      ["10.2.0.2", 8081, "unhealthy", "web", ""],
      ["10.2.0.3", 8081, "draining", "web", ""],
    ],
  );
});

test("a port that a better source takes away loses the endpoints of others too", () => {
  const mesh = testMesh({ instances: [{ service: "web", id: "a", port: 7777, portName: "http" }] });
  const count = () => mesh.model.endpoints.get(`default/${hostOf("web")}`)?.endpoints.length;
  assert.equal(count(), 1);
  mesh.apply("apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { ports: [{ name: http, port: 80 }] }");
  mesh.commit();
  assert.equal(count(), 0);
  assert.deepEqual(
    mesh.model.findings().map(({ code, name }) => [code, name]),
    [["WF8020", hostOf("web")]],
  );
});
