import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpConnectionManagerJson } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { profileDefaults } from "../model/mesh-defaults.ts";
import { testMesh, testProxy } from "./test-mesh.ts";

const catalog = "catalog.default.svc.cluster.local";
const object = (kind: string, spec: string, namespace = "default", group = "networking.istio.io/v1") => `
---
apiVersion: ${group}
kind: ${kind}
metadata: { name: one, namespace: ${namespace} }
spec: ${spec}
`;
const meshDefaults = (spec: string, namespace = "istio-system") =>
  object("MeshDefaults", spec, namespace, "weft.dev/v1alpha1");
const rule = (http: string) => object("VirtualService", `{ hosts: [catalog], http: [${http}] }`);

/** The catalog as a client of the mesh sees it, under the profile of a mesh in which nobody wrote MeshDefaults. */
const seen = (yaml: string, portName = "http", metadata = {}) => {
  const instances = [{ service: "catalog", id: "c-1", port: 9001, portName, servicePort: 80 }];
  const mesh = testMesh({ yaml, instances, mesh: { defaults: profileDefaults("weft") } });
  const { resources } = mesh.generator.generate(testProxy(metadata));
  const hosts = resources.route.get("http_proxy")?.virtualHosts ?? [];
  const routes = (hosts.find(({ name }) => name === `${catalog}:80`)?.routes ?? []).slice(1);
  const cluster = resources.cluster.get(`outbound|80||${catalog}`);
  return { routes, budget: cluster?.circuitBreakers?.thresholds?.[0]?.retryBudget, resources };
};

const shape = ({ routes }: ReturnType<typeof seen>) =>
  routes.map(({ match, route }) => [match?.headers?.map(({ name }) => name) ?? [], route?.retryPolicy?.retryOn]);

const unseen = "connect-failure,refused-stream,reset-before-request";
const asIstio = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const safe = [
  [[":method", "x-envoy-attempt-count"], `${unseen},gateway-error`],
  [[], unseen],
];

test("nobody wrote retries: what was not executed is sent again, and errors only to what may be executed twice", () => {
  assert.deepEqual(shape(seen("")), safe);
  assert.deepEqual(shape(seen(rule("{ route: [{ destination: { host: catalog } }] }"))), safe);
  const [match] = seen("").routes[0]?.match?.headers ?? [];
  const methods = new RegExp(`^(?:${match?.stringMatch?.safeRegex?.regex})$`);
  assert.deepEqual(
    ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "CONNECT", "GETX"].filter((one) => methods.test(one)),
    ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"],
  );
});

test("what is a retry of the hop before is not multiplied", () => {
  const [, attempts] = seen("").routes[0]?.match?.headers ?? [];
  assert.equal(attempts?.invertMatch, true);
  const again = new RegExp(`^(?:${attempts?.stringMatch?.safeRegex?.regex})$`);
  assert.deepEqual(
    ["", "1", "2", "9", "10", "x"].map((count) => again.test(count)),
    [false, false, true, true, true, false],
  );
});

test("retries somebody wrote are as in Istio", () => {
  const to = "route: [{ destination: { host: catalog } }]";
  assert.deepEqual(shape(seen(rule(`{ ${to}, retries: { attempts: 3 } }`))), [[[], asIstio]]);
  assert.deepEqual(shape(seen(rule(`{ ${to}, retries: {} }`))), [[[], undefined]]);
  assert.deepEqual(shape(seen(rule(`{ ${to}, retries: { attempts: 1, retryOn: "5xx" } }`))), [[[], "5xx"]]);
  const wide = object(
    "MeshConfig",
    "{ defaultHttpRetryPolicy: { attempts: 5 } }",
    "istio-system",
    "mesh.istio.io/v1alpha1",
  );
  assert.deepEqual(shape(seen(wide)), [[[], asIstio]]);
});

test("a rule for one method has the retries of that method alone", () => {
  const route = (method: string) =>
    rule(`{ match: [{ method: { exact: ${method} } }], route: [{ destination: { host: catalog } }] }`);
  assert.deepEqual(shape(seen(route("POST"))), [[[":method"], unseen]]);
  assert.deepEqual(shape(seen(route("GET"))), [
    [[":method", "x-envoy-attempt-count"], `${unseen},gateway-error`],
    [[":method"], unseen],
  ]);
});

test("gRPC only POSTs, so its ports have one route; answers of our own have no retries to tell apart", () => {
  assert.deepEqual(shape(seen("", "grpc")), [[[], unseen]]);
  assert.equal(seen(rule("{ directResponse: { status: 204 } }")).routes.length, 1);
});

test("profile istio is Istio's, with no budget, wherever the object is of the root namespace", () => {
  const istio = seen(meshDefaults("{ profile: istio }"));
  assert.deepEqual([shape(istio), istio.budget], [[[[], asIstio]], undefined]);
  assert.deepEqual(shape(seen(meshDefaults("{ profile: istio }", "default"))), safe);
});

test("retries nobody wrote have a budget, which only our own sidecar is told of", () => {
  const budgets = (yaml: string, metadata = {}) =>
    seen(yaml, "http", metadata).routes.map((route) => route.metadata?.filterMetadata?.weft?.retryBudget);
  const stock = { WEFT_VERSION: undefined };
  const usual = { percent: 20, atLeast: 3 };
  assert.deepEqual(budgets(""), [usual, usual]);
  assert.deepEqual(budgets("", stock), [undefined, undefined]);
  const to = "route: [{ destination: { host: catalog } }]";
  assert.deepEqual(budgets(rule(`{ ${to} }`)), [usual, usual]);
  assert.deepEqual(budgets(rule(`{ ${to}, retries: { attempts: 3 } }`)), [undefined]);
  assert.deepEqual(budgets(meshDefaults("{ profile: istio }")), [undefined]);
  assert.deepEqual(budgets(meshDefaults("{ retryBudget: { percent: 5 } }")), [undefined, undefined]);
});

test("requests are hedged where MeshDefaults says so and nobody wrote retries, a timeout or a hash, by our own sidecar", () => {
  const hedged = (yaml: string, metadata = {}, port = "http") =>
    seen(yaml, port, metadata).routes.map((route) => route.metadata?.filterMetadata?.weft?.hedging);
  const on = meshDefaults("{ hedging: { enabled: true } }");
  const usual = { percentile: 95, minDelayMs: 5, maxExtraPercent: 5 };
  assert.deepEqual(hedged(""), [undefined, undefined]);
  assert.deepEqual(hedged(meshDefaults("{ hedging: { percentile: 99 } }")), [undefined, undefined]);
  assert.deepEqual(hedged(on), [usual, undefined]);
  assert.deepEqual(hedged(on, { WEFT_VERSION: undefined }), [undefined, undefined]);
  assert.deepEqual(hedged(on, {}, "grpc"), [undefined]);
  const written = "{ hedging: { enabled: true, percentile: 99, minDelay: 20ms, maxExtraPercent: 2 }, profile: istio }";
  assert.deepEqual(hedged(meshDefaults(written)), [{ percentile: 99, minDelayMs: 20, maxExtraPercent: 2 }]);
  const to = "route: [{ destination: { host: catalog } }]";
  assert.deepEqual(hedged(on + rule(`{ ${to} }`)), [usual, undefined]);
  assert.deepEqual(hedged(on + rule(`{ ${to}, retries: { attempts: 3 } }`)), [undefined]);
  assert.deepEqual(hedged(on + rule(`{ ${to}, timeout: 3s }`)), [undefined, undefined]);
  const byHash = "{ loadBalancer: { consistentHash: { httpHeaderName: x-user } } }";
  const policy = object("DestinationRule", `{ host: catalog, trafficPolicy: ${byHash} }`);
  assert.deepEqual(hedged(on + policy), [undefined, undefined]);
});

test("a budget written for the mesh bounds all retries of every proxy where no DestinationRule does", () => {
  const given = (percent: number, minRetryConcurrency: number) => ({
    budgetPercent: { value: percent },
    minRetryConcurrency,
  });
  const policy = (text: string) => object("DestinationRule", `{ host: catalog, trafficPolicy: ${text} }`);
  assert.equal(seen("").budget, undefined);
  assert.deepEqual(seen(meshDefaults("{ retryBudget: { percent: 5 } }")).budget, given(5, 3));
  assert.deepEqual(seen(meshDefaults("{ profile: istio, retryBudget: { minConcurrency: 9 } }")).budget, given(20, 9));
  assert.deepEqual(seen(policy("{ retryBudget: { percent: 50 } }")).budget, given(50, 3));
  assert.equal(seen(policy("{ connectionPool: { http: { maxRetries: 7 } } }")).budget, undefined);
});

const limit = (spec: string, namespace = "default") =>
  object("LocalRateLimit", spec, namespace, "weft.dev/v1alpha1").replace("name: one", "name: few");

const managers = (yaml: string, labels: Readonly<Record<string, string>> = { app: "web" }) => {
  const instances = [{ service: "catalog", id: "c-1", port: 9001, portName: "http", servicePort: 80 }];
  const mesh = testMesh({ yaml, instances });
  const inbound = [{ address: "127.0.0.1", port: 9001, appPort: 8080, protocol: "http", service: "catalog" }];
  const { resources } = mesh.generator.generate(testProxy({ LABELS: labels, WEFT_INBOUND: inbound }));
  const of = (name: string) => {
    const filters = resources.listener.get(name)?.filterChains?.flatMap((chain) => chain.filters ?? []) ?? [];
    return filters.map(({ typedConfig }) => typedConfig as unknown as HttpConnectionManagerJson);
  };
  const limits = (name: string) =>
    of(name).flatMap(({ httpFilters = [] }) =>
      httpFilters.filter((filter) => filter.name?.startsWith("weft.LocalRateLimit/")).map((filter) => filter.name),
    );
  return { in: limits("127.0.0.1_9001"), out: limits("127.0.0.1_15001"), routes: of("127.0.0.1_9001")[0]?.routeConfig };
};

const bucket = "bucket: { maxTokens: 5, fillInterval: 1s }";

test("a LocalRateLimit is a filter of the workloads it selects, on its side of them", () => {
  const name = "weft.LocalRateLimit/default/few";
  const counts = (yaml: string, labels?: Readonly<Record<string, string>>) => {
    const { in: taken, out } = managers(yaml, labels);
    return [[...new Set(taken)], out];
  };
  assert.deepEqual(counts(limit(`{ ${bucket} }`)), [[name], []]);
  assert.deepEqual(counts(limit(`{ side: outbound, ${bucket} }`)), [[], [name]]);
  const selected = limit(`{ selector: { matchLabels: { app: web } }, ${bucket} }`);
  assert.deepEqual(counts(selected), [[name], []]);
  assert.deepEqual(counts(selected, { app: "other" }), [[], []]);
  assert.deepEqual(counts(limit(`{ ${bucket} }`, "other")), [[], []]);
  assert.deepEqual(counts(limit(`{ ${bucket} }`, "istio-system"))[0], ["weft.LocalRateLimit/istio-system/few"]);
});

test("requests a LocalRateLimit does not mean are in no bucket of it", () => {
  const rules = (match: string) =>
    managers(limit(`{ match: ${match}, ${bucket} }`)).routes?.virtualHosts?.[0]?.rateLimits;
  assert.equal(rules("{ port: 81 }"), undefined);
  assert.deepEqual(rules("{ port: 80 }")?.[0]?.actions?.[0]?.genericKey, {
    descriptorKey: "LocalRateLimit/default/few",
    descriptorValue: "counted",
  });
  const [path] = rules("{ path: { exact: /a.b } }")?.[0]?.actions?.[0]?.headerValueMatch?.headers ?? [];
  const expression = new RegExp(`^(?:${path?.stringMatch?.safeRegex?.regex})$`);
  assert.deepEqual(
    ["/a.b", "/a.b?x=1", "/axb", "/a.b/c"].map((one) => expression.test(one)),
    [true, true, false, false],
  );
});
