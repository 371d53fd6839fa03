import assert from "node:assert/strict";
import { test } from "node:test";
import { compareAge, objectsOfKind } from "./config-object.ts";
import { parseConfig } from "./parse-config.ts";

const route = `apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: checkout
  labels: {team: pay}
  annotations: {note: "1"}
spec:
  hosts: [checkout]
  http:
  - timeout: 2s
    route:
    - destination: {host: checkout}
`;

const told = (text: string) =>
  parseConfig(text, "m.yaml").findings.map(({ code, level, line, column }) => `${code} ${level} ${line}:${column}`);

test("an object has its names with defaults, its typed spec and its places", () => {
  const { objects, findings } = parseConfig(`# first\n---\n${route}`, "shop/m.yaml");
  assert.deepEqual(findings, []);
  const [object] = objectsOfKind(objects, "VirtualService");
  assert.ok(object);
  assert.deepEqual(
    [object.kind, object.apiVersion, object.namespace, object.name, object.creationOrder, object.creationTimestamp],
    ["VirtualService", "networking.istio.io/v1beta1", "default", "checkout", 0, undefined],
  );
  assert.deepEqual([object.labels, object.annotations], [{ team: "pay" }, { note: "1" }]);
  assert.equal(object.spec.http?.[0]?.route?.[0]?.destination.host, "checkout");
  assert.deepEqual(object.source, { file: "shop/m.yaml", line: 3, column: 1 });
  assert.deepEqual(object.positionOf(["spec", "http", 0, "timeout"]), { file: "shop/m.yaml", line: 12, column: 14 });
});

test("an unknown field is an error at its name that tells the nearest one, and its object is left out", () => {
  const text = route.replace("timeout:", "timeOuts:");
  const { objects, findings } = parseConfig(`${text}---\n${route}`, "m.yaml");
  assert.equal(objects.length, 1);
  assert.equal(findings.length, 1);
  const [{ message, ...finding }] = findings as [(typeof findings)[number]];
  assert.deepEqual(finding, {
    code: "WF1003",
    level: "error",
    kind: "VirtualService",
    namespace: "default",
    name: "checkout",
    file: "m.yaml",
    line: 10,
    column: 5,
    also: ["IST0106"],
  });
  assert.match(
    message,
    /^unknown field "timeOuts" in VirtualService\.http\[0\] — did you mean "timeout"\? \(accepted: /,
  );
});

test("fields that belong under spec are told so", () => {
  const { findings } = parseConfig(route.replace("spec:\n  hosts: [checkout]", "hosts: [checkout]\nspec:"), "m.yaml");
  assert.match(findings[0]?.message ?? "", /unknown field "hosts" in VirtualService — move it under spec/);
});

test("a List stands for its items, each with its place", () => {
  const text = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: a, namespace: shop}
  spec: {ports: [{port: 80}]}
- apiVersion: v1
  kind: Service
  metadata: {name: b}
  spec: {port: 80}
`;
  const { objects, findings } = parseConfig(text, "m.yaml");
  assert.deepEqual(
    objects.map(({ namespace, name, source }) => [namespace, name, source.line]),
    [["shop", "a", 4]],
  );
  assert.deepEqual([findings[0]?.code, findings[0]?.line, findings[0]?.name], ["WF1003", 11, "b"]);
});

test("JSON objects and arrays of objects are taken", () => {
  const service = { apiVersion: "v1", kind: "Service", metadata: { name: "a" }, spec: { ports: [{ port: 80 }] } };
  assert.equal(parseConfig(JSON.stringify(service), "a.json").objects.length, 1);
  assert.equal(parseConfig(JSON.stringify([service, service], null, 2), "a.json").objects.length, 2);
});

test("Endpoints and EndpointSlice hold their fields beside metadata", () => {
  const text = `apiVersion: v1
kind: Endpoints
metadata: {name: a}
subsets:
- addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: p, uid: u}}]
  ports: [{port: 80, name: http}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.2], conditions: {ready: true}}]
ports: [{port: 80, name: http}]
`;
  const { objects, findings } = parseConfig(text, "m.yaml");
  assert.deepEqual(findings, []);
  assert.equal(objectsOfKind(objects, "Endpoints")[0]?.spec.subsets?.[0]?.addresses?.[0]?.ip, "10.0.0.1");
  assert.deepEqual(objectsOfKind(objects, "EndpointSlice")[0]?.spec.endpoints?.[0]?.addresses, ["10.0.0.2"]);
});

test("what Kubernetes adds to an object is taken: status and its own metadata", () => {
  const time = "2026-01-02T03:04:05Z";
  const added = [
    "uid: u",
    "resourceVersion: '7'",
    "generation: 3",
    "managedFields: [{a: 1}]",
    `creationTimestamp: "${time}"`,
  ];
  const text = `${route.replace("metadata:", ["metadata:", ...added].join("\n  "))}status: {a: [1]}\n`;
  const { objects, findings } = parseConfig(text, "m.yaml");
  assert.deepEqual(findings, []);
  assert.equal(objects[0]?.creationTimestamp, time);
});

test("kinds without effect are kept and told, with whatever they hold", () => {
  const text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 2, anything: [x]}\n";
  const { objects } = parseConfig(text, "m.yaml");
  assert.deepEqual(objects[0]?.spec, { spec: { replicas: 2, anything: ["x"] } });
  assert.deepEqual(told(text), ["WF1011 info 1:1"]);
  assert.deepEqual(told("apiVersion: audit.k8s.io/v1\nkind: Policy\nmetadata: {name: a}\nrules: []\n"), [
    "WF1011 info 1:1",
  ]);
  assert.deepEqual(told("apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: a}\nspec: {}\n"), [
    "WF1011 info 2:7",
  ]);
});

test("Envoy's own files and parts of objects are told and do no harm", () => {
  const listener = 'resources:\n- "@type": type.googleapis.com/envoy.config.listener.v3.Listener\n  name: l\n';
  assert.deepEqual(told(listener), ["WF1013 info 1:1"]);
  assert.deepEqual(told("static_resources: {listeners: []}\nadmin: {}\n"), ["WF1013 info 1:1"]);
  const { findings } = parseConfig("outlierDetection: {interval: 1s}\n", "m.yaml");
  assert.deepEqual([findings[0]?.code, findings[0]?.level], ["WF1010", "warning"]);
  assert.match(findings[0]?.message ?? "", /a part of DestinationRule\.spec\.trafficPolicy/);
});

test("what was meant to be an object and is not one is an error", () => {
  assert.deepEqual(told("apiVersion: v1\nmetadata: {name: a}\n"), ["WF1005 error 1:1"]);
  assert.deepEqual(told("Kind: Service\napiversion: v1\n"), ["WF1005 error 1:1", "WF1005 error 1:1"]);
  assert.deepEqual(told("apiVersion: v1\nkind: [Service]\nmetadata: {name: a}\n"), ["WF1005 error 1:1"]);
  assert.deepEqual(told("just words\n"), ["WF1004 error 1:1"]);
  assert.deepEqual(told("42\n"), ["WF1004 error 1:1"]);
});

const unknownKinds: readonly (readonly [string, string, RegExp])[] = [
  ["networking.istio.io/v1", "VirtualServce", /unknown kind "VirtualServce" — did you mean "VirtualService"\?/],
  [
    "networking.istio.io/v2",
    "Gateway",
    /no version "networking\.istio\.io\/v2" \(accepted: networking\.istio\.io\/v1,/,
  ],
  [
    "security.istio.io/v1",
    "DestinationRule",
    /not of security\.istio\.io: write apiVersion: networking\.istio\.io\/v1$/,
  ],
  ["networking.istio/v1", "Gateway", /did you mean "networking\.istio\.io\/v1"\?/],
  ["v1", "Servce", /did you mean "Service"\?/],
];

for (const [apiVersion, kind, message] of unknownKinds) {
  test(`kind ${kind} of ${apiVersion} is an error that names what was meant`, () => {
    const { objects, findings } = parseConfig(
      `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: a}\n`,
      "m.yaml",
    );
    assert.equal(objects.length, 0);
    assert.deepEqual([findings[0]?.code, findings.length], ["WF1002", 1]);
    assert.match(findings[0]?.message ?? "", message);
  });
}

const names: readonly (readonly [string, string])[] = [
  ["{}", "WF1009 error 3:1"],
  ["{generateName: a-}", "WF1009 error 3:1"],
  ["{name: Shop}", "WF1009 error 3:18"],
  ["{name: a_b}", "WF1009 error 3:18"],
  ["{name: 12}", "WF1004 error 3:18"],
  ["{name: a, namespace: a.b}", "WF1009 error 3:32"],
  ["{name: a, namspace: b}", "WF1003 error 3:21"],
  ["{name: a, labels: {k: true}}", "WF1004 error 3:33"],
  ["{name: a, labels: {k: 'a b'}}", "WF1006 error 3:33"],
  ["{name: a, creationTimestamp: today}", "WF1009 error 3:40"],
  ["[a]", "WF1004 error 3:1"],
];

for (const [metadata, expected] of names) {
  test(`metadata ${metadata} is refused`, () => {
    const text = `apiVersion: v1\nkind: Service\nmetadata: ${metadata}\nspec: {ports: [{port: 80}]}\n`;
    assert.deepEqual(told(text), [expected]);
  });
}

test("findings about one object and about one text are bounded, and objects are still read", () => {
  const fields = Array.from({ length: 3000 }, (_, index) => `  zz${index}: 1`).join("\n");
  const { findings } = parseConfig(`apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n${fields}\n`, "m.yaml");
  assert.equal(findings.length, 100);
  const many = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n".repeat(10_000).slice(0, -4);
  const bounded = parseConfig(`${many}\n---\n---\na: *b\n`, "m.yaml");
  assert.equal(bounded.objects.length, 10_000);
  assert.equal(bounded.findings.length, 10_000);
  assert.deepEqual(bounded.findings.map(({ level }) => level).filter((level) => level === "error").length, 1);
});

test("age is by timestamp, then by name, and without timestamps by order of reading", () => {
  const at = (creationOrder: number, creationTimestamp?: string) => ({
    creationOrder,
    creationTimestamp,
    namespace: "a",
    name: "b",
  });
  assert.ok(compareAge(at(1, "2026-01-01T00:00:00Z"), at(0, "2026-01-02T00:00:00Z")) < 0);
  assert.ok(compareAge(at(1, "2026-01-01T00:00:00Z"), at(0)) < 0, "what has no timestamp is newer");
  assert.ok(compareAge(at(0), at(1)) < 0);
  assert.equal(compareAge(at(0), at(0)), 0);
  const named = (name: string, order: number) => ({ ...at(order, "2026-01-01T00:00:00Z"), name });
  assert.ok(compareAge(named("a", 1), named("b", 0)) < 0, "of one second, the name decides");
});
