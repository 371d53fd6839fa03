import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const services =
  kubernetesService("catalog", { ip: "10.96.0.1", port: 80 }) + kubernetesService("web", { ip: "10.96.0.2", port: 80 });

const virtualService = (name: string, spec: string, namespace = "default"): string => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;

const say = (status: number, match = ""): string =>
  `{ ${match === "" ? "" : `match: [${match}], `}directResponse: { status: ${status} } }`;

/** The table of port 80, or another, of an intercepting proxy. */
const generate = (yaml: string, metadata: Record<string, unknown> = {}, table = "80") => {
  const { resources, notes } = testMesh({ yaml: services + yaml }).generator.generate(
    testProxy({ INTERCEPTION_MODE: "REDIRECT", ...metadata }),
  );
  const hosts = resources.route.get(table)?.virtualHosts ?? [];
  return { resources, notes, hosts, host: (name: string) => hosts.find((one) => one.name === name) };
};

const catalog = "catalog.default.svc.cluster.local:80";

const routesOf = (http: string, metadata: Record<string, unknown> = {}): readonly RouteJson[] =>
  generate(virtualService("v", `{ hosts: [catalog], http: [${http}] }`), metadata).host(catalog)?.routes ?? [];

/** What the routes answer or where they go, in order. */
const outcome = (routes: readonly RouteJson[] | undefined): readonly (string | number | undefined)[] =>
  (routes ?? []).map(({ route, directResponse }) => directResponse?.status ?? route?.cluster);

test("trap: an empty retries block turns retries off, an absent one is Istio's two", () => {
  const retries = (block: string) =>
    routesOf(`{ route: [{ destination: { host: catalog } }]${block} }`)[0]?.route?.retryPolicy?.numRetries;
  assert.deepEqual([retries(", retries: {}"), retries(""), retries(", retries: { attempts: 5 }")], [undefined, 2, 5]);
});

test("trap: without a timeout there is none, although Envoy's own is 15 s", () => {
  const action = (block: string) => routesOf(`{ route: [{ destination: { host: catalog } }]${block} }`)[0]?.route;
  assert.deepEqual([action("")?.timeout, action("")?.maxGrpcTimeout], ["0s", "0s"]);
  assert.deepEqual([action(", timeout: 3s")?.timeout, action(", timeout: 3s")?.maxGrpcTimeout], ["3s", "3s"]);
});

test("trap: the first rule that takes every request hides the rules after it", () => {
  const hidden = (first: string) => outcome(routesOf(`${say(201, first)}, ${say(202, "{ uri: { prefix: /x } }")}`));
  for (const all of ["{ uri: { prefix: / } }", '{ uri: { regex: ".*" } }', "{ port: 80 }", "{ gateways: [mesh] }"]) {
    assert.deepEqual(hidden(all), [201], all);
  }
  for (const some of ["{ uri: { prefix: /a } }", "{ headers: { x: {} } }", "{ queryParams: { q: {} } }"]) {
    assert.deepEqual(hidden(some), [201, 202], some);
  }
  assert.deepEqual(hidden("{ port: 81 }"), [202]);
});

test("trap: a short host is of the VirtualService's namespace, not of the client's", () => {
  const yaml =
    virtualService("v", `{ hosts: [catalog], http: [{ route: [{ destination: { host: web } }] }] }`, "shop") +
    virtualService(
      "w",
      `{ hosts: [catalog.default.svc.cluster.local], http: [{ route: [{ destination: { host: web } }] }] }`,
      "shop",
    );
  assert.deepEqual(outcome(generate(yaml).host(catalog)?.routes), ["outbound|80||web.shop.svc.cluster.local"]);
});

test("trap: a prefix knows no segments", () => {
  assert.deepEqual(routesOf(say(200, "{ uri: { prefix: /api } }"))[0]?.match, { prefix: "/api" });
});

test("trap: a fault without percentage is for 0 % of requests, the older percent counts, a mirror's default is all", () => {
  const [route] = routesOf(
    "{ route: [{ destination: { host: catalog } }], mirror: { host: web }, fault: { delay: { fixedDelay: 1s }, abort: { httpStatus: 500 } } }",
  );
  const fault = JSON.stringify(route?.typedPerFilterConfig?.["envoy.filters.http.fault"]);
  assert.equal(fault.match(/"numerator":0,/g)?.length, 2, fault);
  assert.deepEqual(route?.route?.requestMirrorPolicies?.[0]?.runtimeFraction?.defaultValue, {
    numerator: 1_000_000,
    denominator: "MILLION",
  });
  const older = routesOf(
    "{ route: [{ destination: { host: catalog } }], fault: { delay: { fixedDelay: 1s, percent: 50 } }, mirror: { host: web }, mirrorPercentage: { value: 0 } }",
  )[0];
  assert.match(JSON.stringify(older?.typedPerFilterConfig), /"numerator":500000,/);
  assert.equal(older?.route?.requestMirrorPolicies, undefined);
});

test("a match that names gateways does not look at the client's labels and namespace, as in Istio", () => {
  const match = "{ gateways: [mesh], sourceLabels: { app: nobody }, sourceNamespace: other }";
  assert.deepEqual(outcome(routesOf(say(201, match))), [201]);
  assert.deepEqual(outcome(routesOf(say(201, "{ sourceLabels: { app: nobody } }"))), [
    `outbound|80||${catalog.slice(0, -3)}`,
  ]);
});

test("a service no rule of which holds for this client and port has its default route", () => {
  const own = virtualService("v", `{ hosts: [catalog], http: [${say(201, "{ sourceNamespace: other }")}] }`);
  assert.deepEqual(generate(own).host(catalog)?.routes?.[0]?.name, "default");
  const second = virtualService("w", `{ hosts: [catalog], http: [${say(202)}] }`);
  assert.deepEqual(outcome(generate(own + second).host(catalog)?.routes), [202]);
});

test("of several VirtualServices for a host in the mesh one holds, and the others are told", () => {
  const { host, notes } = generate(
    virtualService("older", `{ hosts: [catalog], http: [${say(201)}] }`) +
      virtualService("newer", `{ hosts: [catalog, web], http: [${say(202)}] }`),
  );
  assert.deepEqual(outcome(host(catalog)?.routes), [201]);
  assert.deepEqual(outcome(host("web.default.svc.cluster.local:80")?.routes), [202]);
  assert.deepEqual(
    notes.map(({ code, name, message }) => [code, name, /catalog\.default.* default\/older/.test(message)]),
    [["WF1532", "newer", true]],
  );
});

test("what is private to the client's namespace comes before what is exported to all, whatever its age", () => {
  const yaml =
    virtualService("public", `{ hosts: [catalog.default.svc.cluster.local], http: [${say(201)}] }`, "shop") +
    virtualService(
      "named",
      `{ hosts: [catalog.default.svc.cluster.local], exportTo: [default], http: [${say(202)}] }`,
      "shop",
    ) +
    virtualService("private", `{ hosts: [catalog], exportTo: ["."], http: [${say(203)}] }`) +
    virtualService(
      "hidden",
      `{ hosts: [web.default.svc.cluster.local], exportTo: ["."], http: [${say(204)}] }`,
      "shop",
    );
  assert.deepEqual(outcome(generate(yaml).host(catalog)?.routes), [203]);
  assert.equal(generate(yaml).host("web.default.svc.cluster.local:80")?.routes?.[0]?.name, "default");
  assert.deepEqual(outcome(generate(yaml, { NAMESPACE: "other" }).host(catalog)?.routes), [201]);
});

test("the most specific wildcard holds; an exact host that has no routes here still keeps wildcards away", () => {
  const wide = virtualService("wide", `{ hosts: ["*.cluster.local"], http: [${say(201)}] }`);
  const narrow = virtualService("narrow", `{ hosts: ["*.default.svc.cluster.local"], http: [${say(202)}] }`);
  assert.deepEqual(outcome(generate(wide + narrow).host(catalog)?.routes), [202]);
  const exact = virtualService("exact", `{ hosts: [catalog], http: [${say(203, "{ port: 81 }")}] }`);
  assert.equal(generate(wide + narrow + exact).host(catalog)?.routes?.[0]?.name, "default");
});

test("hosts that are no service are on port 80, or on the ports of services the same rule is for", () => {
  const db = kubernetesService("db", { ip: "10.96.0.3", port: 8080 });
  const bare = virtualService("v", `{ hosts: [bare.example.com, "*.wide.example.com"], http: [${say(201)}] }`);
  assert.deepEqual(generate(bare).host("bare.example.com:80")?.domains, ["bare.example.com"]);
  assert.deepEqual(generate(bare).host("*.wide.example.com:80")?.domains, ["*.wide.example.com"]);
  assert.equal(generate(db + bare, {}, "8080").host("bare.example.com:8080"), undefined);
  const beside = virtualService("v", `{ hosts: [bare.example.com, db], http: [${say(201)}] }`);
  assert.ok(generate(db + beside, {}, "8080").host("bare.example.com:8080"));
  assert.equal(generate(db + beside).host("bare.example.com:80"), undefined);
});

test("a sniffed port at an address of its own has one host for everything that comes", () => {
  const plain = kubernetesService("plain", { ip: "10.96.0.7", port: 80, portName: "unnamed" });
  const { hosts } = generate(plain, {}, "plain.default.svc.cluster.local:80");
  assert.deepEqual(
    hosts.map(({ name, domains }) => [name, domains]),
    [["plain.default.svc.cluster.local:80", ["*"]]],
  );
});

test("names of routes are the rule's and the match's, statistics and the place in traces follow", () => {
  const routes = routesOf(`
    { name: r, match: [{ name: m, uri: { exact: /a }, statPrefix: s }, { uri: { prefix: /b } }], route: [{ destination: { host: web } }] },
    { match: [{ name: alone, uri: { regex: "/c.*" } }], directResponse: { status: 200 } }`);
  assert.deepEqual(
    routes.map(({ name, statPrefix, decorator }) => [name, statPrefix, decorator?.operation]),
    [
      ["r.m", "s", "web.default.svc.cluster.local:80/a"],
      ["r", undefined, "web.default.svc.cluster.local:80/b*"],
      [".alone", undefined, "v:80/c.*"],
    ],
  );
});

test("claims of a token are looked for where the JWT filter leaves them, not among the headers", () => {
  const match = (condition: string) => routesOf(say(200, condition))[0]?.match;
  const one = match('{ headers: { "@request.auth.claims[group][id]": { exact: a } } }');
  assert.equal(one?.headers, undefined);
  assert.deepEqual(one?.dynamicMetadata?.[0]?.path, [{ key: "payload" }, { key: "group" }, { key: "id" }]);
  const not = match('{ withoutHeaders: { "@request.auth.claims.sub": {} } }');
  assert.deepEqual(not?.dynamicMetadata?.[0]?.invert, true);
});

test("the host is rewritten by rewrite, then by a header that is set, then by one that is added", () => {
  const host = (fields: string) =>
    routesOf(`{ route: [{ destination: { host: web } }], ${fields} }`)[0]?.route?.hostRewriteLiteral;
  const both = 'headers: { request: { set: { Host: set }, add: { ":authority": add } } }';
  assert.equal(host(`${both}, rewrite: { authority: rewrite }`), "rewrite");
  assert.equal(host(both), "set");
  assert.equal(host('headers: { request: { add: { ":authority": add } } }'), "add");
});

test("redirects leave out a port that the scheme says, and take the request's where asked", () => {
  const redirect = (fields: string) => routesOf(`{ redirect: { authority: h, ${fields} } }`)[0]?.redirect;
  assert.equal(redirect("port: 80")?.portRedirect, undefined);
  assert.equal(redirect("port: 443")?.portRedirect, 443);
  assert.equal(redirect("scheme: https, port: 443")?.portRedirect, undefined);
  assert.equal(redirect("scheme: https, derivePort: FROM_REQUEST_PORT")?.portRedirect, 80);
  assert.equal(redirect("scheme: https, derivePort: FROM_PROTOCOL_DEFAULT")?.portRedirect, undefined);
  assert.equal(redirect("prefixRewrite: /n")?.prefixRewrite, "/n");
});

test("edits of the rule come before those of its only destination; of several each keeps its own", () => {
  const edits = "headers: { request: { set: { a: rule } } }";
  const own = (weight: number, name: string) =>
    `{ destination: { host: web }, weight: ${weight}, headers: { request: { set: { ${name}: own } } } }`;
  const keys = (route: RouteJson | undefined) => route?.requestHeadersToAdd?.map(({ header }) => header?.key);
  assert.deepEqual(keys(routesOf(`{ route: [${own(100, "b")}, ${own(0, "c")}], ${edits} }`)[0]), ["a", "b"]);
  const [split] = routesOf(`{ route: [${own(50, "b")}, ${own(50, "c")}], ${edits} }`);
  assert.deepEqual(keys(split), ["a"]);
  const clusters = split?.route?.weightedClusters?.clusters ?? [];
  assert.deepEqual(
    clusters.map(({ requestHeadersToAdd }) => requestHeadersToAdd?.[0]?.header?.key),
    ["b", "c"],
  );
});
