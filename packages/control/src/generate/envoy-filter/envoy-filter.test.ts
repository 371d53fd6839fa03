/** EnvoyFilters by what they make of the resources of a proxy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testMesh, testProxy } from "../test-mesh.ts";
import { unmatchedPatches } from "./envoy-filters.ts";

const managerType =
  "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const header = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
const catalog = { service: "catalog", id: "a", port: 9001, portName: "http", servicePort: 80 };
const host = "catalog.default.svc.cluster.local";
const cluster = `outbound|80||${host}`;

interface FilterInput {
  readonly patches: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly spec?: string;
}

const filter = ({ patches, name = "f", namespace = "default", spec = "" }: FilterInput): string => `
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  ${spec}
  configPatches: ${patches}
`;

const intercepted = { INTERCEPTION_MODE: "REDIRECT", INSTANCE_IPS: "10.0.0.9" };

const generate = (filters: readonly FilterInput[], metadata: Record<string, unknown> = intercepted) => {
  const mesh = testMesh({
    yaml: filters.map(filter).join(""),
    instances: [catalog, { ...catalog, id: "own", address: "10.0.0.9" }],
  });
  const made = mesh.generator.generate(testProxy(metadata));
  return { ...made, mesh };
};
type Made = ReturnType<typeof generate>;

type Loose = Readonly<Record<string, unknown>>;
const managers = (made: Made, listener: string): Loose[] =>
  [...(made.resources.listener.get(listener)?.filterChains ?? [])]
    .flatMap(({ filters }) => filters ?? [])
    .filter(({ name }) => name === "envoy.filters.network.http_connection_manager")
    .map(({ typedConfig }) => typedConfig as Loose);
const httpFilters = (made: Made, listener = "0.0.0.0_80"): string[] =>
  ((managers(made, listener)[0]?.httpFilters as { name: string }[]) ?? []).map(({ name }) => name);

const mutation = (name: string, operation: string, filterMatch = "", more = ""): string => `
    - applyTo: HTTP_FILTER
      match: { context: SIDECAR_OUTBOUND, listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager ${filterMatch} } } } }
      patch: { operation: ${operation}, ${more} value: { name: ${name}, typed_config: { "@type": ${header} } } }`;
const fault = ", subFilter: { name: envoy.filters.http.fault }";

test("HTTP filters are inserted, added, replaced and removed; nothing comes after the router", () => {
  const around = (patches: string) => httpFilters(generate([{ patches }]));
  const plain = around("[]");
  assert.equal(plain.at(-1), "envoy.filters.http.router");
  const at = (names: string[], name: string): number => names.indexOf(name);
  const before = around(mutation("x", "INSERT_BEFORE", fault));
  assert.equal(at(before, "x"), at(before, "envoy.filters.http.fault") - 1);
  const after = around(mutation("x", "INSERT_AFTER", fault));
  assert.equal(at(after, "x"), at(after, "envoy.filters.http.fault") + 1);
  assert.equal(around(mutation("x", "INSERT_FIRST"))[0], "x");
  assert.equal(around(mutation("x", "INSERT_BEFORE"))[0], "x");
  for (const operation of ["ADD", "INSERT_AFTER"])
    assert.deepEqual(around(mutation("x", operation)).slice(-2), ["x", "envoy.filters.http.router"]);
  const replaced = around(mutation("x", "REPLACE", fault));
  assert.deepEqual(
    replaced,
    plain.map((name) => (name === "envoy.filters.http.fault" ? "x" : name)),
  );
  const removed = around(mutation("x", "REMOVE", fault));
  assert.deepEqual(
    removed,
    plain.filter((name) => name !== "envoy.filters.http.fault"),
  );
  assert.deepEqual(around(mutation("x", "REMOVE")), plain, "removing needs a name");
  const stats = around(mutation("x", "ADD", "", "filterClass: STATS,"));
  assert.equal(at(stats, "x"), at(stats, "istio.stats") - 1);
});

test("the root namespace goes first, then priority, then age, then name", () => {
  const one = (name: string, namespace: string, priority = 0): FilterInput => ({
    name,
    namespace,
    spec: `priority: ${priority}`,
    patches: mutation(name, "INSERT_FIRST"),
  });
  // Each goes before those made earlier, so the last made stands first.
  const names = httpFilters(
    generate([
      one("own-late", "default", 5),
      one("own-b", "default"),
      one("own-a", "default"),
      one("root", "istio-system", 9),
      one("early", "default", -1),
    ]),
  );
  assert.deepEqual(names.slice(0, 5), ["own-late", "own-a", "own-b", "early", "root"]);
});

test("merging an HTTP filter or a manager merges settings of one type, and appends to lists", () => {
  const made = generate([
    {
      patches: `
    - applyTo: NETWORK_FILTER
      match: { context: SIDECAR_OUTBOUND, listener: { portNumber: 80, filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } } }
      patch:
        operation: MERGE
        value: { typed_config: { "@type": ${managerType}, max_request_headers_kb: 96, upgrade_configs: [{ upgrade_type: spdy }] } }
    - applyTo: NETWORK_FILTER
      match: { listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } } }
      patch: { operation: MERGE, value: { typed_config: { "@type": ${header} } } }`,
    },
  ]);
  const [manager] = managers(made, "0.0.0.0_80");
  assert.equal(manager?.maxRequestHeadersKb, 96);
  assert.deepEqual(manager?.upgradeConfigs, [{ upgradeType: "websocket" }, { upgradeType: "spdy" }]);
  assert.equal(manager?.normalizePath, true);
  assert.deepEqual([...(made.matched ?? [])], ["default/f/0"], "settings of another type match nothing");
});

test("the inbound side is told apart, by port too, and its routes can be changed in place", () => {
  const made = generate([
    {
      patches: `
    - applyTo: NETWORK_FILTER
      match: { context: SIDECAR_INBOUND, listener: { portNumber: 9001, filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } } }
      patch: { operation: MERGE, value: { typed_config: { "@type": ${managerType}, server_name: mine } } }
    - applyTo: HTTP_ROUTE
      match: { context: SIDECAR_INBOUND, routeConfiguration: { portNumber: 9001, vhost: { name: "inbound|http|80", route: { name: default } } } }
      patch: { operation: MERGE, value: { route: { timeout: 7s } } }`,
    },
  ]);
  const inbound = managers(made, "virtualInbound");
  assert.ok(inbound.some(({ serverName }) => serverName === "mine"));
  assert.ok(
    inbound.some(({ serverName }) => serverName !== "mine"),
    "other ports keep theirs",
  );
  assert.match(JSON.stringify(inbound), /"timeout":"7s"/);
  assert.ok(managers(made, "0.0.0.0_80").every(({ serverName }) => serverName !== "mine"));
});

test("clusters merge, are removed and added; sides hold, and a name that is taken is not added", () => {
  const made = generate([
    {
      patches: `
    - applyTo: CLUSTER
      match: { context: SIDECAR_OUTBOUND, cluster: { service: ${host}, portNumber: 80 } }
      patch: { operation: MERGE, value: { connect_timeout: 3s, circuit_breakers: { thresholds: [{ priority: HIGH, max_requests: 5 }] } } }
    - applyTo: CLUSTER
      match: { cluster: { name: BlackHoleCluster } }
      patch: { operation: REMOVE }
    - applyTo: CLUSTER
      patch: { operation: ADD, value: { name: extra, type: STATIC } }
    - applyTo: CLUSTER
      match: { context: SIDECAR_INBOUND }
      patch: { operation: ADD, value: { name: extra-in, type: STATIC } }
    - applyTo: CLUSTER
      patch: { operation: ADD, value: { name: "PassthroughCluster", type: STATIC } }`,
    },
  ]);
  const patched = made.resources.cluster.get(cluster);
  assert.equal(patched?.connectTimeout, "3s");
  assert.equal(patched?.circuitBreakers?.thresholds?.length, 2);
  assert.equal(made.resources.cluster.get("inbound|9001||")?.connectTimeout, "10s");
  assert.equal(made.resources.cluster.has("BlackHoleCluster"), false);
  assert.ok(made.resources.cluster.has("extra") && made.resources.cluster.has("extra-in"));
  assert.equal(made.resources.cluster.get("PassthroughCluster")?.type, "ORIGINAL_DST");
  assert.deepEqual(
    made.notes.map(({ code, message }) => [code, message.slice(0, 25)]),
    [["WF1551", "configPatches[4] is not m"]],
  );
});

test("lists are replaced where that is asked for", () => {
  const made = generate([
    {
      patches: `
    - applyTo: CLUSTER
      match: { cluster: { name: "${cluster}" } }
      patch: { operation: MERGE_AND_REPLACE_LIST, value: { circuit_breakers: { thresholds: [{ max_requests: 5 }] } } }`,
    },
  ]);
  assert.deepEqual(made.resources.cluster.get(cluster)?.circuitBreakers?.thresholds, [{ maxRequests: 5 }]);
});

test("virtual hosts and routes are changed, added and taken away by name, domain and action", () => {
  const of = (patches: string) => generate([{ patches }]).resources.route.get("80")?.virtualHosts ?? [];
  const vhost = `vhost: { name: "${host}:80"`;
  const target = (more = "") =>
    `match: { context: SIDECAR_OUTBOUND, routeConfiguration: { portNumber: 80, ${vhost} ${more} } } }`;
  const value = "{ name: first, match: { prefix: /x }, direct_response: { status: 204 } }";
  const named = (hosts: ReturnType<typeof of>) =>
    hosts.find(({ name }) => name === `${host}:80`)?.routes?.map(({ name }) => name);
  assert.deepEqual(
    named(of(`[{ applyTo: HTTP_ROUTE, ${target()}, patch: { operation: INSERT_FIRST, value: ${value} } }]`)),
    ["first", "default"],
  );
  assert.deepEqual(named(of(`[{ applyTo: HTTP_ROUTE, ${target()}, patch: { operation: ADD, value: ${value} } }]`)), [
    "default",
    "first",
  ]);
  const missing = target(", route: { name: none }");
  assert.deepEqual(
    named(of(`[{ applyTo: HTTP_ROUTE, ${missing}, patch: { operation: INSERT_FIRST, value: ${value} } }]`)),
    ["default"],
  );
  const redirects = target(", route: { action: REDIRECT }");
  assert.deepEqual(named(of(`[{ applyTo: HTTP_ROUTE, ${redirects}, patch: { operation: REMOVE } }]`)), ["default"]);
  const routes = target(", route: { action: ROUTE }");
  assert.deepEqual(named(of(`[{ applyTo: HTTP_ROUTE, ${routes}, patch: { operation: REMOVE } }]`)), []);
  const merged = of(
    `[{ applyTo: VIRTUAL_HOST, ${target()}, patch: { operation: MERGE, value: { domains: [extra], require_tls: ALL } } }]`,
  );
  const changed = merged.find(({ name }) => name === `${host}:80`);
  assert.deepEqual([changed?.domains?.at(-1), changed?.requireTls], ["extra", "ALL"]);
  const byDomain = `match: { routeConfiguration: { vhost: { domainName: ${host} } } }`;
  assert.equal(named(of(`[{ applyTo: VIRTUAL_HOST, ${byDomain}, patch: { operation: REMOVE } }]`)), undefined);
  const added = of(
    "[{ applyTo: VIRTUAL_HOST, match: { routeConfiguration: { name: '80' } }, patch: { operation: ADD, value: { name: mine, domains: [mine] } } }]",
  );
  assert.equal(added.at(-1)?.name, "mine");
});

test("selectors, namespaces, versions and metadata decide which proxies a patch is for", () => {
  const patches = `
    - applyTo: CLUSTER
      match: { PROXY cluster: { name: "${cluster}" } }
      patch: { operation: MERGE, value: { connect_timeout: 3s } }`;
  const timeout = (input: Omit<FilterInput, "patches">, proxy = "", metadata: Record<string, unknown> = {}) =>
    generate([{ ...input, patches: patches.replace("PROXY", proxy) }], {
      ...intercepted,
      ...metadata,
    }).resources.cluster.get(cluster)?.connectTimeout;
  assert.equal(timeout({ namespace: "other" }), "10s");
  assert.equal(timeout({ namespace: "istio-system" }), "3s");
  const spec = "workloadSelector: { labels: { app: web } }";
  assert.equal(timeout({ spec }), "10s");
  assert.equal(timeout({ spec }, "", { LABELS: { app: "web" } }), "3s");
  assert.equal(timeout({}, "proxy: { proxyVersion: '^1\\.2.*' },", { ISTIO_VERSION: "1.31.0" }), "10s");
  assert.equal(timeout({}, "proxy: { proxyVersion: '^1\\.31.*' },"), "3s");
  assert.equal(timeout({}, "proxy: { metadata: { TEAM: a } },", { TEAM: "b" }), "10s");
  assert.equal(timeout({}, "proxy: { metadata: { TEAM: a } },", { TEAM: "a" }), "3s");
  assert.equal(timeout({}, "context: GATEWAY,"), "10s");
});

test("a value that is none, an extension our sidecar lacks and a dead end are found, and the rest is made", () => {
  const made = generate([
    {
      patches: `
    - applyTo: CLUSTER
      match: { cluster: { name: "${cluster}" } }
      patch: { operation: MERGE, value: { conect_timeout: 3s } }
    - applyTo: HTTP_FILTER
      match: { context: SIDECAR_OUTBOUND, listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } } }
      patch: { operation: INSERT_FIRST, value: { name: odd, typed_config: { "@type": type.googleapis.com/acme.Odd, a: 1 } } }
    - applyTo: BOOTSTRAP
      patch: { operation: MERGE, value: { admin: {} } }
    - applyTo: CLUSTER
      match: { cluster: { name: nobody } }
      patch: { operation: MERGE, value: { connect_timeout: 4s } }
    - applyTo: CLUSTER
      match: { cluster: { name: "${cluster}" } }
      patch: { operation: MERGE, value: { connect_timeout: 5s } }`,
    },
  ]);
  assert.equal(made.resources.cluster.get(cluster)?.connectTimeout, "5s");
  assert.deepEqual(
    made.notes.map(({ message, line }) => [message.split(":")[0], line > 0]),
    [
      ["configPatches[0] is not made", true],
      ["configPatches[2] is not made", true],
      ["configPatches[1] is not made", true],
    ],
  );
  const objects = [...made.mesh.config.values()].flatMap(({ object }) =>
    object.kind === "EnvoyFilter" ? [object] : [],
  );
  const seen = {
    proxies: 1,
    matched: made.matched ?? new Set<string>(),
    refused: new Set(["default/f/0", "default/f/1", "default/f/2"]),
  };
  assert.deepEqual(
    unmatchedPatches(objects, seen).map(({ code, message }) => [code, message.split(" matches")[0]]),
    [["WF1550", "configPatches[3]"]],
  );
  const stock = generate([{ patches: mutation("x", "INSERT_FIRST").replace(header, "type.googleapis.com/acme.Odd") }], {
    ...intercepted,
    WEFT_VERSION: undefined,
  });
  assert.equal(httpFilters(stock)[0], "x", "a stock Envoy may have it");
});

test("an HTTP filter whose settings come by name has them from the patch of that name", () => {
  const made = generate([
    {
      patches: `
    - applyTo: EXTENSION_CONFIG
      patch: { operation: ADD, value: { name: x, typed_config: { "@type": ${header} } } }
    - applyTo: HTTP_FILTER
      match: { context: SIDECAR_OUTBOUND, listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } } }
      patch: { operation: INSERT_FIRST, value: { name: x, config_discovery: { config_source: { ads: {} }, type_urls: ["${header}"] } } }`,
    },
  ]);
  const [first] = (managers(made, "0.0.0.0_80")[0]?.httpFilters ?? []) as Loose[];
  assert.deepEqual(first, { name: "x", typedConfig: { "@type": header } });
});

test("what a patch makes stays the same object while nothing changes, so that nothing is sent again", () => {
  const { mesh, resources } = generate([
    { patches: `[{ applyTo: CLUSTER, patch: { operation: MERGE, value: { connect_timeout: 3s } } }]` },
  ]);
  mesh.apply(
    "{ apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: { name: x }, spec: { hosts: [x.example], ports: [{ number: 1, name: tcp }] } }",
  );
  mesh.commit();
  const again = mesh.generator.generate(testProxy(intercepted)).resources;
  assert.equal(again.cluster.get(cluster), resources.cluster.get(cluster));
  assert.equal(again.cluster.get("outbound|1||x.example")?.connectTimeout, "3s");
});
