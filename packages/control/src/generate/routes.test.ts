import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { MeshSettings } from "../model/mesh-settings.ts";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const instance = (service: string, more: Record<string, unknown> = {}) => ({
  service,
  id: `${service}-1`,
  port: 9001,
  portName: "http",
  servicePort: 80,
  ...more,
});

const virtualService = (http: string, hosts = "[catalog]", name = "v") => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name} }
spec: { hosts: ${hosts}, http: [${http}] }
`;

const tableOf = (
  yaml: string,
  options: {
    readonly proxy?: Record<string, unknown>;
    readonly mesh?: Partial<MeshSettings>;
    readonly instances?: readonly ReturnType<typeof instance>[];
  } = {},
) => {
  const instances = options.instances ?? [instance("catalog"), instance("web")];
  const mesh = testMesh({ yaml, instances, ...(options.mesh ? { mesh: options.mesh } : {}) });
  const { resources, notes } = mesh.generator.generate(testProxy(options.proxy));
  const table = resources.route.get("http_proxy");
  assert.ok(table);
  const host = (name: string) => table.virtualHosts?.find((one) => one.name === name);
  return { host, notes, table };
};

/** Routes of catalog without the tunnel that comes first. */
const catalogRoutes = (http: string, options: Parameters<typeof tableOf>[1] = {}): readonly RouteJson[] => {
  const routes = tableOf(virtualService(http), options).host("catalog.default.svc.cluster.local:80")?.routes ?? [];
  assert.equal(routes[0]?.name, "connect");
  return routes.slice(1);
};

const to = (host: string, more = "") => `{ destination: { host: ${host} }${more} }`;

test("a service without rules has Istio's default route, by all its names", () => {
  const { host, table } = tableOf("");
  const catalog = host("catalog.default.svc.cluster.local:80");
  const full = "catalog.default.svc.cluster.local";
  const names = [full, `${full}.`, "catalog", "catalog.default", "catalog.default.svc"];
  assert.deepEqual(
    catalog?.domains,
    names.flatMap((name) => [name, `${name}:80`]),
  );
  assert.deepEqual(catalog?.routes?.[1], {
    name: "default",
    match: { prefix: "/" },
    route: {
      cluster: "outbound|80||catalog.default.svc.cluster.local",
      timeout: "0s",
      maxGrpcTimeout: "0s",
      retryPolicy: {
        retryOn: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        numRetries: 2,
        retryHostPredicate: [
          {
            name: "envoy.retry_host_predicates.previous_hosts",
            typedConfig: {
              "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
          },
        ],
        hostSelectionRetryMaxAttempts: "5",
      },
    },
    decorator: { operation: "catalog.default.svc.cluster.local:80/*" },
  });
  assert.deepEqual([table.validateClusters, table.maxDirectResponseBodySizeBytes], [false, 1_048_576]);
});

test("without a port in the Host the only HTTP port is meant, of several port 80, else none", () => {
  const domains = (ports: readonly number[]) => {
    const { table } = tableOf("", {
      instances: ports.map((servicePort) =>
        instance("catalog", { id: `p${servicePort}`, port: servicePort, servicePort }),
      ),
    });
    return table.virtualHosts?.filter(({ domains: list }) => list?.includes("catalog")).map(({ name }) => name);
  };
  assert.deepEqual(domains([8080]), ["catalog.default.svc.cluster.local:8080"]);
  assert.deepEqual(domains([8080, 80]), ["catalog.default.svc.cluster.local:80"]);
  assert.deepEqual(domains([8080, 8081]), []);
});

test("hosts the mesh does not know: 502, or for an address what it says where that is allowed", () => {
  const blocked = tableOf("", { mesh: { outboundTrafficPolicy: "REGISTRY_ONLY" } }).host("block_all");
  assert.deepEqual(blocked?.routes, [{ name: "block_all", match: { prefix: "/" }, directResponse: { status: 502 } }]);
  const allowed = tableOf("").host("allow_any")?.routes ?? [];
  assert.deepEqual(
    allowed.map(({ name, route, directResponse }) => [name, route?.cluster ?? directResponse?.status]),
    [
      ["allow_any", "PassthroughCluster"],
      ["block_all", 502],
    ],
  );
});

test("weights choose clusters; weight 0 beside others is left out; a lone destination needs none", () => {
  const clusters = (routes: string) =>
    catalogRoutes(`{ route: [${routes}] }`)[0]?.route?.weightedClusters?.clusters?.map(({ name, weight }) => [
      name,
      weight,
    ]);
  const cluster = (name: string, subset = "") => `outbound|80|${subset}|${name}.default.svc.cluster.local`;
  assert.deepEqual(clusters(`${to("catalog", ", weight: 90")}, ${to("web", ", weight: 10")}`), [
    [cluster("catalog"), 90],
    [cluster("web"), 10],
  ]);
  assert.equal(clusters(`${to("catalog", ", weight: 100")}, ${to("web", ", weight: 0")}`), undefined);
  const [route] = catalogRoutes(`{ route: [{ destination: { host: web, subset: v2 }, weight: 0 }] }`);
  assert.equal(route?.route?.cluster, cluster("web", "v2"));
});

test("conditions become Envoy's, one route for each alternative, and a catch-all ends the list", () => {
  const routes = catalogRoutes(`
    { name: r, match: [
        { name: m, uri: { exact: /a }, ignoreUriCase: true, method: { exact: GET } },
        { uri: { regex: "/b.*" }, headers: { x: { prefix: p }, here: {} }, withoutHeaders: { y: { regex: "z.*" }, gone: {} }, queryParams: { q: { exact: "1" } } }
      ], route: [${to("web")}] },
    { match: [{ uri: { prefix: / } }], route: [${to("catalog")}] },
    { route: [${to("web")}] }`);
  assert.deepEqual(
    routes.map(({ name, match }) => [name, match]),
    [
      ["r.m", { path: "/a", caseSensitive: false, headers: [{ name: ":method", stringMatch: { exact: "GET" } }] }],
      [
        "r",
        {
          safeRegex: { regex: "/b.*" },
          headers: [
            { name: "gone", presentMatch: true, invertMatch: true },
            { name: "here", presentMatch: true },
            { name: "x", stringMatch: { prefix: "p" } },
            {
              name: "y",
              stringMatch: { safeRegex: { regex: "z.*" } },
              invertMatch: true,
              treatMissingHeaderAsEmpty: true,
            },
          ],
          queryParameters: [{ name: "q", stringMatch: { exact: "1" } }],
        },
      ],
      [undefined, { prefix: "/" }],
    ],
  );
});

test("conditions on the client, its namespace, port and gateway are decided here", () => {
  const rules = `
    { match: [{ sourceLabels: { app: web } }], route: [${to("web")}] },
    { match: [{ sourceNamespace: other }], directResponse: { status: 501 } },
    { match: [{ port: 81 }], directResponse: { status: 502 } },
    { match: [{ gateways: [edge] }], directResponse: { status: 503 } },
    { match: [{ gateways: [mesh], port: 80, uri: { prefix: /m } }], directResponse: { status: 504 } }`;
  const seen = (labels: Record<string, string>) =>
    catalogRoutes(rules, { proxy: { LABELS: labels } }).map(
      ({ route, directResponse }) => route?.cluster ?? directResponse?.status,
    );
  assert.deepEqual(seen({ app: "web" }), ["outbound|80||web.default.svc.cluster.local"]);
  assert.deepEqual(seen({ app: "other" }), [504]);
});

test("timeouts, retries, faults, mirrors, CORS, rewrites and header edits become Envoy's", () => {
  const [route] = catalogRoutes(`{
    route: [{ destination: { host: catalog }, headers: { request: { set: { x-one: "1" } } } }],
    timeout: 2s, retries: { attempts: 3, perTryTimeout: 500ms, retryOn: "5xx,503,reset", backoff: 10ms },
    fault: { delay: { fixedDelay: 1s, percentage: { value: 0.5 } }, abort: { httpStatus: 503 } },
    mirror: { host: web }, mirrorPercentage: { value: 50 },
    corsPolicy: { allowOrigins: [{ exact: "https://a" }], allowMethods: [GET, PUT], maxAge: 1h },
    rewrite: { uri: /new, authority: other },
    headers: { request: { add: { b: "2" }, remove: [c, ":path"] }, response: { set: { d: "3" } } } }`);
  const action = route?.route;
  assert.deepEqual(
    [action?.timeout, action?.maxGrpcTimeout, action?.prefixRewrite, action?.hostRewriteLiteral],
    ["2s", "2s", "/new", "other"],
  );
  const { retryHostPredicate, ...retry } = action?.retryPolicy ?? {};
  assert.equal(retryHostPredicate?.length, 1);
  assert.deepEqual(retry, {
    retryOn: "5xx,reset,retriable-status-codes",
    numRetries: 3,
    retriableStatusCodes: [503],
    perTryTimeout: "0.500s",
    retryBackOff: { baseInterval: "0.010s" },
    hostSelectionRetryMaxAttempts: "5",
  });
  assert.deepEqual(action?.requestMirrorPolicies, [
    {
      cluster: "outbound|80||web.default.svc.cluster.local",
      runtimeFraction: { defaultValue: { numerator: 500_000, denominator: "MILLION" } },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    },
  ]);
  assert.deepEqual(route?.typedPerFilterConfig?.["envoy.filters.http.fault"], {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
    delay: { fixedDelay: "1s", percentage: { numerator: 5000, denominator: "MILLION" } },
    abort: { httpStatus: 503, percentage: { numerator: 0, denominator: "MILLION" } },
  });
  const cors = route?.typedPerFilterConfig?.["envoy.filters.http.cors"] as Record<string, unknown>;
  assert.deepEqual([cors.allowMethods, cors.maxAge, cors.forwardNotMatchingPreflights], ["GET,PUT", "3600", true]);
  assert.deepEqual(
    route?.requestHeadersToAdd?.map(({ header, appendAction }) => [header?.key, appendAction]),
    [
      ["b", "APPEND_IF_EXISTS_OR_ADD"],
      ["x-one", "OVERWRITE_IF_EXISTS_OR_ADD"],
    ],
  );
  assert.deepEqual(
    [route?.requestHeadersToRemove, route?.responseHeadersToAdd?.[0]?.header],
    [["c"], { key: "d", value: "3" }],
  );
  assert.equal(
    route?.metadata?.filterMetadata?.istio?.config,
    "/apis/networking.istio.io/v1/namespaces/default/virtual-service/v",
  );
});

test("retries are off with attempts 0 or an empty block; only a rule with one hashed destination goes to the same host again", () => {
  assert.equal(catalogRoutes(`{ route: [${to("catalog")}], retries: {} }`)[0]?.route?.retryPolicy, undefined);
  assert.equal(
    catalogRoutes(`{ route: [${to("catalog")}], retries: { attempts: 0 } }`)[0]?.route?.retryPolicy,
    undefined,
  );
  const hashed = `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: c }
spec: { host: catalog, trafficPolicy: { loadBalancer: { consistentHash: { httpCookie: { name: user, ttl: 0s, path: / } } } } }
`;
  const action = (rules: string) =>
    tableOf(rules + hashed).host("catalog.default.svc.cluster.local:80")?.routes?.[1]?.route;
  const hashPolicy = [{ cookie: { name: "user", ttl: "0s", path: "/" } }];
  const one = action(virtualService(`{ route: [${to("catalog")}] }`));
  assert.deepEqual([one?.hashPolicy, one?.retryPolicy?.retryHostPredicate], [hashPolicy, undefined]);
  const two = action(virtualService(`{ route: [${to("catalog", ", weight: 1")}, ${to("web", ", weight: 1")}] }`));
  assert.deepEqual([two?.hashPolicy, two?.retryPolicy?.retryHostPredicate?.length], [hashPolicy, 1]);
  const none = action("");
  assert.deepEqual([none?.hashPolicy, none?.retryPolicy?.retryHostPredicate?.length], [hashPolicy, 1]);
});

test("redirects and direct answers", () => {
  const routes = catalogRoutes(`
    { match: [{ uri: { exact: /r } }], redirect: { uri: /new, authority: h, redirectCode: 302, scheme: https, port: 8443 } },
    { match: [{ uri: { exact: /p } }], redirect: { derivePort: FROM_REQUEST_PORT } },
    { match: [{ uri: { prefix: /d } }], directResponse: { status: 418, body: { string: teapot } } }`);
  assert.deepEqual(
    routes.map(({ redirect, directResponse }) => redirect ?? directResponse),
    [
      { hostRedirect: "h", schemeRedirect: "https", portRedirect: 8443, pathRedirect: "/new", responseCode: "FOUND" },
      {},
      { status: 418, body: { inlineString: "teapot" } },
    ],
  );
});

test("the most specific rule for a host holds, then the oldest; hosts that are no service have routes of their own", () => {
  const { host } = tableOf(
    virtualService(`{ directResponse: { status: 501 } }`, '["*.svc.cluster.local"]', "wide") +
      virtualService(`{ directResponse: { status: 502 } }`, "[catalog]", "first") +
      virtualService(`{ directResponse: { status: 503 } }`, "[catalog]", "second") +
      virtualService(`{ directResponse: { status: 504 } }`, "[virtual.example.com]", "bare"),
  );
  const status = (name: string) => host(name)?.routes?.at(-1)?.directResponse?.status;
  assert.deepEqual(
    [status("catalog.default.svc.cluster.local:80"), status("web.default.svc.cluster.local:80")],
    [502, 501],
  );
  assert.deepEqual(host("virtual.example.com:80")?.domains, ["virtual.example.com", "virtual.example.com:80"]);
  assert.equal(status("virtual.example.com:80"), 504);
});

test("gRPC dialled at the listener's own address goes by the service named in the path, or says why not", () => {
  const grpc = (service: string, names: string, id = `${service}-1`) =>
    instance(service, { id, portName: "grpc", protocol: "grpc", metadata: { "grpc-services": names } });
  const { host } = tableOf(
    virtualService(`{ match: [{ uri: { prefix: /shop.Reviews/ } }], route: [${to("web")}] }`, "[web]"),
    {
      instances: [grpc("ratings", "shop.Ratings, shop.Both"), grpc("stars", "shop.Both,bad name"), grpc("web", "")],
    },
  );
  const self = host("weft|self");
  assert.deepEqual(self?.domains, ["localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", "[::1]", "[::1]:*"]);
  assert.deepEqual(
    self?.routes?.map(({ match, route, directResponse }) => [
      match?.prefix,
      match?.grpc !== undefined,
      route?.cluster ?? directResponse?.status,
    ]),
    [
      ["/shop.Both/", true, 404],
      ["/shop.Ratings/", false, "outbound|80||ratings.default.svc.cluster.local"],
      ["/shop.Reviews/", false, "outbound|80||web.default.svc.cluster.local"],
      ["/", true, 404],
      ["/", false, 502],
    ],
  );
  const text = (i: number) => self?.routes?.[i]?.directResponse?.body?.inlineString ?? "";
  assert.match(text(0), /^WF5011 .*shop\.Both: ratings\.default.*, stars\.default/);
  assert.match(text(3), /^WF5010 .*shop\.Both, shop\.Ratings, shop\.Reviews/);
});

test("TCP services are reached by CONNECT", () => {
  const { host } = tableOf(kubernetesService("db", { ip: "10.96.0.9", port: 5432, portName: "tcp" }));
  const db = host("db.default.svc.cluster.local:5432");
  assert.ok(db?.domains?.includes("db:5432") && !db.domains.includes("db"));
  assert.deepEqual(db?.routes, [
    {
      name: "connect",
      match: { connectMatcher: {} },
      route: {
        cluster: "outbound|5432||db.default.svc.cluster.local",
        timeout: "0s",
        upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: {} }],
      },
    },
  ]);
});

test("CONNECT follows the rules for connections, by weight; rules for addresses are for those who dial them", () => {
  const db = kubernetesService("db", { ip: "10.96.0.9", port: 5432, portName: "tcp" });
  const old = kubernetesService("old", { ip: "10.96.0.8", port: 5432, portName: "tcp" });
  const action = (tcp: string) =>
    tableOf(`${db}${old}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v }
spec: { hosts: [db], tcp: [${tcp}] }
`).host("db.default.svc.cluster.local:5432")?.routes?.[0]?.route;
  const split = `route: [${to("old", ", weight: 1")}, ${to("db", ", weight: 2")}]`;
  assert.deepEqual(
    action(`{ ${split} }`)?.weightedClusters?.clusters?.map(({ weight }) => weight),
    [1, 2],
  );
  assert.equal(
    action(`{ match: [{ destinationSubnets: [10.0.0.0/8] }], ${split} }`)?.cluster,
    "outbound|5432||db.default.svc.cluster.local",
  );
});

test("a service's name with a port that it does not have is told apart from a name nobody knows", () => {
  const { host } = tableOf("");
  const wrong = host("wrong_port");
  const domains = wrong?.domains ?? [];
  assert.ok(domains.includes("catalog:*") && domains.includes("web.default.svc.cluster.local:*"));
  const [route] = wrong?.routes ?? [];
  assert.equal(route?.directResponse?.status, 502);
  assert.match(route?.directResponse?.body?.inlineString ?? "", /^WF5014 .*Next: /);
});

test("wildcard hosts have no names whose ports could be wrong", () => {
  const entry = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: w }
spec: { hosts: ["*.example.com"], ports: [{ number: 80, name: http, protocol: HTTP }], location: MESH_EXTERNAL }
`;
  const { host, table } = tableOf(entry, { instances: [] });
  assert.ok(table.virtualHosts?.some(({ domains }) => domains?.includes("*.example.com:80")));
  assert.equal(host("wrong_port"), undefined);
});
