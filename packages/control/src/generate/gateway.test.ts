import assert from "node:assert/strict";
import { test } from "node:test";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const services =
  kubernetesService("web", { ip: "10.96.0.1", port: 80 }) +
  kubernetesService("db", { ip: "10.96.0.2", port: 5432, portName: "tcp" });

const document = (kind: string, name: string, spec: string, namespace = "default"): string => `
---
apiVersion: networking.istio.io/v1
kind: ${kind}
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;

const gateway = (servers: string, name = "edge", namespace = "default"): string =>
  document("Gateway", name, `{ selector: { istio: edge }, servers: [${servers}] }`, namespace);

const routes = (name: string, hosts: string, http: string, gateways = "[edge]", namespace = "default"): string =>
  document("VirtualService", name, `{ hosts: ${hosts}, gateways: ${gateways}, http: [${http}] }`, namespace);

const say = (status: number, match = ""): string =>
  `{ ${match === "" ? "" : `match: [${match}], `}directResponse: { status: ${status} } }`;

const pem = (what: string): string => `-----BEGIN ${what}-----\nAA==\n-----END ${what}-----\n`;
const secret = (name: string, keys: Readonly<Record<string, string>>, namespace = "default"): string => `
---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: ${namespace} }
data: ${JSON.stringify(Object.fromEntries(Object.entries(keys).map(([key, text]) => [key, Buffer.from(text).toString("base64")])))}
`;
const keyPair = { "tls.crt": pem("CERTIFICATE"), "tls.key": pem("PRIVATE KEY") };

const stock = { WEFT_VERSION: undefined, WEFT_SDS: "sds" };

const generate = (yaml: string, metadata: Record<string, unknown> = {}) => {
  const proxy = testProxy(
    { INTERCEPTION_MODE: "REDIRECT", LABELS: { istio: "edge" }, ...metadata },
    "router~10.0.0.9~edge-1.default~default.svc.cluster.local",
  );
  const { resources, notes } = testMesh({ yaml: services + yaml }).generator.generate(proxy);
  return {
    resources,
    notes,
    codes: notes.map(({ code }) => code),
    chains: (listener: string) => resources.listener.get(listener)?.filterChains ?? [],
    hosts: (table: string) =>
      (resources.route.get(table)?.virtualHosts ?? []).map(({ domains, requireTls, routes: list }) => [
        domains,
        requireTls ?? "",
        (list ?? []).map(({ directResponse, route }) => directResponse?.status ?? route?.cluster),
      ]),
  };
};

const server = (number: number, protocol: string, hosts: string, more = ""): string =>
  `{ port: { number: ${number}, name: p${number}-${protocol}-${hosts.replaceAll(/[^a-z]/g, "")}, protocol: ${protocol} }, hosts: ${hosts}${more} }`;

const simple = ", tls: { mode: SIMPLE, serverCertificate: /c, privateKey: /k }";

const names = (chains: readonly FilterChainJson[]) =>
  chains.map((chain) => chain.filterChainMatch?.serverNames ?? "all");

test("hosts are the narrower of a server's and a VirtualService's, of the namespaces the server takes", () => {
  const yaml =
    gateway(`${server(80, "HTTP", '["default/*.a.example", "./own.example", "*/any.example"]')}`) +
    routes("mine", '["x.a.example", "*.example"]', say(201)) +
    routes("theirs", '["y.a.example", any.example]', say(202), "[default/edge]", "other");
  assert.deepEqual(generate(yaml).hosts("http.80"), [
    [["*.a.example", "own.example", "x.a.example"], "", [201]],
    [["any.example"], "", [201, 202]],
  ]);
});

test("several VirtualServices for a host are merged, and what takes every request comes last", () => {
  const yaml =
    gateway(server(80, "HTTP", '["*"]')) +
    routes("first", "[a.example]", `${say(201, "{ uri: { prefix: /a } }")}, ${say(299)}`) +
    routes("second", "[a.example]", `${say(202, "{ uri: { prefix: /b } }")}, ${say(298)}`);
  assert.deepEqual(generate(yaml).hosts("http.80"), [[["a.example"], "", [201, 202, 299, 298]]]);
});

test("a redirect to HTTPS holds for its server's hosts, also for those without routes", () => {
  const yaml =
    gateway(
      `${server(80, "HTTP", "[a.example, b.example]", ", tls: { httpsRedirect: true }")}, ${server(80, "HTTP", "[c.example]")}`,
    ) + routes("r", "[a.example, c.example]", say(201));
  assert.deepEqual(generate(yaml).hosts("http.80"), [
    [["a.example"], "ALL", [201]],
    [["b.example"], "ALL", []],
    [["c.example"], "", [201]],
  ]);
});

test("a port without routes answers 404 for every host", () => {
  assert.deepEqual(generate(gateway(server(80, "HTTP", '["*"]'))).hosts("http.80"), [[["*"], "", []]]);
});

test("servers of several Gateways share a port by protocol and host; the later of two that cannot is reported", () => {
  const { codes, chains, notes } = generate(
    gateway(`${server(80, "HTTP", "[a.example]")}, ${server(443, "HTTPS", "[a.example]", simple)}`) +
      gateway(
        `${server(80, "HTTP2", "[b.example]")}, ${server(80, "TCP", '["*"]')}, ${server(443, "HTTPS", "[a.example, b.example]", simple)}, ${server(443, "HTTPS", "[c.example]", simple)}`,
        "later",
      ),
  );
  assert.deepEqual(codes, ["WF1538", "WF1539"]);
  assert.ok(notes.every(({ name, line }) => name === "later" && line > 0));
  assert.equal(chains("0.0.0.0_80").length, 1);
  assert.deepEqual(names(chains("0.0.0.0_443")), [["a.example"], ["c.example"]]);
});

test("the same port at two addresses is two listeners, with tables of their own", () => {
  const { resources, codes } = generate(
    gateway(
      `${server(80, "HTTP", "[a.example]", ", bind: 10.0.0.1")}, ${server(80, "TCP", '["*"]', ", bind: 10.0.0.2")}`,
    ) +
      document(
        "VirtualService",
        "t",
        "{ hosts: ['*'], gateways: [edge], tcp: [{ route: [{ destination: { host: db } }] }] }",
      ),
  );
  assert.deepEqual([...resources.listener.keys()], ["10.0.0.1_80", "10.0.0.2_80"]);
  assert.ok(resources.route.has("http.80.10.0.0.1"));
  assert.deepEqual(codes, []);
});

test("a request for another TLS server's host over this one's connection is sent away", () => {
  const yaml =
    gateway(
      `${server(443, "HTTPS", '["*.example"]', simple)}, ${server(443, "HTTPS", "[strict.example]", ", tls: { mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca }")}`,
    ) +
    routes("r", '["*.example"]', say(201)) +
    routes("strict", "[strict.example]", say(202, "{ uri: { prefix: /s } }"));
  const { hosts } = generate(yaml);
  assert.deepEqual(hosts("https.443.p443-HTTPS-example.edge.default"), [
    [["*.example"], "", [201]],
    [["strict.example"], "", [421]],
  ]);
  assert.deepEqual(hosts("https.443.p443-HTTPS-strictexample.edge.default"), [
    [["*.example"], "", [421]],
    [["strict.example"], "", [202, 201]],
  ]);
});

test("TLS is as the server says: versions, ciphers Envoy knows, client certificates and the names they may have", () => {
  const tls =
    ", tls: { mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, caCrl: /crl, subjectAltNames: [a.example, 'spiffe://a/b'], verifyCertificateHash: [ab], minProtocolVersion: TLSV1_3, cipherSuites: [AES128-SHA, NONSENSE] }";
  const { chains, notes } = generate(gateway(server(443, "HTTPS", '["*"]', tls)), stock);
  const text = JSON.stringify(chains("0.0.0.0_443")[0]?.transportSocket);
  for (const part of [
    '"requireClientCertificate":true',
    '"tlsMinimumProtocolVersion":"TLSv1_3"',
    '"cipherSuites":["AES128-SHA"]',
    '"crl":{"filename":"/crl"}',
    '"verifyCertificateHash":["ab"]',
    '{"sanType":"URI","matcher":{"exact":"spiffe://a/b"}}',
    '"alpnProtocols":["h2","http/1.1"]',
  ])
    assert.ok(text.includes(part), part);
  assert.deepEqual(
    notes.map(({ code, message }) => [code, message.includes("NONSENSE")]),
    [["WF1543", true]],
  );
});

test("OPTIONAL_MUTUAL asks for a certificate and goes on without; insecureSkipVerify takes any, at Envoy only", () => {
  const tls =
    ", tls: { mode: OPTIONAL_MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, insecureSkipVerify: true }";
  const yaml = gateway(server(443, "HTTPS", '["*"]', tls));
  const envoy = JSON.stringify(generate(yaml, stock).chains("0.0.0.0_443")[0]?.transportSocket);
  assert.match(envoy, /"requireClientCertificate":false/);
  assert.match(envoy, /"trustChainVerification":"ACCEPT_UNTRUSTED"/);
  const own = generate(yaml);
  assert.doesNotMatch(JSON.stringify(own.chains("0.0.0.0_443")), /ACCEPT_UNTRUSTED/);
  assert.deepEqual(own.codes, ["WF1543"]);
});

test("weft's own gateway is told what Envoy is: revoked certificates, hashes of allowed ones, two key types", () => {
  const tls =
    ", tls: { mode: MUTUAL, caCertificates: /ca, caCrl: /crl, verifyCertificateSpki: [ab], tlsCertificates: [{ serverCertificate: /c, privateKey: /k }, { serverCertificate: /d, privateKey: /l }] }";
  const yaml = gateway(server(443, "HTTPS", '["*"]', tls));
  const [own, envoy] = [generate(yaml), generate(yaml, stock)].map(({ chains, codes }) => [
    JSON.stringify(chains("0.0.0.0_443")[0]?.transportSocket),
    codes.length,
  ]);
  assert.deepEqual(own, envoy);
  assert.match(String(own?.[0]), /"filename":"\/l".*"verifyCertificateSpki":\["ab"\].*"filename":"\/crl"/);
});

test("a Secret's list of revoked certificates goes with its authorities", () => {
  const mutual = gateway(server(443, "HTTPS", '["*"]', ", tls: { mode: MUTUAL, credentialName: own }"));
  const keys = { ...keyPair, "ca.crt": pem("CERTIFICATE"), "ca.crl": pem("X509 CRL") };
  const { resources } = generate(mutual + secret("own", keys));
  assert.match(JSON.stringify(resources.secret.get("kubernetes://own-cacert")), /"crl":\{"inlineString":.*X509 CRL/);
});

test("what weft's own gateway cannot speak costs the server that asks for it, and no other", () => {
  const tls = ", tls: { mode: SIMPLE, serverCertificate: /c, privateKey: /k, maxProtocolVersion: TLSV1_1 }";
  const { chains, codes } = generate(
    gateway(`${server(443, "HTTPS", "[a.example]", tls)}, ${server(443, "HTTPS", "[b.example]", simple)}`),
  );
  assert.deepEqual(names(chains("0.0.0.0_443")), [["b.example"]]);
  assert.deepEqual(codes, ["WF7011"]);
});

test("a credential is the Secret of the gateway's namespace, given over SDS; without it only that server is closed", () => {
  const credential = (host: string, name: string, mode = "SIMPLE") =>
    server(443, "HTTPS", `[${host}]`, `, tls: { mode: ${mode}, credentialName: ${name} }`);
  const { resources, chains, notes, hosts } = generate(
    gateway(
      `${credential("a.example", "own")}, ${credential("b.example", "absent")}, ${credential("c.example", "foreign")}, ${credential("d.example", "own", "MUTUAL")}`,
    ) +
      secret("own", { ...keyPair, "ca.crt": pem("CERTIFICATE") }) +
      secret("foreign", keyPair, "other"),
  );
  assert.deepEqual(names(chains("0.0.0.0_443")), [["a.example"], ["d.example"]]);
  assert.deepEqual([...resources.secret.keys()], ["kubernetes://own", "kubernetes://own-cacert"]);
  assert.doesNotMatch(JSON.stringify([...resources.listener.values()]), /BEGIN/);
  assert.deepEqual(
    notes.map(({ code, level, line }) => [code, level, line > 0]),
    [
      ["WF7011", "error", true],
      ["WF7011", "error", true],
    ],
  );
  assert.equal(hosts("https.443.p443-HTTPS-bexample.edge.default").length, 0);
});

test("a proxy that shows no certificate is given no key, and told why", () => {
  const yaml =
    gateway(server(443, "HTTPS", '["*"]', ", tls: { mode: SIMPLE, credentialName: own }")) + secret("own", keyPair);
  const id = "router~10.0.0.9~edge-1.default~default.svc.cluster.local";
  const stranger = testProxy({ INTERCEPTION_MODE: "REDIRECT", LABELS: { istio: "edge" } }, id, false);
  const { resources, notes } = testMesh({ yaml: services + yaml }).generator.generate(stranger);
  assert.equal(resources.secret.size, 0);
  assert.match(notes[0]?.message ?? "", /keys go to proxies that show a certificate/);
  assert.equal(generate(yaml).resources.secret.size, 1);
});

test("entries may be written as they are, and then hold over those in base64", () => {
  const simple = gateway(server(443, "HTTPS", '["*"]', ", tls: { mode: SIMPLE, credentialName: own }"));
  const plain = (keys: object): string => `stringData: ${JSON.stringify(keys)}\n`;
  const key = (yaml: string) => JSON.stringify(generate(simple + yaml).resources.secret.get("kubernetes://own"));
  const coded = key(secret("own", keyPair));
  assert.equal(key(secret("own", {}) + plain(keyPair)), coded);
  assert.notEqual(key(secret("own", keyPair) + plain({ "tls.key": pem("EC PRIVATE KEY") })), coded);
});

test("authorities may be in a Secret of their own; a Secret without PEM is none", () => {
  const mutual = server(443, "HTTPS", '["*"]', ", tls: { mode: MUTUAL, credentialName: own }");
  const apart = secret("own-cacert", { cacert: pem("CERTIFICATE") });
  assert.equal(generate(gateway(mutual) + secret("own", keyPair) + apart).chains("0.0.0.0_443").length, 1);
  assert.deepEqual(generate(gateway(mutual) + secret("own", keyPair)).codes, ["WF7011"]);
  assert.deepEqual(generate(gateway(mutual) + secret("own", { "tls.crt": "x", "tls.key": "y" }) + apart).codes, [
    "WF7011",
  ]);
});

test("TLS that ends here without HTTP is carried on as bytes, and a server without any rule stays closed", () => {
  const ended = server(6000, "TLS", "[db.example]", simple);
  const tcp = document(
    "VirtualService",
    "t",
    "{ hosts: [db.example], gateways: [edge], tcp: [{ match: [{ port: 1 }], route: [{ destination: { host: web } }] }, { match: [{ port: 6000 }], route: [{ destination: { host: db } }] }] }",
  );
  const [chain] = generate(gateway(ended) + tcp).chains("0.0.0.0_6000");
  assert.ok(chain?.transportSocket);
  assert.match(JSON.stringify(chain.filters), /"cluster":"outbound\|5432\|\|db/);
  const closed = generate(gateway(ended));
  assert.deepEqual([closed.resources.listener.size, closed.codes], [0, ["WF1542"]]);
});

test("TLS passed on goes by the rules' server names; a name that another rule has is left out and told", () => {
  const yaml =
    gateway(server(443, "TLS", '["*.example"]', ", tls: { mode: PASSTHROUGH }")) +
    document(
      "VirtualService",
      "p",
      `{ hosts: [a.example, b.example], gateways: [edge], tls: [
        { match: [{ sniHosts: [a.example] }], route: [{ destination: { host: db }, weight: 1 }, { destination: { host: web }, weight: 3 }] },
        { match: [{ sniHosts: [a.example, b.example] }], route: [{ destination: { host: web } }] },
        { match: [{ sniHosts: [b.example], port: 444 }], route: [{ destination: { host: db } }] }] }`,
    );
  const { chains, codes } = generate(yaml);
  assert.deepEqual(names(chains("0.0.0.0_443")), [["a.example"], ["b.example"]]);
  assert.ok(chains("0.0.0.0_443").every(({ transportSocket }) => transportSocket === undefined));
  assert.deepEqual(codes, ["WF1539"]);
});

test("AUTO_PASSTHROUGH takes mesh TLS by the server name of a service, port and subset, to endpoints that end it", () => {
  const yaml =
    gateway(server(15_443, "TLS", '["*.local"]', ", tls: { mode: AUTO_PASSTHROUGH }")) +
    document("DestinationRule", "d", "{ host: web, subsets: [{ name: v1, labels: { version: v1 } }] }");
  const { chains, resources } = generate(yaml);
  const name = "outbound_.80_.v1_.web.default.svc.cluster.local";
  assert.ok(names(chains("0.0.0.0_15443")).some(([one]) => one === name));
  const cluster = resources.cluster.get(name);
  assert.deepEqual([cluster?.transportSocket, cluster?.transportSocketMatches], [undefined, undefined]);
  assert.equal(cluster?.edsClusterConfig?.serviceName, name);
  // The endpoints of this mesh have no mesh TLS, so none may be dialled with it.
  assert.equal(resources.endpoints.get("outbound_.80_._.web.default.svc.cluster.local")?.endpoints, undefined);
  assert.ok(resources.endpoints.get("outbound|80||web.default.svc.cluster.local")?.endpoints?.length);
});

test("ISTIO_MUTUAL uses the mesh's keys, and asks for the names the server gives", () => {
  const tls = ", tls: { mode: ISTIO_MUTUAL, subjectAltNames: ['spiffe://cluster.local/ns/a/sa/b'] }";
  const text = JSON.stringify(generate(gateway(server(443, "HTTPS", '["*"]', tls))).chains("0.0.0.0_443"));
  assert.match(text, /"exact":"spiffe:\/\/cluster.local\/ns\/a\/sa\/b"/);
  assert.match(text, /"name":"ROOTCA"/);
  assert.deepEqual(generate(gateway(server(443, "HTTPS", '["*"]', tls)), { ...stock, WEFT_SDS: undefined }).codes, [
    "WF7011",
  ]);
});

test("the connection managers of gateways trust nobody's forwarded address and set the client's certificate", () => {
  const [chain] = generate(gateway(server(80, "HTTP", '["*"]'))).chains("0.0.0.0_80");
  const manager = chain?.filters?.at(-1)?.typedConfig as Record<string, unknown>;
  assert.deepEqual(
    [manager.useRemoteAddress, manager.forwardClientCertDetails, manager.serverName],
    [true, "SANITIZE_SET", "istio-envoy"],
  );
});
