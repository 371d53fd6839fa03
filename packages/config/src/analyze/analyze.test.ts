import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../parse-config.ts";
import { analyze } from "./analyze.ts";
import type { AnalyzeContext } from "./facts.ts";

const found = (text: string, context: AnalyzeContext = {}) => {
  const { objects, findings } = parseConfig(text, "m.yaml");
  assert.deepEqual(
    findings.filter(({ level }) => level === "error"),
    [],
  );
  return analyze(objects, context).map(({ code, level, line, message }) => ({ code, level, line, message }));
};
const codes = (text: string, context: AnalyzeContext = {}) =>
  found(text, context).map(({ code, level }) => `${code} ${level}`);

const virtualService = (name: string, body: string, metadata = "") =>
  `---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ` +
  `${name}${metadata}}\nspec: {${body}}\n`;
const destinationRule = (name: string, body: string, metadata = "") =>
  `---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: ` +
  `${name}${metadata}}\nspec: {${body}}\n`;
const service = (name: string, ports = "{name: http, port: 80}") =>
  `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {selector: {app: ` +
  `${name}}, ports: [${ports}]}\n`;
const deployment = (name: string, labels: string) =>
  `---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: ${name}}\nspec: {template: ` +
  `{metadata: {labels: {${labels}}}}}\n`;
const peers = (name: string, mode: string, metadata = "", more = "") =>
  `---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: ` +
  `${name}${metadata}}\nspec: {mtls: {mode: ${mode}}${more}}\n`;
const toHost = (host: string) => `http: [{route: [{destination: {host: ${host}}}]}]`;

const mesh = [
  service("catalog"),
  deployment("catalog-v1", "app: catalog, version: v1"),
  deployment("catalog-v2", "app: catalog, version: v2"),
  destinationRule(
    "catalog",
    "host: catalog, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]",
  ),
  virtualService(
    "catalog",
    `hosts: [catalog], http: [{timeout: 2s, retries: {attempts: 2, perTryTimeout: 500ms}, route: [
    {destination: {host: catalog, subset: v1}, weight: 90}, {destination: {host: catalog, subset: v2}, weight: 10}]}]`,
  ),
  peers("default", "STRICT"),
].join("");

test("a mesh in order has no findings", () => {
  assert.deepEqual(found(mesh), []);
});

test("a host is an error where services are known and a warning where none is", () => {
  assert.deepEqual(codes(service("a") + virtualService("b", `hosts: [b], ${toHost("b")}`)), ["WF1101 error"]);
  assert.deepEqual(codes(virtualService("b", `hosts: [b], ${toHost("b")}`)), ["WF1101 warning"]);
});

test("services and workloads of registries count as known", () => {
  const known = { hostname: "b.default.svc.cluster.local", namespace: "default", external: false, ports: [] };
  const context = { services: [{ ...known, endpointLabels: [{ version: "v1" }] }] };
  const rule = (version: string) =>
    destinationRule("b", `host: b, subsets: [{name: s, labels: {version: ${version}}}]`);
  assert.deepEqual(codes(virtualService("b", `hosts: [b], ${toHost("b")}`) + rule("v1"), context), []);
  assert.deepEqual(codes(rule("v2"), context), ["WF1111 error"]);
});

test("a name without dots is of the object's own namespace", () => {
  const other = virtualService("c", `hosts: [catalog], ${toHost("catalog")}`, ", namespace: shop");
  const [finding] = found(mesh + other).filter(({ code }) => code === "WF1101");
  assert.match(finding?.message ?? "", /"catalog" \(catalog\.shop\.svc\.cluster\.local\).*catalog\.default\.svc/);
  const full = virtualService("c", `hosts: [x.y], ${toHost("catalog.default.svc.cluster.local")}`, ", namespace: shop");
  assert.deepEqual(codes(mesh + full), []);
});

test("wildcard services cover their names, and mirrors count as destinations", () => {
  const entry = `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: w}
spec: {hosts: ["*.example.com"], ports: [{number: 80, name: http, protocol: HTTP}]}
`;
  assert.deepEqual(codes(entry + virtualService("v", `hosts: [a.example.com], ${toHost("a.example.com")}`)), []);
  const mirrored =
    "hosts: [a.example.com], http: [{mirror: {host: gone}, route: [{destination: {host: a.example.com}}]}]";
  assert.deepEqual(codes(entry + virtualService("v", mirrored)), ["WF1101 error"]);
});

test("a subset missing from a known host is an error, also when no rule exists for it", () => {
  const route = "hosts: [catalog], http: [{route: [{destination: {host: catalog, subset: v3}}]}]";
  assert.deepEqual(codes(service("catalog") + virtualService("v", route)), ["WF1102 error"]);
  assert.deepEqual(codes(virtualService("v", route)), ["WF1101 warning", "WF1102 warning"]);
});

test("of two VirtualServices for a host the younger is told, who wins, and when", () => {
  const older = virtualService(
    "z",
    `hosts: [catalog], ${toHost("catalog")}`,
    ", creationTimestamp: '2026-01-01T00:00:00Z'",
  );
  const younger = virtualService(
    "a",
    `hosts: [catalog], ${toHost("catalog")}`,
    ", creationTimestamp: '2026-02-01T00:00:00Z'",
  );
  const [finding] = found(service("catalog") + younger + older);
  assert.equal(finding?.code, "WF1106");
  assert.match(finding?.message ?? "", /VirtualService default\/z \(m\.yaml:\d+:1\), which is older and wins/);
});

test("VirtualServices that no client sees together, or that meet only at a gateway, do not conflict", () => {
  const one = (name: string, more: string, metadata = "") =>
    virtualService(
      name,
      `hosts: [catalog.default.svc.cluster.local], ${more}, ${toHost("catalog.default.svc.cluster.local")}`,
      metadata,
    );
  const apart = one("a", 'exportTo: ["."]') + one("b", 'exportTo: ["."]', ", namespace: shop");
  assert.deepEqual(codes(service("catalog") + apart), []);
  const gateway = `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec: {servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ["*"]}]}
`;
  assert.deepEqual(codes(gateway + service("catalog") + one("a", "gateways: [g]") + one("b", "gateways: [g]")), []);
  assert.deepEqual(
    codes(gateway + service("catalog") + one("a", "gateways: [g, mesh]") + one("b", "exportTo: [default]")),
    ["WF1106 error"],
  );
});

test("weights that are zero, missing or alone are told", () => {
  const routed = (route: string) =>
    codes(service("a") + virtualService("a", `hosts: [a], http: [{route: [${route}]}]`));
  const to = (weight: string) => `{destination: {host: a, port: {number: 80}}${weight}}`;
  const next = "{destination: {host: a}, weight: 100}";
  assert.deepEqual(routed(to("")), []);
  assert.deepEqual(routed(to(", weight: 100")), []);
  assert.deepEqual(routed(to(", weight: 0")), ["WF1108 warning"]);
  assert.deepEqual(routed(`${to(", weight: 0")}, ${next}`), ["WF1108 info"]);
  assert.deepEqual(routed(`${to("")}, ${next}`), ["WF1108 warning"]);
  assert.deepEqual(routed(`${to(", weight: 1")}, ${next}`), ["WF1108 warning"]);
});

test("rules behind a rule for everything are unreachable, each of them", () => {
  const rules =
    "hosts: [a], http: [{route: [{destination: {host: a}}]}, {match: [{uri: {prefix: /x}}], " +
    "directResponse: {status: 200}}, {directResponse: {status: 404}}]";
  assert.deepEqual(codes(service("a") + virtualService("a", rules)), ["WF1109 warning", "WF1109 warning"]);
  const tcp =
    "hosts: [a], tcp: [{route: [{destination: {host: a}}]}, {match: [{port: 1}], route: [{destination: {host: a}}]}]";
  assert.deepEqual(codes(service("a") + virtualService("a", tcp)), ["WF1109 warning"]);
});

test("retries and faults are held against the timeout", () => {
  const routed = (fields: string) =>
    codes(service("a") + virtualService("a", `hosts: [a], http: [{${fields}, route: [{destination: {host: a}}]}]`));
  assert.deepEqual(routed("timeout: 1s, retries: {attempts: 3, perTryTimeout: 250ms}"), []);
  assert.deepEqual(routed("timeout: 1s, retries: {attempts: 3, perTryTimeout: 300ms}"), ["WF1113 warning"]);
  assert.deepEqual(routed("timeout: 1s, retries: {attempts: 1, perTryTimeout: 1s}"), ["WF1113 warning"]);
  assert.deepEqual(routed("retries: {attempts: 3, perTryTimeout: 30s}"), []);
  assert.deepEqual(routed("timeout: 0s, retries: {attempts: 3, perTryTimeout: 30s}"), []);
  assert.deepEqual(routed("timeout: 2s, fault: {delay: {fixedDelay: 3s, percentage: {value: 1}}}"), ["WF1113 warning"]);
});

test("mutual TLS conflicts are found by workload, namespace and mesh policy, in both directions", () => {
  const plain = destinationRule("catalog", "host: catalog, trafficPolicy: {tls: {mode: DISABLE}}");
  const mutual = destinationRule("catalog", "host: catalog, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}");
  const base = service("catalog") + deployment("c", "app: catalog");
  const one = ", selector: {matchLabels: {app: catalog}}";
  assert.deepEqual(codes(base + plain + peers("d", "STRICT", ", namespace: istio-system")), ["WF1117 error"]);
  assert.deepEqual(codes(base + plain + peers("d", "STRICT") + peers("c", "PERMISSIVE", "", one)), []);
  assert.deepEqual(codes(base + plain + peers("d", "PERMISSIVE") + peers("c", "STRICT", "", one)), ["WF1117 error"]);
  assert.deepEqual(codes(base + mutual + peers("d", "DISABLE")), ["WF1117 error"]);
  assert.deepEqual(codes(base + mutual + peers("d", "STRICT")), []);
  assert.deepEqual(codes(base + plain + peers("d", "STRICT", ", namespace: other")), []);
  assert.deepEqual(codes(base + plain), []);
});

test("TLS to services outside the mesh conflicts with no policy", () => {
  const simple = destinationRule(
    "x",
    "host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /c}}",
  );
  assert.deepEqual(codes(simple + peers("d", "STRICT")), []);
});

test("values of policies that can match nothing are told with the cure", () => {
  const policy = (spec: string) =>
    found(`apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: {${spec}}\n`).map(
      ({ message }) => message,
    );
  const operation = (fields: string) => policy(`rules: [{to: [{operation: {${fields}}}]}]`)[0] ?? "";
  assert.match(operation("methods: [Get]"), /did you mean GET\?/);
  assert.match(operation("paths: [admin]"), /write "\/admin"/);
  assert.equal(operation("methods: [PURGE], paths: ['*/x', '/a*']"), "");
  assert.match(policy("rules: [{from: [{source: {principals: [spiffe://a/ns/b/sa/c]}}]}]")[0] ?? "", /without spiffe/);
  assert.match(policy("action: DENY")[0] ?? "", /never matches/);
  assert.deepEqual(policy("action: ALLOW"), []);
});

test("an HTTP field for a TCP port is told unless the rule keeps to other ports", () => {
  const queue = service("queue", "{name: tcp-q, port: 5672}, {name: http, port: 80}");
  const policy = (action: string, operation: string) =>
    found(
      `${queue}---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}
spec: {selector: {matchLabels: {app: queue}}, action: ${action}, rules: [{to: [{operation: {${operation}}}]}]}\n`,
    ).map(({ message }) => message);
  assert.match(policy("ALLOW", "methods: [GET]")[0] ?? "", /TCP port 5672: the rule is dropped/);
  assert.match(policy("DENY", "paths: [/x]")[0] ?? "", /the rule is wider/);
  assert.deepEqual(policy("ALLOW", "methods: [GET], ports: ['80']"), []);
});

test("fields without effect are told by value and in every place they can stand", () => {
  const nested =
    "host: a, subsets: [{name: s, labels: {k: v}, trafficPolicy: {portLevelSettings: [{port: " +
    "{number: 1}, outlierDetection: {outlierDetectionHttpErrorCodes: [500]}}]}}]";
  const [finding] = found(destinationRule("a", nested));
  assert.equal(finding?.code, "WF1130");
  assert.match(
    finding?.message ?? "",
    /portLevelSettings\[0\]\.outlierDetection\.outlierDetectionHttpErrorCodes has no effect yet/,
  );
  const custom = (action: string, more: string) =>
    codes(
      `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: ` +
        `{action: ${action}, rules: [{}]${more}}\n`,
    );
  assert.deepEqual(custom("CUSTOM", ", provider: {name: x}").sort(), ["WF1130 info", "WF1130 warning"]);
  assert.deepEqual(custom("DENY", ""), []);
});

test("an annotation suppresses codes, by our name or Istio's", () => {
  const conflict = (annotation: string) =>
    codes(destinationRule("a", "host: a, subsets: [{name: s}]", `, annotations: {${annotation}}`));
  assert.deepEqual(conflict("x: y"), ["WF1126 warning"]);
  assert.deepEqual(conflict('weft.dev/suppress: "WF1126, WF1101"'), []);
  assert.deepEqual(conflict("galley.istio.io/analyze-suppress: KIA0209"), []);
  assert.deepEqual(conflict('weft.dev/suppress: "*"'), []);
});

test("an object that suppresses a clash is not held against others either", () => {
  const one = virtualService("catalog", `hosts: [catalog], ${toHost("catalog")}`);
  const meant = virtualService(
    "catalog",
    `hosts: [catalog], ${toHost("catalog")}`,
    ', annotations: {weft.dev/suppress: "WF1105,WF1106"}',
  );
  assert.deepEqual(codes(service("catalog") + meant + one), []);
  assert.deepEqual(codes(service("catalog") + one + meant), []);
  assert.deepEqual(codes(service("catalog") + one + one), ["WF1105 error"]);
});

test("findings beyond the bound of an analyzer are counted", () => {
  const rules = Array.from({ length: 503 }, (_, index) =>
    destinationRule(`r${index}`, `host: h${index}, subsets: [{name: s}]`),
  );
  const all = found(rules.join(""));
  assert.equal(all.length, 500);
  assert.match(all.at(-1)?.message ?? "", /\(and 3 more like this\)$/);
});

test("findings come in the order of the text", () => {
  const lines = found(
    virtualService("a", `hosts: [a], ${toHost("x")}`) +
      virtualService("b", `hosts: [b], gateways: [g], ${toHost("y")}`),
  ).map(({ line }) => line);
  assert.deepEqual(
    lines,
    [...lines].sort((a, b) => a - b),
  );
  assert.equal(lines.length, 3);
});
