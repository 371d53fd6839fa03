import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../parse-config.ts";

const apiVersions: Readonly<Record<string, string>> = {
  Sidecar: "networking.istio.io/v1",
  WorkloadGroup: "networking.istio.io/v1beta1",
  EnvoyFilter: "networking.istio.io/v1alpha3",
  ProxyConfig: "networking.istio.io/v1beta1",
  MeshConfig: "mesh.istio.io/v1alpha1",
  MeshDefaults: "weft.dev/v1alpha1",
  LocalRateLimit: "weft.dev/v1alpha1",
  RequestAuthentication: "security.istio.io/v1",
  Telemetry: "telemetry.istio.io/v1alpha1",
};
const read = (kind: string, spec: string) =>
  parseConfig(`apiVersion: ${apiVersions[kind]}\nkind: ${kind}\nmetadata: {name: x}\nspec: ${spec}\n`, "f");

const egress = (fields: string) => `{egress: [{${fields}}]}`;
const ingress = (fields: string) => `{workloadSelector: {labels: {a: b}}, ingress: [{${fields}}]}`;
const inPort = "port: {number: 9080, protocol: HTTP, name: http}";
const probe = (fields: string) => `{template: {}, probe: {${fields}}}`;
const patch = (applyTo: string, rest: string, match = "") =>
  `{configPatches: [{applyTo: ${applyTo}, ${match === "" ? "" : `match: {${match}}, `}patch: {${rest}}}]}`;
const limit = (fields: string) => `{bucket: {maxTokens: 5, fillInterval: 1s}, ${fields}}`;

/** Kind, spec, and the code, level and a part of the message expected first. */
const told: readonly (readonly [string, string, string, string])[] = [
  ["Sidecar", "{}", "WF1005 error", "says nothing"],
  ["Sidecar", egress("hosts: []"), "WF1006 error", "at least 1 entry"],
  ["Sidecar", egress("hosts: [reviews]"), "WF1006 error", "NAMESPACE/HOST"],
  ["Sidecar", egress("hosts: ['a/b/c']"), "WF1006 error", "NAMESPACE/HOST"],
  ["Sidecar", egress("hosts: ['./*', './*']"), "WF1006 error", "named twice"],
  ["Sidecar", egress("hosts: ['~/a.b']"), "WF1006 warning", "only takes away"],
  ["Sidecar", egress("port: {name: http}, hosts: ['./*']"), "WF1005 error", "needs its number"],
  ["Sidecar", egress("port: {number: 80, protocol: HTPP}, hosts: ['./*']"), "WF1006 error", "accepted: HTTP"],
  ["Sidecar", egress("bind: 127.0.0.1, hosts: ['./*']"), "WF1005 error", "needs a port"],
  ["Sidecar", egress("port: {number: 80}, bind: localhost, hosts: ['./*']"), "WF1006 error", "IP address"],
  [
    "Sidecar",
    egress("port: {number: 80}, bind: 127.0.0.1, captureMode: IPTABLES, hosts: ['./*']"),
    "WF1006 error",
    "IPTABLES",
  ],
  [
    "Sidecar",
    "{egress: [{hosts: ['./*']}, {port: {number: 80}, hosts: ['./*']}]}",
    "WF1005 error",
    "only the last one",
  ],
  [
    "Sidecar",
    "{egress: [{port: {number: 80}, hosts: ['./*']}, {port: {number: 80}, hosts: ['x/*']}]}",
    "WF1006 error",
    "twice",
  ],
  ["Sidecar", `{ingress: [{${inPort}}]}`, "WF1005 error", "workloadSelector"],
  ["Sidecar", ingress(`${inPort}, defaultEndpoint: 'example.com:80'`), "WF1006 error", "127.0.0.1:PORT"],
  ["Sidecar", ingress(`${inPort}, defaultEndpoint: '127.0.0.1:99999'`), "WF1006 error", "127.0.0.1:PORT"],
  ["Sidecar", ingress("port: {number: 0}"), "WF1005 error", "needs its number"],
  ["Sidecar", egress("port: {number: 80}, bind: 'unix:///a', hosts: ['./*']"), "WF1006 error", "no port number"],
  ["Sidecar", ingress(`${inPort}, bind: here`), "WF1006 error", "IP address"],
  [
    "Sidecar",
    ingress(`${inPort}, tls: {mode: SIMPLE, serverCertificate: a, privateKey: b}`),
    "WF1006 error",
    "HTTPS or TLS",
  ],
  [
    "Sidecar",
    ingress("port: {number: 1, protocol: TLS}, tls: {mode: ISTIO_MUTUAL}"),
    "WF1006 error",
    "SIMPLE or MUTUAL",
  ],
  ["Sidecar", ingress("port: {number: 1, protocol: TLS}, tls: {mode: SIMPLE}"), "WF1005 error", "serverCertificate"],
  [
    "Sidecar",
    "{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: out.edge.svc.cluster.local}}}",
    "WF1007 error",
    "egressProxy",
  ],
  ["Sidecar", "{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}", "WF1006 error", "accepted: REGISTRY_ONLY"],
  ["Sidecar", "{inboundConnectionPool: {tcp: {maxConnections: 0}}}", "WF1006 warning", "no limit"],
  ["WorkloadGroup", "{}", "WF1005 error", "template"],
  ["WorkloadGroup", "{template: {address: 10.0.0.1}}", "WF1006 error", "belongs to one workload"],
  ["WorkloadGroup", "{metadata: {labels: {a: b}}, template: {labels: {a: c}}}", "WF1006 warning", "metadata's holds"],
  ["WorkloadGroup", probe(""), "WF1005 error", "one of httpGet"],
  ["WorkloadGroup", probe("httpGet: {port: 80}, tcpSocket: {port: 80}"), "WF1007 error", "keep one"],
  ["WorkloadGroup", probe("httpGet: {port: 80, path: healthz}"), "WF1006 error", 'begin with "/"'],
  ["WorkloadGroup", probe("httpGet: {path: /}"), "WF1005 error", '"port"'],
  ["WorkloadGroup", probe("tcpSocket: {port: 80, host: 'a b'}"), "WF1006 error", "DNS name"],
  ["WorkloadGroup", probe("exec: {command: []}"), "WF1006 error", "at least 1"],
  ["WorkloadGroup", probe("exec: {command: ['']}"), "WF1006 error", "name a program"],
  ["WorkloadGroup", probe("grpc: {service: a}"), "WF1005 error", "needs a port"],
  ["EnvoyFilter", "{}", "WF1006 warning", "changes nothing"],
  ["EnvoyFilter", patch("CLUSTERS", "operation: REMOVE"), "WF1006 error", "did you mean CLUSTER?"],
  ["EnvoyFilter", patch("CLUSTER", "operation: PATCH, value: {}"), "WF1006 error", "accepted: MERGE"],
  ["EnvoyFilter", patch("CLUSTER", "operation: MERGE"), "WF1005 error", "needs a value"],
  ["EnvoyFilter", patch("CLUSTER", "operation: MERGE, value: {}"), "WF1006 error", "is empty"],
  ["EnvoyFilter", patch("CLUSTER", "operation: MERGE, value: [a]"), "WF1006 error", "must be an object"],
  [
    "EnvoyFilter",
    patch("CLUSTER", "operation: REMOVE", "routeConfiguration: {name: a}"),
    "WF1007 error",
    "write match.cluster",
  ],
  [
    "EnvoyFilter",
    patch("LISTENER", "operation: REMOVE", "listener: {name: a}, cluster: {name: b}"),
    "WF1007 error",
    "keep one",
  ],
  ["EnvoyFilter", patch("HTTP_FILTER", "operation: ADD, value: {typed_config: {}}"), "WF1005 error", "needs a name"],
  [
    "EnvoyFilter",
    patch("HTTP_FILTER", "operation: ADD, value: {name: a, typed_config: {b: c}}"),
    "WF1005 error",
    '"@type"',
  ],
  [
    "EnvoyFilter",
    patch("CLUSTER", "operation: MERGE, value: {a: b}, filterClass: AUTHN"),
    "WF1006 warning",
    "filterClass",
  ],
  ["EnvoyFilter", patch("BOOTSTRAP", "operation: MERGE, value: {a: b}", "context: GATEWAY"), "WF1006 error", "ANY"],
  ["EnvoyFilter", patch("CLUSTER", "operation: REMOVE", "proxy: {proxyVersion: '(a'}"), "WF1006 error", "RE2"],
  ["EnvoyFilter", "{priority: 3000000000, configPatches: []}", "WF1006 error", "at most"],
  ["ProxyConfig", "{concurrency: -1}", "WF1006 error", "at least 0"],
  ["ProxyConfig", "{image: {imageType: slim}}", "WF1006 error", "distroless"],
  ["ProxyConfig", "{environmentVariables: {A: 1}}", "WF1004 error", "put it in quotes"],
  ["MeshConfig", "{outboundTrafficPolicy: {mode: ALLOW_ALL}}", "WF1006 error", "did you mean ALLOW_ANY?"],
  ["MeshConfig", "{defaultServiceExportTo: ['*', a]}", "WF1006 error", 'keep "*" alone'],
  ["MeshConfig", "{extensionProviders: [{name: a}]}", "WF1005 error", "says not what it is"],
  ["MeshConfig", "{extensionProviders: [{name: a, zipkin: {}, prometheus: {}}]}", "WF1007 error", "keep one"],
  [
    "MeshConfig",
    "{extensionProviders: [{name: a, zipkin: {}}, {name: a, prometheus: {}}]}",
    "WF1006 error",
    "stands twice",
  ],
  ["MeshConfig", "{localityLbSetting: {}, zoneAwareLbSetting: {}}", "WF1007 error", "exclude each other"],
  ["MeshConfig", "{defaultConfig: {drainDuration: 45}}", "WF1004 error", "45s"],
  ["MeshConfig", "{defaultConfig: {connectionSettings: {profile: EGDE}}}", "WF1006 error", "did you mean EDGE?"],
  ["MeshDefaults", "{profile: istoi}", "WF1006 error", "did you mean istio?"],
  ["MeshDefaults", "{reasonHeader: yes}", "WF1006 error", "accepted: on, off, mesh"],
  ["MeshDefaults", "{retryBudget: {percent: 120}}", "WF1006 error", "at most 100"],
  ["MeshDefaults", "{adaptiveConcurrency: {minLimit: 50, maxLimit: 5}}", "WF1006 error", "above maxLimit"],
  ["LocalRateLimit", "{}", "WF1005 error", '"bucket"'],
  ["LocalRateLimit", "{bucket: {maxTokens: 0, fillInterval: 1s}}", "WF1006 error", "at least 1"],
  ["LocalRateLimit", "{bucket: {maxTokens: 1, fillInterval: 1ms}}", "WF1006 error", "at least 50ms"],
  [
    "LocalRateLimit",
    "{bucket: {maxTokens: 1, tokensPerFill: 5, fillInterval: 1s}}",
    "WF1006 warning",
    "raise maxTokens",
  ],
  ["LocalRateLimit", limit("per: key"), "WF1005 error", "key.header"],
  ["LocalRateLimit", limit("key: {header: x-user}"), "WF1007 error", "per: key"],
  ["LocalRateLimit", limit("status: 200"), "WF1006 error", "at least 400"],
  ["LocalRateLimit", limit("match: {path: {}}"), "WF1006 error", "is empty"],
  ["LocalRateLimit", limit("match: {path: {prefix: api}}"), "WF1006 warning", 'write "/api"'],
  ["LocalRateLimit", limit("responseHeaders: {'a b': c}"), "WF1006 error", "not a header name"],
  ["RequestAuthentication", "{jwtRules: [{}]}", "WF1005 error", "issuer"],
  ["RequestAuthentication", "{jwtRules: [{issuer: a, jwksUri: 'ftp://a'}]}", "WF1006 error", "http or https"],
  ["RequestAuthentication", "{jwtRules: [{issuer: a, jwks: '[]'}]}", "WF1006 error", "no set of keys"],
  ["RequestAuthentication", "{jwtRules: [{issuer: a, jwks: x, jwksUri: 'http://a'}]}", "WF1007 error", "keep one"],
  ["Telemetry", "{tracing: [{randomSamplingPercentage: 200}]}", "WF1006 error", "at most 100"],
  ["Telemetry", "{metrics: [{overrides: [{match: {metric: REQUESTS}}]}]}", "WF1006 error", "REQUEST_"],
];

for (const [kind, spec, code, part] of told) {
  test(`${kind} ${spec} is told: ${part}`, () => {
    const { findings, objects } = read(kind, spec);
    const found = findings.filter(({ code: one }) => one !== "WF1011");
    assert.equal(`${found[0]?.code} ${found[0]?.level}`, code, JSON.stringify(found));
    assert.ok(found[0]?.message.includes(part), found[0]?.message ?? "");
    assert.equal(objects.length, code.endsWith("error") ? 0 : 1);
  });
}

const taken: readonly (readonly [string, string])[] = [
  ["Sidecar", egress("hosts: ['./*', 'istio-system/*', '*/*.example.com', '~/secret.other.svc.cluster.local']")],
  ["Sidecar", egress("port: {number: 6379, protocol: REDIS, name: redis}, bind: 127.0.0.2, hosts: ['./redis']")],
  [
    "Sidecar",
    egress("port: {number: 0, protocol: HTTP, name: u}, bind: 'unix:///run/out.sock', hosts: ['./*']").replace(
      "{protocol",
      "{number: null, protocol",
    ),
  ],
  ["Sidecar", ingress(`${inPort}, defaultEndpoint: 'unix:///run/app.sock', captureMode: NONE, bind: 10.0.0.1`)],
  ["Sidecar", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}"],
  [
    "WorkloadGroup",
    "{metadata: {labels: {app: till}, annotations: {a: b}}, template: {ports: {http: 8080}, serviceAccount: till}}",
  ],
  [
    "WorkloadGroup",
    probe("initialDelaySeconds: 5, httpGet: {port: 80, path: /ok, httpHeaders: [{name: x-a, value: b}]}"),
  ],
  [
    "EnvoyFilter",
    patch(
      "CLUSTER",
      "operation: MERGE, value: {common_lb_config: {update_merge_window: 5s}}",
      "context: SIDECAR_OUTBOUND",
    ),
  ],
  [
    "EnvoyFilter",
    patch(
      "HTTP_FILTER",
      "operation: INSERT_BEFORE, value: {name: a, typed_config: {'@type': t/x}}",
      "listener: {portNumber: 80, filterChain: {filter: {name: m, subFilter: {name: r}}}}",
    ),
  ],
  [
    "EnvoyFilter",
    patch(
      "HTTP_ROUTE",
      "operation: MERGE_AND_REPLACE_LIST, value: {a: b}",
      "routeConfiguration: {vhost: {name: a, route: {action: ROUTE}}}",
    ),
  ],
  ["EnvoyFilter", "{priority: -5, configPatches: [{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {a: b}}}]}"],
  [
    "ProxyConfig",
    "{selector: {matchLabels: {a: b}}, concurrency: 0, environmentVariables: {A: b}, image: {imageType: debug}}",
  ],
  [
    "MeshConfig",
    "{enableAutoMtls: false, defaultConfig: {holdApplicationUntilProxyStarts: true, proxyMetadata: {A: b}}, meshMTLS: {minProtocolVersion: TLSV1_3}}",
  ],
  ["MeshDefaults", "{profile: istio, hedging: {enabled: true, percentile: 99}, adaptiveConcurrency: {enabled: true}}"],
  [
    "LocalRateLimit",
    limit(
      "side: outbound, per: connection, status: 503, match: {hosts: ['*.example.com'], methods: [POST], headers: {x: {}}}",
    ),
  ],
  [
    "RequestAuthentication",
    "{selector: {matchLabels: {a: b}}, jwtRules: [{issuer: a, jwksUri: 'https://a/k', fromHeaders: [{name: x, prefix: 'T '}]}]}",
  ],
  [
    "Telemetry",
    "{metrics: [{overrides: [{tagOverrides: {t: {value: \"node.metadata['x']\"}}}], providers: [{name: prometheus}]}]}",
  ],
];

for (const [kind, spec] of taken) {
  test(`${kind} ${spec} is taken as it is`, () => {
    const { findings, objects } = read(kind, spec);
    assert.deepEqual(
      findings.filter(({ code }) => code !== "WF1011"),
      [],
    );
    assert.equal(objects.length, 1);
  });
}

test("on and off are words also where YAML 1.1 made them booleans", () => {
  for (const [given, value] of [
    ["on", "on"],
    ["off", "off"],
    ["true", "on"],
    ["false", "off"],
    ["mesh", "mesh"],
  ] as const) {
    assert.deepEqual(read("MeshDefaults", `{reasonHeader: ${given}}`).objects[0]?.spec, { reasonHeader: value });
  }
});

test("kinds that tell of no effect as a whole keep a checked spec", () => {
  for (const [kind, spec] of [
    ["RequestAuthentication", "{}"],
    ["Telemetry", "{}"],
  ] as const) {
    const { findings, objects } = read(kind, spec);
    assert.deepEqual(
      findings.map(({ code, level }) => `${code} ${level}`),
      ["WF1011 info"],
    );
    assert.deepEqual(objects[0]?.spec, {});
  }
});

test("all versions that Istio serves are read as the same", () => {
  for (const version of ["v1", "v1beta1", "v1alpha3"]) {
    for (const [kind, spec] of [
      ["Sidecar", egress("hosts: ['./*']")],
      ["WorkloadGroup", "{template: {}}"],
    ] as const) {
      const text = `apiVersion: networking.istio.io/${version}\nkind: ${kind}\nmetadata: {name: x}\nspec: ${spec}\n`;
      assert.deepEqual(parseConfig(text, "f").findings, []);
    }
  }
});
