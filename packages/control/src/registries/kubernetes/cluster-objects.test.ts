import assert from "node:assert/strict";
import { test } from "node:test";
import { createClusterObjects } from "./cluster-objects.ts";
import type { KubernetesObject } from "./kubernetes-object.ts";
import { meshConfigKind } from "./mesh-config-map.ts";
import { holdMs } from "./object-table.ts";
import { podWaitMs } from "./pod-waits.ts";
import { createClusterGraph } from "./testing/cluster-graph.ts";
import { secretKind, type WatchedKind, watchedKinds } from "./watched-kinds.ts";

const start = () => {
  const { graph, rootNamespace, view } = createClusterGraph();
  let nowMs = 0;
  const objects = createClusterObjects({ where: "kubernetes test", view, rootNamespace, nowMs: () => nowMs });
  const kindOf = (name: string): WatchedKind => {
    const kind = [...watchedKinds, meshConfigKind({ namespace: rootNamespace, revision: "default" })].find(
      (one) => one.name === name,
    );
    assert.ok(kind);
    return kind;
  };
  type Options = { readonly held?: boolean; readonly over?: KubernetesObject };
  const put = (name: string, object: KubernetesObject, { held = false, over }: Options = {}): void =>
    objects.apply(kindOf(name), keyOf(object), { object, held }, { listedOver: over });
  const drop = (name: string, key: string): void =>
    objects.apply(kindOf(name), key, undefined, { listedOver: undefined });
  const tick = (ms: number): void => {
    nowMs += ms;
    objects.tick(nowMs, true);
  };
  const endpoints = () => {
    graph.commit();
    return [...view.endpoints.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
  };
  const shown = (): string =>
    endpoints()
      .map(({ address, held }) => `${address}${held ? "?" : ""}`)
      .join(" ");
  return { put, drop, tick, endpoints, shown, objects, view, graph };
};
const keyOf = ({ metadata }: KubernetesObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
const service = (spec: object = {}): KubernetesObject => ({
  metadata: { name: "web", namespace: "n" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80 }], ...spec },
});
interface Address {
  readonly ip: string;
  readonly pod?: string;
  readonly conditions?: object;
}
const slice = (name: string, addresses: readonly Address[]): KubernetesObject => ({
  metadata: { name, namespace: "n", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  ports: [{ name: "http", port: 8080 }],
  endpoints: addresses.map(({ ip, pod, conditions }) => ({
    addresses: [ip],
    ...(conditions ? { conditions } : {}),
    ...(pod === undefined ? {} : { targetRef: { kind: "Pod", name: pod } }),
  })),
});
const pod = (name: string, labels: Readonly<Record<string, string>> = {}): KubernetesObject => ({
  metadata: { name, namespace: "n", labels },
  spec: { serviceAccountName: "robot", nodeName: "node-1" },
});

test("an endpoint has its pod's labels, identity and place, and a sidecar only where a label says so", () => {
  const { put, endpoints } = start();
  put("Service", service());
  put("Node", { metadata: { name: "node-1", labels: { "topology.kubernetes.io/zone": "z" } } });
  put("Pod", pod("plain"));
  put("Pod", pod("meshed", { "security.istio.io/tlsMode": "istio", "istio-locality": "r.z2.s" }));
  put(
    "EndpointSlice",
    slice("a", [
      { ip: "10.0.0.1", pod: "plain" },
      { ip: "10.0.0.2", pod: "meshed" },
    ]),
  );
  const [plain, meshed] = endpoints();
  assert.deepEqual([plain?.serviceAccount, plain?.meshTls, plain?.locality], ["robot", false, "/z/"]);
  assert.deepEqual([meshed?.serviceAccount, meshed?.meshTls, meshed?.locality], ["robot", true, "r/z2/s"]);
});

test("an address waits for its pod, is used without it after its time, and gets what it says when it comes", () => {
  const { put, tick, shown, endpoints, objects } = start();
  put("Service", service());
  put("EndpointSlice", slice("a", [{ ip: "10.0.0.1", pod: "late" }, { ip: "10.0.0.2" }]));
  assert.equal(shown(), "10.0.0.2");
  assert.equal(objects.podsAwaited(), 1);
  tick(podWaitMs);
  assert.equal(shown(), "10.0.0.1 10.0.0.2");
  assert.equal(endpoints()[0]?.serviceAccount, "");
  put("Pod", pod("late"));
  assert.equal(endpoints()[0]?.serviceAccount, "robot");
});

test("nothing waits where pods cannot be read", () => {
  const { put, shown, objects } = start();
  objects.podsReadable(false);
  put("Service", service());
  put("EndpointSlice", slice("a", [{ ip: "10.0.0.1", pod: "unknown" }]));
  assert.equal(shown(), "10.0.0.1");
});

test("a pod that goes before its slice leaves the endpoint as it was", () => {
  const { put, drop, endpoints, view, graph } = start();
  put("Service", service());
  put("Pod", pod("first"));
  put("EndpointSlice", slice("a", [{ ip: "10.0.0.1", pod: "first" }]));
  drop("Pod", "n/first");
  assert.equal(endpoints()[0]?.serviceAccount, "robot");
  drop("EndpointSlice", "n/a");
  graph.commit();
  assert.equal(view.pods.size, 0);
});

test("ending addresses that serve are draining; what is not ready is unhealthy unless the service wants it", () => {
  const { put, endpoints } = start();
  const draining = { ready: false, serving: true, terminating: true };
  const ended = { ready: false, serving: false, terminating: true };
  put("Service", service());
  put(
    "EndpointSlice",
    slice("a", [
      { ip: "10.0.0.1", conditions: draining },
      { ip: "10.0.0.2", conditions: ended },
      { ip: "10.0.0.3", conditions: { ready: false } },
      { ip: "10.0.0.4" },
    ]),
  );
  const health = (): readonly string[] => endpoints().map((one) => one.health);
  assert.deepEqual(health(), ["draining", "unhealthy", "unhealthy", "healthy"]);
  put("Service", service({ publishNotReadyAddresses: true }));
  assert.deepEqual(health(), ["draining", "healthy", "healthy", "healthy"]);
});

test("addresses that a list lacks of a slice are held for their time, and an event of that slice ends it", () => {
  for (const end of ["time", "event", "deletion"]) {
    const { put, drop, tick, shown } = start();
    const before = slice("a", [{ ip: "10.0.0.1" }, { ip: "10.0.0.2" }]);
    put("Service", service());
    put("EndpointSlice", before);
    put("EndpointSlice", slice("a", [{ ip: "10.0.0.1" }]), { over: before });
    assert.equal(shown(), "10.0.0.1 10.0.0.2?");
    tick(holdMs - 1);
    assert.equal(shown(), "10.0.0.1 10.0.0.2?");
    if (end === "time") tick(1);
    else if (end === "event") put("EndpointSlice", slice("a", [{ ip: "10.0.0.1" }]));
    else drop("EndpointSlice", "n/a");
    assert.equal(shown(), end === "deletion" ? "" : "10.0.0.1");
  }
});

test("an address that a held slice and another have is used as the other has it", () => {
  const { put, shown } = start();
  put("Service", service());
  put("EndpointSlice", slice("a", [{ ip: "10.0.0.1" }, { ip: "10.0.0.2" }]), { held: true });
  put("EndpointSlice", slice("b", [{ ip: "10.0.0.1" }]));
  assert.equal(shown(), "10.0.0.1 10.0.0.2?");
});

test("a wrong object is a finding by its name, and its last good form stays until it is right or gone", () => {
  const { put, drop, objects, view, graph } = start();
  const route = (spec: unknown): KubernetesObject => ({
    ...{ apiVersion: "networking.istio.io/v1", metadata: { name: "r", namespace: "n" } },
    spec: spec as object,
  });
  const good = { hosts: ["a.example"], http: [{ route: [{ destination: { host: "b" } }] }] };
  put("VirtualService", route(good));
  for (const wrong of ["text", { hosts: 5 }, { ...good, http: [{ timeout: "soon" }] }, []]) {
    put("VirtualService", route(wrong));
    assert.deepEqual([...objects.unreadable().keys()], ["VirtualService/n/r"]);
    assert.equal(objects.findings()[0]?.file, "kubernetes test/VirtualService/n/r");
    graph.commit();
    assert.deepEqual(view.configuration.get("VirtualService/n/r")?.object.spec, good);
  }
  put("VirtualService", route({ ...good, added: true }));
  assert.deepEqual([...objects.unreadable()], []);
  assert.deepEqual(
    objects.findings().map(({ level }) => level),
    ["warning"],
  );
  drop("VirtualService", "n/r");
  graph.commit();
  assert.equal(view.configuration.size, 0);
  assert.deepEqual(objects.findings(), []);
});

const namespace = (name: string, labels: Readonly<Record<string, string>> = {}): KubernetesObject => ({
  metadata: { name, labels },
});
const meshMap = (mesh: string | undefined): KubernetesObject => ({
  metadata: { name: "istio", namespace: "istio-system", creationTimestamp: "2026-01-01T00:00:00Z" },
  data: mesh === undefined ? {} : { mesh },
});
const meshKey = "MeshConfig/istio-system/istio";

test("discoverySelectors decide which namespaces are read, as labels and settings change", () => {
  const { put, drop, shown, view, graph } = start();
  put("Service", service());
  put("EndpointSlice", slice("a", [{ ip: "10.0.0.1" }]));
  put("PeerAuthentication", { metadata: { name: "all", namespace: "n" }, spec: {} });
  const configured = (): number => [...view.configurationRead.values()].filter(({ key }) => key !== meshKey).length;
  const becomes = (addresses: string, policies: number): void => {
    assert.deepEqual([shown(), configured()], [addresses, policies]);
    graph.commit();
  };
  put("Namespace", namespace("n", { team: "web" }));
  becomes("10.0.0.1", 1);
  put("ConfigMap", meshMap("discoverySelectors: [{matchLabels: {mesh: 'on'}}]"));
  becomes("", 0);
  put("Namespace", namespace("n", { mesh: "on" }));
  becomes("10.0.0.1", 1);
  put("ConfigMap", meshMap("discoverySelectors: [{matchExpressions: [{key: mesh, operator: DoesNotExist}]}]"));
  becomes("", 0);
  put(
    "ConfigMap",
    meshMap("discoverySelectors: [{matchLabels: {a: b}}, {matchExpressions: [{key: mesh, operator: Exists}]}]"),
  );
  becomes("10.0.0.1", 1);
  put("ConfigMap", meshMap("discoverySelectors: [{matchLabels: {a: b}}]"));
  becomes("", 0);
  // What nobody knows the labels of is rather kept than lost.
  drop("Namespace", "/n");
  becomes("10.0.0.1", 1);
  put("Namespace", namespace("n"));
  drop("ConfigMap", "istio-system/istio");
  becomes("10.0.0.1", 1);
});

test("the control plane's own namespace is read whatever the selectors say", () => {
  const { put, view, graph } = start();
  put("Namespace", namespace("istio-system"));
  put("PeerAuthentication", { metadata: { name: "all", namespace: "istio-system" }, spec: {} });
  put("ConfigMap", meshMap("discoverySelectors: [{matchLabels: {a: b}}]"));
  graph.commit();
  assert.equal(view.configurationRead.size, 2);
});

test("the mesh's settings in a ConfigMap are in force as written, and its last good form stays", () => {
  const { put, drop, objects, view, graph } = start();
  const settings = () => {
    graph.commit();
    return view.configuration.get(meshKey)?.object.spec;
  };
  put("ConfigMap", meshMap("accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"));
  const good = { accessLogFile: "/dev/stdout", outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } };
  assert.deepEqual(settings(), good);
  for (const [wrong, place] of [
    ["a: [", "line 1"],
    ["connectTimeout: soon", "line 1, column 17 of its key mesh"],
    ["ok: 1\noutboundTrafficPolicy: {mode: SOME}", "line 2"],
    ["just words", "line 1"],
  ] as const) {
    put("ConfigMap", meshMap(wrong));
    assert.deepEqual([...objects.unreadable().keys()], ["ConfigMap/istio-system/istio"]);
    const [first] = objects.findings().filter(({ level }) => level === "error");
    assert.match(first?.message ?? "", new RegExp(place));
    assert.equal(first?.file, "kubernetes test/ConfigMap/istio-system/istio");
    assert.deepEqual(settings(), good);
  }
  put("ConfigMap", meshMap("accessLogFile: /tmp/x\nofALaterIstio: {a: 1}"));
  assert.deepEqual([...objects.unreadable()], []);
  assert.deepEqual(
    objects.findings().map(({ level }) => level),
    ["warning"],
  );
  assert.deepEqual(settings(), { accessLogFile: "/tmp/x" });
  put("ConfigMap", meshMap(undefined));
  assert.equal(settings(), undefined);
  put("ConfigMap", meshMap(""));
  assert.deepEqual(settings(), {});
  drop("ConfigMap", "istio-system/istio");
  assert.equal(settings(), undefined);
  assert.deepEqual(objects.findings(), []);
});

test("an endpoint is of its pod's network, or else of the one the control plane's namespace names", () => {
  const { put, endpoints } = start();
  const label = "topology.istio.io/network";
  put("Service", service());
  put("Pod", pod("plain"));
  put("Pod", pod("own", { [label]: "own" }));
  const addresses = [
    { ip: "10.0.0.1", pod: "plain" },
    { ip: "10.0.0.2", pod: "own" },
  ];
  put("EndpointSlice", slice("a", addresses));
  const networks = () => endpoints().map(({ network, labels }) => [network, labels[label]]);
  assert.deepEqual(networks(), [
    ["", undefined],
    ["own", "own"],
  ]);
  put("Namespace", namespace("istio-system", { [label]: "east" }));
  put("Namespace", namespace("n", { [label]: "ignored" }));
  assert.deepEqual(networks(), [
    ["east", "east"],
    ["own", "own"],
  ]);
});

test("a Secret is taken with keys only, and one that is found anew elsewhere does not go with its former place", () => {
  const { objects, view, graph } = start();
  const data = { "tls.crt": "YQ==", "tls.key": "Yg==" };
  const apply = (namespace: string, object: KubernetesObject | undefined): void =>
    objects.apply(secretKind(namespace), "n/edge", object && { object, held: false }, { listedOver: undefined });
  const there = (): boolean => {
    graph.commit();
    return view.configuration.get("Secret/n/edge") !== undefined;
  };
  const metadata = { name: "edge", namespace: "n" };
  apply("n", { metadata, data });
  assert.equal(there(), true);
  apply("other", { metadata, data });
  apply("n", undefined);
  assert.equal(there(), true);
  apply("other", { metadata, data: {} });
  assert.equal(there(), false);
});
