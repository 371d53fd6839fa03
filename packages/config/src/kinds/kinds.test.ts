import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../parse-config.ts";
import { findKind } from "./find-kind.ts";
import { kinds } from "./index.ts";

const apiVersions: Readonly<Record<string, string>> = {
  PeerAuthentication: "security.istio.io/v1",
  AuthorizationPolicy: "security.istio.io/v1",
  Service: "v1",
  Endpoints: "v1",
  Secret: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
};

const findings = (kind: string, spec: string, head = "") => {
  const apiVersion = apiVersions[kind] ?? "networking.istio.io/v1";
  const root = kind === "Endpoints" || kind === "EndpointSlice" || kind === "Secret";
  const body = root ? spec : `spec: ${spec}`;
  return parseConfig(`apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x${head}}\n${body}\n`, "f").findings;
};

const to = "route: [{destination: {host: a}}]";
const rule = (fields: string) => `{hosts: [a], http: [{${fields}, ${to}}]}`;
const server = (port: string, more = "") =>
  `{servers: [{port: {number: 443, name: p, protocol: ${port}}, hosts: [a.b]${more}}]}`;
const entry = (fields: string) => `{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], ${fields}}`;
const source = (fields: string) => `{rules: [{from: [{source: {${fields}}}]}]}`;
const operation = (fields: string) => `{rules: [{to: [{operation: {${fields}}}]}]}`;
const policy = (fields: string) => `{host: a, trafficPolicy: {${fields}}}`;

/** Kind, spec, and the code and a part of the message expected first. */
const refused: readonly (readonly [string, string, string, string])[] = [
  ["VirtualService", "{hosts: [a]}", "WF1005", "at least one rule"],
  ["VirtualService", "{hosts: [a, a], http: [{directResponse: {status: 200}}]}", "WF1006", "named twice"],
  ["VirtualService", "{hosts: ['*'], http: [{directResponse: {status: 200}}]}", "WF1006", "not allowed in the mesh"],
  ["VirtualService", "{hosts: [a], http: [{timeout: 1s}]}", "WF1005", "needs one of route, redirect"],
  ["VirtualService", "{hosts: [a], http: [{route: []}]}", "WF1005", "needs one of route, redirect"],
  ["VirtualService", rule("redirect: {uri: /x}"), "WF1007", "both route and redirect"],
  [
    "VirtualService",
    "{hosts: [a], http: [{redirect: {uri: /x}, fault: {abort: {httpStatus: 500}}}]}",
    "WF1007",
    "cannot have fault",
  ],
  ["VirtualService", "{hosts: [a], http: [{redirect: {}}]}", "WF1005", "redirect needs one of"],
  ["VirtualService", "{hosts: [a], http: [{redirect: {uri: /x, redirectCode: 304}}]}", "WF1006", "301, 302"],
  ["VirtualService", "{hosts: [a], http: [{directResponse: {status: 700}}]}", "WF1006", "at most 599"],
  ["VirtualService", rule("match: [{uri: {}}]"), "WF1006", "match.uri is empty"],
  ["VirtualService", rule("match: [{uri: {prefix: ''}}]"), "WF1006", "match.uri.prefix is empty"],
  ["VirtualService", rule("match: [{uri: {regex: '(?<!a)b'}}]"), "WF1006", "not an RE2 expression"],
  ["VirtualService", rule("match: [{uri: {prefix: /a, exact: /b}}]"), "WF1007", "keep one of them"],
  ["VirtualService", rule("match: [{headers: {'a b': {exact: x}}}]"), "WF1006", "not a header name"],
  ["VirtualService", rule("match: [{header: {a: {exact: x}}}]"), "WF1003", 'did you mean "headers"?'],
  ["VirtualService", rule("timeout: -1s"), "WF1006", "must not be negative"],
  ["VirtualService", rule("retries: {perTryTimeout: 1s}"), "WF1006", "turns retries off"],
  ["VirtualService", rule("retries: {attempts: 2, retryOn: '5xx,gatewayerror'}"), "WF1006", '"gatewayerror"'],
  ["VirtualService", rule("fault: {delay: {percentage: {value: 10}}}"), "WF1005", "needs fixedDelay"],
  ["VirtualService", rule("fault: {delay: {exponentialDelay: 1s}}"), "WF1006", "not supported"],
  ["VirtualService", rule("fault: {abort: {httpStatus: 99}}"), "WF1006", "at least 200"],
  ["VirtualService", rule("fault: {abort: {grpcStatus: BROKEN}}"), "WF1006", "UNAVAILABLE"],
  ["VirtualService", rule("fault: {abort: {httpStatus: 500, percentage: {value: 101}}}"), "WF1006", "at most 100"],
  ["VirtualService", rule("rewrite: {}"), "WF1005", "rewrite needs"],
  ["VirtualService", rule("rewrite: {uriRegexRewrite: {match: 'a(b)', rewrite: '\\2'}}"), "WF1006", "1 groups"],
  ["VirtualService", rule("mirror: {host: a}, mirrors: [{destination: {host: b}}]"), "WF1007", "mirror and mirrors"],
  ["VirtualService", rule("headers: {request: {set: {'x y': a}}}"), "WF1006", "not a header name"],
  [
    "VirtualService",
    "{hosts: [a], http: [{route: [{destination: {host: a}, weight: 0}, {destination: {host: b}}]}]}",
    "WF1006",
    "all weights are 0",
  ],
  ["VirtualService", "{hosts: [a], http: [{route: [{destination: {host: '*'}}]}]}", "WF1006", "must be one service"],
  [
    "VirtualService",
    "{hosts: [a], http: [{route: [{destination: {host: a, port: {number: 0}}}]}]}",
    "WF1006",
    "at least 1",
  ],
  [
    "VirtualService",
    `{hosts: [a], tls: [{match: [{sniHosts: [b]}], ${to}}]}`,
    "WF1006",
    "none of the VirtualService's hosts",
  ],
  ["VirtualService", "{hosts: [a], tcp: [{match: [{port: 1}]}]}", "WF1005", "needs a route"],
  ["VirtualService", `{hosts: [a], exportTo: ['*', shop], http: [{${to}}]}`, "WF1006", "beside other namespaces"],
  ["DestinationRule", "{}", "WF1005", 'lacks "host"'],
  ["DestinationRule", policy("loadBalancer: {simple: ROUNDROBIN}"), "WF1006", "did you mean ROUND_ROBIN?"],
  [
    "DestinationRule",
    policy("loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}"),
    "WF1007",
    "keep one",
  ],
  ["DestinationRule", policy("loadBalancer: {consistentHash: {}}"), "WF1005", "needs one of"],
  [
    "DestinationRule",
    policy("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}"),
    "WF1006",
    "prime",
  ],
  [
    "DestinationRule",
    policy("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 60, c: 30}}]}}"),
    "WF1006",
    "sum to 90",
  ],
  [
    "DestinationRule",
    policy("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}"),
    "WF1006",
    "to itself",
  ],
  [
    "DestinationRule",
    policy("outlierDetection: {consecutiveLocalOriginFailures: 3}"),
    "WF1006",
    "splitExternalLocalOriginErrors",
  ],
  ["DestinationRule", policy("outlierDetection: {maxEjectionPercent: 150}"), "WF1006", "at most 100"],
  ["DestinationRule", policy("outlierDetection: {interval: 0s}"), "WF1006", "at least 1ms"],
  ["DestinationRule", policy("connectionPool: {tcp: {connectTimeout: 10}}"), "WF1004", "such as 10s"],
  ["DestinationRule", policy("tls: {mode: MUTUAL}"), "WF1005", "clientCertificate"],
  ["DestinationRule", policy("tls: {mode: ISTIO_MUTUAL, caCertificates: /a}"), "WF1007", "mesh's own certificates"],
  ["DestinationRule", policy("portLevelSettings: [{}]"), "WF1005", "port.number"],
  ["DestinationRule", policy("portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]"), "WF1006", "twice"],
  ["DestinationRule", "{host: a, subsets: [{name: 'v 1'}]}", "WF1006", "letters, digits"],
  ["DestinationRule", "{host: a, subsets: [{name: v1, labels: {version: 1}}]}", "WF1004", "put it in quotes"],
  ["ServiceEntry", "{hosts: []}", "WF1006", "at least 1 entry"],
  ["ServiceEntry", "{hosts: ['*'], ports: [{number: 1, name: a}]}", "WF1006", 'host "*" is not allowed'],
  ["ServiceEntry", "{hosts: ['*.a'], resolution: DNS, ports: [{number: 1, name: a}]}", "WF1006", "cannot be looked up"],
  ["ServiceEntry", "{hosts: [a], ports: [{number: 1, name: a}, {number: 2, name: a}]}", "WF1006", "names must differ"],
  ["ServiceEntry", "{hosts: [a], ports: [{number: 1, name: a}, {number: 1, name: b}]}", "WF1006", "listed twice"],
  ["ServiceEntry", "{hosts: [a], ports: [{number: 1, name: a, protocol: HTPP}]}", "WF1006", "accepted: HTTP"],
  ["ServiceEntry", entry("endpoints: [{address: 1.2.3.4}]"), "WF1006", "takes no endpoints"],
  ["ServiceEntry", entry("resolution: STATIC, endpoints: [{address: a.b}]"), "WF1006", "needs IP addresses"],
  [
    "ServiceEntry",
    entry("resolution: STATIC, endpoints: [{address: 1.2.3.4, ports: {web: 1}}]"),
    "WF1006",
    "not one of",
  ],
  ["ServiceEntry", entry("resolution: STATIC, endpoints: [{}]"), "WF1005", "needs an address"],
  [
    "ServiceEntry",
    entry("resolution: DNS_ROUND_ROBIN, endpoints: [{address: a}, {address: b}]"),
    "WF1006",
    "at most one",
  ],
  ["ServiceEntry", entry("resolution: DNS, endpoints: [{address: 'unix:///a'}]"), "WF1006", "needs resolution STATIC"],
  [
    "ServiceEntry",
    entry("resolution: STATIC, endpoints: [{address: 1.2.3.4}], workloadSelector: {labels: {a: b}}"),
    "WF1007",
    "keep one",
  ],
  ["ServiceEntry", entry("addresses: [10.0.0.0/40]"), "WF1006", "CIDR"],
  ["WorkloadEntry", "{}", "WF1005", "needs an address"],
  ["WorkloadEntry", "{address: 'a b'}", "WF1006", "neither an IP address"],
  ["WorkloadEntry", "{address: 1.2.3.4, ports: {http: 70000}}", "WF1006", "at most 65535"],
  ["WorkloadEntry", "{address: 'unix:///a', ports: {http: 1}}", "WF1006", "has no ports"],
  ["Gateway", "{}", "WF1005", "at least one entry"],
  ["Gateway", server("HTPP"), "WF1006", "not known"],
  ["Gateway", server("HTTPS"), "WF1005", "needs tls"],
  ["Gateway", server("HTTP", ", tls: {mode: SIMPLE, credentialName: a}"), "WF1006", "only tls.httpsRedirect"],
  ["Gateway", server("HTTPS", ", tls: {mode: SIMPLE}"), "WF1005", "credentialName"],
  ["Gateway", server("HTTPS", ", tls: {mode: SIMPLE, serverCertificate: a}"), "WF1005", "privateKey"],
  [
    "Gateway",
    server("HTTPS", ", tls: {mode: MUTUAL, serverCertificate: a, privateKey: b}"),
    "WF1005",
    "caCertificates",
  ],
  ["Gateway", server("TLS", ", tls: {credentialName: a}"), "WF1007", "does not end TLS"],
  ["Gateway", server("TLS", ", tls: {minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2}"), "WF1006", "above"],
  ["Gateway", server("HTTP", ", bind: localhost"), "WF1006", "IP address"],
  [
    "Gateway",
    "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a/b/c]}]}",
    "WF1006",
    "[NAMESPACE/]HOST",
  ],
  ["PeerAuthentication", "{mtls: {mode: STRIKT}}", "WF1006", "did you mean STRICT?"],
  ["PeerAuthentication", "{portLevelMtls: {8080: {mode: STRICT}}}", "WF1005", "needs selector.matchLabels"],
  [
    "PeerAuthentication",
    "{selector: {matchLabels: {a: b}}, portLevelMtls: {http: {mode: STRICT}}}",
    "WF1006",
    '"http"',
  ],
  ["PeerAuthentication", "{selector: {matchLabels: {a: b}}, portLevelMtls: {}}", "WF1006", "is empty"],
  ["AuthorizationPolicy", "{action: CUSTOM}", "WF1005", "provider.name"],
  ["AuthorizationPolicy", "{provider: {name: a}}", "WF1006", "belongs to action CUSTOM"],
  ["AuthorizationPolicy", "{rules: [{from: []}]}", "WF1006", "from is an empty list"],
  ["AuthorizationPolicy", "{rules: [{from: [{}]}]}", "WF1005", "needs a source"],
  ["AuthorizationPolicy", "{rules: [{to: [{operation: {}}]}]}", "WF1005", "needs an operation"],
  ["AuthorizationPolicy", source("principals: []"), "WF1006", "principals is an empty list"],
  ["AuthorizationPolicy", source("principals: ['']"), "WF1006", "empty text"],
  ["AuthorizationPolicy", source("ipBlocks: [10.0.0]"), "WF1006", "CIDR"],
  ["AuthorizationPolicy", source("serviceAccounts: ['a/*']"), "WF1006", "wildcards are not allowed"],
  ["AuthorizationPolicy", source("serviceAccounts: [a], namespaces: [b]"), "WF1007", "beside serviceAccounts"],
  ["AuthorizationPolicy", operation("ports: [http]"), "WF1006", "not a port"],
  ["AuthorizationPolicy", operation("ports: [80]"), "WF1004", "put it in quotes"],
  ["AuthorizationPolicy", operation("paths: ['/a/{**}/b']"), "WF1006", "only be the last segment"],
  ["AuthorizationPolicy", operation("paths: ['/a/x{*}']"), "WF1006", "and nothing else"],
  ["AuthorizationPolicy", operation("paths: ['/a/{*}/*']"), "WF1006", "mixes"],
  ["AuthorizationPolicy", "{rules: [{when: [{key: source.ip}]}]}", "WF1005", "needs values"],
  ["AuthorizationPolicy", "{rules: [{when: [{key: source.ips, values: [a]}]}]}", "WF1006", "is not known"],
  ["AuthorizationPolicy", "{rules: [{when: [{key: source.ip, values: [a]}]}]}", "WF1006", "CIDR"],
  ["AuthorizationPolicy", "{rules: [{when: [{key: destination.port, values: [http]}]}]}", "WF1006", "not a port"],
  [
    "AuthorizationPolicy",
    "{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}",
    "WF1007",
    "keep one",
  ],
  ["Service", "{}", "WF1005", "at least one port"],
  ["Service", "{ports: [{port: 80}, {port: 81}]}", "WF1005", "a name for each"],
  ["Service", "{ports: [{name: a, port: 80}, {name: b, port: 80}]}", "WF1006", "listed twice"],
  ["Service", "{type: ExternalName}", "WF1005", "externalName"],
  ["Endpoints", "subsets: [{addresses: [{ip: localhost}]}]", "WF1006", "not an IP address"],
  ["Secret", "data: {tls.key: '[redacted]'}", "WF1006", "stands for what was not shown"],
  ["Secret", "stringData: {tls.key: '[redacted]'}", "WF1006", "stands for what was not shown"],
  ["Secret", "data: {tls.key: 'not base64!'}", "WF1006", "is not base64"],
  ["Secret", "data: {tls.key: 'YQ'}", "WF1006", "is not base64"],
  ["Secret", "data: {tls.key: 5}", "WF1004", "data"],
  ["EndpointSlice", "addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]", "WF1006", "type IPv6"],
];

for (const [kind, spec, code, part] of refused) {
  test(`${kind} ${spec.replaceAll("\n", " ")} is refused: ${part}`, () => {
    const found = findings(kind, spec, kind === "EndpointSlice" ? ", labels: {kubernetes.io/service-name: a}" : "");
    const [first] = found.filter(({ level }) => level === "error");
    assert.equal(first?.code, code, JSON.stringify(found));
    assert.ok(first.message.includes(part), first.message);
    assert.deepEqual([first.kind, first.namespace, first.name], [kind, "default", "x"]);
    assert.ok(first.line >= 3);
  });
}

const taken: readonly (readonly [string, string])[] = [
  ["VirtualService", "{http: [{route: [{destination: {host: a}}]}]}"],
  ["VirtualService", "{hosts: ['*'], gateways: [edge/front], http: [{directResponse: {status: 204}}]}"],
  ["VirtualService", rule("match: [{headers: {x: {}, y: {regex: '*'}}, queryParams: {q: {}}}]")],
  ["VirtualService", rule("retries: {}")],
  ["VirtualService", rule("retries: {attempts: 3, retryOn: 'gateway-error,503', retryIgnorePreviousHosts: false}")],
  [
    "VirtualService",
    "{hosts: [a], http: [{redirect: {derivePort: FROM_REQUEST_PORT, scheme: https, redirectCode: 308}}]}",
  ],
  [
    "VirtualService",
    "{hosts: ['*.b.c'], tls: [{match: [{sniHosts: [a.b.c, '*.x.b.c']}], route: [{destination: {host: d}}]}]}",
  ],
  ["DestinationRule", "{host: '*.example.com', trafficPolicy: {tls: {mode: SIMPLE}}}"],
  [
    "DestinationRule",
    policy("loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}, maglev: {tableSize: 5003}}}"),
  ],
  ["DestinationRule", policy("connectionPool: {http: {http2KeepAlive: {interval: 1s, timeout: 2s}}}")],
  ["ServiceEntry", "{hosts: [a.b], ports: [{number: 5432, name: tcp, protocol: tcp}], addresses: ['fd00::/8']}"],
  ["ServiceEntry", entry("resolution: STATIC, endpoints: [{address: 'unix:///var/run/a.sock'}]")],
  ["WorkloadEntry", "{network: far}"],
  ["Gateway", server("HTTPS", ", tls: {mode: SIMPLE, credentialName: a}")],
  ["Gateway", server("HTTP", ", tls: {httpsRedirect: true}")],
  ["PeerAuthentication", "{selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: DISABLE}}}"],
  ["AuthorizationPolicy", "{}"],
  ["AuthorizationPolicy", "{rules: [{}]}"],
  ["AuthorizationPolicy", operation("paths: ['/a/{*}/b/{**}', '*.html', '/x*']")],
  [
    "AuthorizationPolicy",
    "{rules: [{when: [{key: 'request.headers[x-a]', notValues: [b]}, {key: " +
      "'request.auth.claims[a][b]', values: [c]}]}]}",
  ],
  ["Service", "{clusterIP: None, ports: []}"],
  ["Service", "{type: ExternalName, externalName: a.b}"],
];

for (const [kind, spec] of taken) {
  test(`${kind} ${spec} is taken`, () => {
    assert.deepEqual(
      findings(kind, spec).filter(({ level }) => level === "error"),
      [],
    );
  });
}

test("every kind is found in each of its versions, and kinds do not share a name in a group", () => {
  for (const kind of kinds) {
    for (const version of kind.versions) {
      const found = findKind(kind.group === "" ? version : `${kind.group}/${version}`, kind.name);
      assert.equal(found.kind === "known" && found.found, kind);
    }
  }
  const names = kinds.map(({ group, name }) => `${group}/${name}`);
  assert.equal(new Set(names).size, names.length);
});

test("kinds of other systems are foreign, also when they share a name with ours", () => {
  assert.equal(findKind("serving.knative.dev/v1", "Service").kind, "foreign");
  assert.equal(findKind("example.com/v1", "VirtualService").kind, "foreign");
});

test("a Secret is of a size that Kubernetes takes, and no message repeats it", () => {
  const [finding] = findings("Secret", `stringData: {a: ${"x".repeat(1_048_577)}}`);
  assert.match(finding?.message ?? "", /at most 1048576/);
  assert.ok((finding?.message ?? "").length < 200);
});
