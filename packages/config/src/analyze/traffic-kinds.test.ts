import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../parse-config.ts";
import { analyze } from "./analyze.ts";
import { explain } from "./explain.ts";

const found = (text: string, code: string) => {
  const { objects, findings } = parseConfig(text, "m.yaml");
  assert.deepEqual(
    findings.filter(({ level }) => level === "error"),
    [],
  );
  return analyze(objects).filter((finding) => finding.code === code);
};
const levels = (text: string, code: string) => found(text, code).map(({ level }) => level);

const groups: Readonly<Record<string, string>> = {
  EnvoyFilter: "networking.istio.io/v1alpha3",
  ProxyConfig: "networking.istio.io/v1beta1",
  RequestAuthentication: "security.istio.io/v1",
  MeshConfig: "mesh.istio.io/v1alpha1",
  MeshDefaults: "weft.dev/v1alpha1",
  Service: "v1",
};
const object = (kind: string, name: string, spec: string, metadata = "") =>
  `---\napiVersion: ${groups[kind] ?? "networking.istio.io/v1"}\nkind: ${kind}\n` +
  `metadata: {name: ${name}${metadata}}\nspec: {${spec}}\n`;
const service = (name: string, port = "name: http, port: 80", metadata = "") =>
  object("Service", name, `ports: [{${port}}]`, metadata);
const filter = (name: string, patch: string, spec = "") =>
  object("EnvoyFilter", name, `${spec}configPatches: [{${patch}}]`);

test("a general and a particular Sidecar do not conflict, two particular ones for one workload do", () => {
  const workload = object("WorkloadEntry", "w", "address: 10.0.0.1, labels: {app: a, tier: web}");
  const one = object("Sidecar", "one", 'workloadSelector: {labels: {app: a}}, egress: [{hosts: ["./*"]}]');
  const two = object("Sidecar", "two", 'workloadSelector: {labels: {tier: web}}, egress: [{hosts: ["./*"]}]');
  const all = object("Sidecar", "all", 'egress: [{hosts: ["./*"]}]');
  assert.deepEqual(levels(one + all, "WF1131"), []);
  assert.deepEqual(levels(one + two, "WF1131"), []);
  const [finding] = found(workload + one + two, "WF1131");
  assert.match(finding?.message ?? "", /Sidecar default\/one \(m\.yaml:7:1\) selects the same workloads and is older/);
  assert.equal(finding?.name, "two");
});

test("the older Sidecar holds whatever the order of the files, and namespaces are apart", () => {
  const at = (time: string) => `, creationTimestamp: "${time}T00:00:00Z"`;
  const spec = 'egress: [{hosts: ["./*"]}]';
  const young = object("Sidecar", "young", spec, at("2026-02-01"));
  assert.deepEqual(
    found(young + object("Sidecar", "old", spec, at("2026-01-01")), "WF1131").map(({ name }) => name),
    ["young"],
  );
  assert.deepEqual(levels(young + object("Sidecar", "young", spec, ", namespace: b"), "WF1131"), []);
});

test("ProxyConfig and Telemetry conflict alike", () => {
  const proxies = object("ProxyConfig", "a", "concurrency: 1") + object("ProxyConfig", "b", "concurrency: 2");
  assert.deepEqual(levels(proxies, "WF1131"), ["error"]);
});

test("egress hosts with wildcards, exclusions and other namespaces are looked up as a Sidecar means them", () => {
  const services = service("a") + service("b", undefined, ", namespace: shop");
  const sidecar = (...hosts: string[]) => object("Sidecar", "s", `egress: [{hosts: ${JSON.stringify(hosts)}}]`);
  const good = [
    "*/*",
    "./*",
    "shop/*",
    "./a.default.svc.cluster.local",
    "*/b.shop.svc.cluster.local",
    "~/gone.example",
  ];
  assert.deepEqual(found(services + sidecar(...good, "*/*.shop.svc.cluster.local"), "WF1132"), []);
  const [wrong] = found(services + sidecar("./b.shop.svc.cluster.local"), "WF1132");
  assert.match(wrong?.message ?? "", /did you mean "shop\/b\.shop\.svc\.cluster\.local"\?/);
  assert.deepEqual(levels(services + sidecar("shpo/*"), "WF1132"), ["info"]);
  assert.deepEqual(levels(sidecar("./a.example"), "WF1132"), [], "no service is known, so none is missing");
});

test("a Sidecar's egressProxy is a service", () => {
  const sidecar = object("Sidecar", "s", "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: out}}");
  assert.match(found(service("a") + sidecar, "WF1132")[0]?.message ?? "", /egressProxy "out" is no known service/);
  assert.deepEqual(found(service("out") + sidecar, "WF1132"), []);
});

test("without Namespace objects an unknown exportTo is only a remark", () => {
  const rule = object("DestinationRule", "d", "host: a, exportTo: [elsewhere]");
  assert.deepEqual(levels(rule, "WF1133"), ["info"]);
  assert.deepEqual(levels(rule + service("x", undefined, ", namespace: elsewhere"), "WF1133"), []);
});

test("only filters placed by others depend on order, and a priority settles it", () => {
  const before = "applyTo: HTTP_FILTER, patch: {operation: INSERT_BEFORE, value: {name: a}}";
  assert.deepEqual(levels(filter("f", before), "WF1134"), ["warning"]);
  assert.deepEqual(levels(filter("f", before, "priority: -1, "), "WF1134"), []);
  for (const operation of ["ADD", "INSERT_FIRST", "MERGE", "REMOVE"]) {
    assert.deepEqual(levels(filter("f", before.replace("INSERT_BEFORE", operation)), "WF1134"), []);
  }
  const version = `match: {proxy: {proxyVersion: "1.3"}}, ${before}`;
  assert.match(found(filter("f", version), "WF1134")[0]?.message ?? "", /on the proxy's version/);
});

test("operations that Istio's control plane passes over are told, those it applies are not", () => {
  const told = (applyTo: string, operation: string) =>
    levels(filter("f", `applyTo: ${applyTo}, patch: {operation: ${operation}, value: {name: a}}`), "WF1135").length > 0;
  for (const [applyTo, operation] of [
    ["CLUSTER", "REPLACE"],
    ["LISTENER", "INSERT_FIRST"],
    ["ROUTE_CONFIGURATION", "ADD"],
    ["HTTP_ROUTE", "REPLACE"],
    ["EXTENSION_CONFIG", "MERGE"],
    ["BOOTSTRAP", "REMOVE"],
  ] as const) {
    assert.ok(told(applyTo, operation), `${applyTo} ${operation}`);
  }
  for (const [applyTo, operation] of [
    ["HTTP_ROUTE", "ADD"],
    ["HTTP_ROUTE", "REMOVE"],
    ["VIRTUAL_HOST", "REPLACE"],
    ["HTTP_FILTER", "REPLACE"],
    ["CLUSTER", "MERGE_AND_REPLACE_LIST"],
  ] as const) {
    assert.ok(!told(applyTo, operation), `${applyTo} ${operation}`);
  }
});

test("an EnvoyFilter's service is a full host and its Gateway has a namespace", () => {
  const cluster = (name: string) =>
    filter("f", `applyTo: CLUSTER, match: {cluster: {service: ${name}}}, patch: {operation: REMOVE}`);
  assert.deepEqual(found(service("a") + cluster("a.default.svc.cluster.local"), "WF1137"), []);
  assert.match(
    found(service("a") + cluster("a"), "WF1137")[0]?.message ?? "",
    /did you mean "a\.default\.svc\.cluster\.local"/,
  );
  const route = (gateway: string) =>
    filter(
      "f",
      `applyTo: VIRTUAL_HOST, match: {routeConfiguration: {gateway: ${gateway}}}, patch: {operation: REMOVE}`,
    );
  const door = object("Gateway", "door", "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a.b]}]");
  assert.deepEqual(levels(door + route("door"), "WF1137"), ["warning"]);
  assert.deepEqual(levels(door + route("default/door"), "WF1137"), []);
});

const root = (delegate: string, match = "uri: {prefix: /a}") =>
  object("VirtualService", "root", `hosts: [a.b], http: [{match: [{${match}}], delegate: {${delegate}}}]`);
const leaf = (spec: string, metadata = "") => object("VirtualService", "leaf", spec, metadata);
const answer = "directResponse: {status: 200}";

test("what is wrong with a delegate is told where it can be mended", () => {
  const table: readonly (readonly [string, RegExp, string])[] = [
    [root("name: gone"), /"default\/gone" is no known VirtualService/, "root"],
    [root("name: leaf") + leaf(`hosts: [x.y], http: [{${answer}}]`), /has hosts, so it is none/, "root"],
    [
      root("name: leaf, namespace: b") + leaf(`exportTo: ["."], http: [{${answer}}]`, ", namespace: b"),
      /is not visible here/,
      "root",
    ],
    [
      root("name: leaf") +
        leaf("http: [{delegate: {name: more}}]") +
        leaf("http: [{x}]").replace("leaf", "more").replace("{x}", `{${answer}}`),
      /cannot delegate further/,
      "leaf",
    ],
    [root("name: leaf") + leaf(`http: [{match: [{uri: {exact: /b}}], ${answer}}]`), /is not within that of/, "leaf"],
  ];
  for (const [text, message, name] of table) {
    const [finding] = found(text, "WF1138");
    assert.match(finding?.message ?? "", message);
    assert.equal(finding?.name, name);
  }
});

test("a delegate that lies within its root is in order", () => {
  const good = leaf(`http: [{match: [{uri: {exact: /a/b}}], ${answer}}, {${answer}}]`);
  assert.deepEqual(found(root("name: leaf") + good, "WF1138"), []);
});

test("ports say their protocol by name, by appProtocol, or not at all", () => {
  const told = (port: string) => levels(service("a", port), "WF1139").length > 0;
  for (const port of ["name: http, port: 80", "name: grpc-web-x, port: 80", "name: tcp-db, port: 1"])
    assert.ok(!told(port));
  assert.ok(!told("name: web, port: 80, appProtocol: kubernetes.io/h2c"));
  assert.ok(!told("name: dns, port: 53, protocol: UDP"));
  for (const port of ["port: 80", "name: web, port: 80", "name: httpx, port: 80"]) assert.ok(told(port), port);
  assert.ok(told("name: http, port: 80, appProtocol: soap"));
});

test("a DestinationRule is looked up by its clients, its service and the root namespace", () => {
  const shop = service("stock", undefined, ", namespace: shop");
  const rule = (namespace: string, host = "stock.shop.svc.cluster.local") =>
    object("DestinationRule", "d", `host: ${host}`, `, namespace: ${namespace}`);
  assert.deepEqual(levels(shop + rule("policies"), "WF1140"), ["warning"]);
  assert.deepEqual(levels(shop + rule("policies") + service("x", undefined, ", namespace: policies"), "WF1140"), [
    "info",
  ]);
  for (const good of [rule("shop"), rule("istio-system"), rule("policies", "stock"), rule("policies", "a.example")]) {
    assert.deepEqual(levels(shop + good, "WF1140"), []);
  }
});

test("claims of tokens are looked at only at a Gateway whose proxies read tokens", () => {
  const gateway = object(
    "Gateway",
    "g",
    "selector: {istio: g}, servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a.b]}]",
  );
  const routed = (gateways: string) =>
    object(
      "VirtualService",
      "v",
      `hosts: [a.b], ${gateways}http: [{match: [{withoutHeaders: {"@request.auth.claims.a": {}}}], ${answer}}]`,
    );
  const tokens = (labels: string, metadata: string) =>
    object("RequestAuthentication", "r", `selector: {matchLabels: {${labels}}}`, metadata);
  assert.match(found(routed(""), "WF1141")[0]?.message ?? "", /only at a Gateway/);
  const bound = gateway + routed("gateways: [g], ");
  assert.deepEqual(levels(bound, "WF1141"), ["error"]);
  assert.deepEqual(levels(bound + tokens("istio: g", ", namespace: istio-system"), "WF1141"), []);
  assert.deepEqual(levels(bound + tokens("istio: other", ""), "WF1141"), ["error"]);
  assert.deepEqual(levels(bound + tokens("istio: g", ", namespace: elsewhere"), "WF1141"), ["error"]);
});

test("a setting of HTTP/2 is in order where a port is declared as HTTP/2", () => {
  const rule = (pool: string, more = "") =>
    object("DestinationRule", "d", `host: a, trafficPolicy: {${more}connectionPool: {http: {${pool}}}}`);
  const streams = "maxConcurrentStreams: 5";
  assert.deepEqual(levels(service("a") + rule(streams), "WF1142"), ["warning"]);
  assert.deepEqual(levels(service("a") + rule("http2KeepAlive: {interval: 1s, timeout: 1s}"), "WF1142"), ["warning"]);
  for (const port of ["name: grpc, port: 80", "name: http2, port: 80", "name: other, port: 80, appProtocol: grpc"]) {
    assert.deepEqual(levels(service("a", port) + rule(streams), "WF1142"), []);
  }
  for (const more of ["useClientProtocol: true", "h2UpgradePolicy: UPGRADE"]) {
    assert.deepEqual(levels(service("a") + rule(`${streams}, ${more}`), "WF1142"), ["warning"]);
  }
  assert.deepEqual(levels(rule(streams), "WF1142"), [], "the service is not known");
});

test("faults count by percentage or by the older percent, and mirrors need none", () => {
  const route = (fields: string) =>
    object("VirtualService", "v", `hosts: [a], http: [{${fields}, route: [{destination: {host: a}}]}]`);
  assert.deepEqual(levels(route("fault: {delay: {fixedDelay: 1s}, abort: {httpStatus: 500}}"), "WF1144"), [
    "warning",
    "warning",
  ]);
  assert.deepEqual(levels(route("fault: {abort: {httpStatus: 500, percentage: {}}}"), "WF1144"), ["warning"]);
  assert.deepEqual(levels(route("fault: {delay: {fixedDelay: 1s, percent: 5}}"), "WF1144"), []);
  assert.deepEqual(levels(route("mirror: {host: b}"), "WF1144"), []);
});

test("settings of the mesh hold once, in the root namespace, wherever they are written", () => {
  const here = ", namespace: istio-system";
  const document = object("MeshConfig", "own", "enableTracing: false", here);
  const configMap = `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio${here}}\ndata: {mesh: "enableTracing: true"}\n`;
  assert.deepEqual(levels(document, "WF1147"), []);
  const [finding] = found(configMap + document, "WF1147");
  assert.match(finding?.message ?? "", /MeshConfig istio-system\/istio \(m\.yaml:2:1\) is older and holds/);
  assert.match(found(object("MeshConfig", "own", ""), "WF1147")[0]?.message ?? "", /write namespace: istio-system/);
});

test("settings of a port name what they replace", () => {
  const rule = (whole: string, port: string) =>
    object(
      "DestinationRule",
      "d",
      `host: a, trafficPolicy: {${whole}, portLevelSettings: [{port: {number: 80}, ${port}}]}`,
    );
  const balanced = "loadBalancer: {simple: RANDOM}";
  assert.match(
    found(rule(`${balanced}, retryBudget: {percent: 5}`, "connectionPool: {}"), "WF1148")[0]?.message ?? "",
    /loadBalancer, retryBudget of trafficPolicy does not hold for port 80/,
  );
  assert.deepEqual(found(rule(balanced, balanced), "WF1148"), []);
});

test("a selector in the root namespace is in order where workloads are there", () => {
  const sidecar = object(
    "Sidecar",
    "s",
    'workloadSelector: {labels: {a: b}}, egress: [{hosts: ["./*"]}]',
    ", namespace: istio-system",
  );
  assert.deepEqual(levels(sidecar, "WF1149"), ["warning"]);
  const workload = object("WorkloadEntry", "w", "address: 10.0.0.1, labels: {a: b}", ", namespace: istio-system");
  assert.deepEqual(levels(sidecar + workload, "WF1149"), []);
});

test("gateway errors count only below the bound of 5xx errors, or beside none", () => {
  const rule = (outliers: string) =>
    object("DestinationRule", "d", `host: a, trafficPolicy: {outlierDetection: {${outliers}}}`);
  assert.deepEqual(levels(rule("consecutiveGatewayErrors: 5"), "WF1150"), ["warning"]);
  assert.deepEqual(levels(rule("consecutiveGatewayErrors: 4"), "WF1150"), []);
  assert.deepEqual(levels(rule("consecutiveGatewayErrors: 4, consecutive5xxErrors: 3"), "WF1150"), ["warning"]);
});

test("members that a WorkloadGroup will have are known to selectors", () => {
  const group = object("WorkloadGroup", "g", "metadata: {labels: {app: till}}, template: {}");
  const other = object("WorkloadEntry", "w", "address: 10.0.0.1, labels: {app: other}");
  const sidecar = object("Sidecar", "s", 'workloadSelector: {labels: {app: till}}, egress: [{hosts: ["./*"]}]');
  assert.deepEqual(levels(other + sidecar, "WF1104"), ["warning"]);
  assert.deepEqual(levels(other + group + sidecar, "WF1104"), []);
});

test("Istio's and Kiali's codes of these lead to ours, also those only a control plane finds", () => {
  for (const [theirs, ours] of [
    ["IST0110", "WF1131"],
    ["KIA1004", "WF1132"],
    ["KIA0005", "WF1133"],
    ["IST0151", "WF1134"],
    ["IST0153", "WF1135"],
    ["IST0118", "WF1139"],
    ["IST0149", "WF1141"],
    ["KIA1702", "WF1146"],
  ] as const) {
    assert.match(explain(theirs) ?? "", new RegExp(`## ${ours} `), theirs);
  }
  assert.match(explain("WF1136") ?? "", /matches nothing/);
});
