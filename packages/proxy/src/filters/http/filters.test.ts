import assert from "node:assert/strict";
import { test } from "node:test";
import type { RBACJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import type { HTTPFaultJson } from "@weft/xds/gen/envoy/extensions/filters/http/fault/v3/fault";
import {
  downstream,
  exchange,
  filterTools,
  request,
  type TestFilterTools,
  tlsInfo,
} from "../../compile/testing/fixtures.ts";
import type { Exchange, LocalReply } from "../../http/exchange.ts";
import type { Route } from "../../routing/route.ts";
import { compileRouteTable } from "../../routing/route-table.ts";
import { compileNetworkRbac } from "../network/rbac.ts";
import { type HttpFilter, wait } from "./filter.ts";
import { configureHttpFilter, httpFilters } from "./index.ts";

const build = (typeName: string, json: object, tools: TestFilterTools): HttpFilter => {
  const typedConfig = { "@type": `type.googleapis.com/${typeName}`, ...json };
  const configured = configureHttpFilter({ name: "any", typedConfig }, "httpFilters[0]");
  assert.ok(configured);
  return configured.build(tools);
};

const route = (tools: TestFilterTools, typedPerFilterConfig: Record<string, object>): Route => {
  const table = compileRouteTable(
    {
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, route: { cluster: "c" }, typedPerFilterConfig }],
        },
      ],
    },
    tools,
  );
  return table.match(request(), downstream()) as Route;
};

/** What filters have no defaults for. */
const needed: ReadonlyMap<string, object> = new Map([
  [
    "envoy.filters.http.adaptive_concurrency",
    {
      gradientControllerConfig: {
        concurrencyLimitParams: { concurrencyUpdateInterval: "0.1s" },
        minRttCalcParams: { interval: "60s" },
      },
    },
  ],
]);

for (const kind of httpFilters) {
  const typedConfig = { "@type": `type.googleapis.com/${kind.typeName}`, ...needed.get(kind.name) };
  test(`${kind.name} is found by its message and by its name`, () => {
    assert.equal(configureHttpFilter({ name: "x", typedConfig }, "f")?.kind, kind);
    const byName = () => configureHttpFilter({ name: kind.name }, "f");
    if (needed.has(kind.name)) assert.throws(byName, /is required/);
    else assert.equal(byName()?.kind, kind);
  });

  test(`${kind.name} passes a plain request on, through all of its hooks`, () => {
    const filter = configureHttpFilter({ name: kind.name, typedConfig }, "f")?.build(filterTools());
    const plain = exchange();
    const answer = filter?.onRequest?.(plain);
    assert.ok(answer === undefined);
    filter?.onResponse?.(plain);
    filter?.onEnd?.(plain);
  });
}

test("an unknown filter is refused by name unless it is optional", () => {
  const typedConfig = { "@type": "type.googleapis.com/x.Y" };
  assert.throws(
    () => configureHttpFilter({ name: "mine", typedConfig }, "httpFilters[2]"),
    /httpFilters\[2\]: the HTTP filter "mine" \(x.Y\)/,
  );
  assert.equal(configureHttpFilter({ name: "mine", typedConfig, isOptional: true }, "f"), undefined);
});

test("a filter wrapped in a TypedStruct is found, its proto names read as JSON names", () => {
  const typedConfig = {
    "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
    typeUrl: "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
    value: { abort: { http_status: 99 } },
  };
  assert.throws(() => configureHttpFilter({ typedConfig }, "f"), /f.typedConfig.abort.httpStatus: 99 is not from 200/);
});

const faultType = "envoy.extensions.filters.http.fault.v3.HTTPFault";
const always = { numerator: 100 };

test("an abort answers its share of requests", () => {
  const draws = [0.09, 0.1];
  const tools = filterTools({ random: () => draws.shift() ?? 0 });
  const json: HTTPFaultJson = { abort: { httpStatus: 503, percentage: { numerator: 10 } } };
  const filter = build(faultType, json, tools);
  const answer = filter.onRequest?.(exchange()) as LocalReply;
  assert.deepEqual([answer.status, answer.flags, answer.details], [503, "FI", "fault_filter_abort"]);
  assert.equal(filter.onRequest?.(exchange()), undefined);
  assert.equal(tools.value("http.test.fault.aborts_injected"), 1);
});

test("a delay holds the request, then aborts it or lets it go", () => {
  const tools = filterTools();
  const delayed = build(faultType, { delay: { fixedDelay: "5s", percentage: always } }, tools);
  const one = exchange();
  assert.equal(delayed.onRequest?.(one), wait);
  assert.equal(one.flags, "DI");
  tools.fire();
  assert.deepEqual(one.resumed, [undefined]);
  const both = build(
    faultType,
    { delay: { fixedDelay: "5s", percentage: always }, abort: { grpcStatus: 14, percentage: always } },
    tools,
  );
  const two = exchange();
  both.onRequest?.(two);
  tools.fire();
  assert.equal(two.resumed[0]?.grpcStatus, 14);
});

test("a client that goes away is not waited for", () => {
  const tools = filterTools();
  const filter = build(faultType, { delay: { fixedDelay: "5s", percentage: always }, maxActiveFaults: 1 }, tools);
  const gone = exchange();
  filter.onRequest?.(gone);
  assert.equal(filter.onRequest?.(exchange()), undefined);
  assert.equal(tools.value("http.test.fault.faults_overflow"), 1);
  filter.onEnd?.(gone);
  assert.equal(tools.armed(), 0);
  assert.equal(filter.onRequest?.(exchange()), wait);
});

test("faults apply to the requests that their conditions select, and headers may ask for them", () => {
  const tools = filterTools();
  const conditional = build(
    faultType,
    { headers: [{ name: "x-test" }], abort: { httpStatus: 500, percentage: always } },
    tools,
  );
  assert.equal(conditional.onRequest?.(exchange()), undefined);
  assert.ok(conditional.onRequest?.(exchange({ request: request("/", { "x-test": "1" }) })));
  const asked = build(faultType, { abort: { headerAbort: {}, percentage: always } }, tools);
  assert.equal(asked.onRequest?.(exchange()), undefined);
  const answer = asked.onRequest?.(exchange({ request: request("/", { "x-envoy-fault-abort-request": "418" }) }));
  assert.equal((answer as LocalReply).status, 418);
});

test("a route's fault replaces the chain's", () => {
  const tools = filterTools();
  const filter = build(faultType, {}, tools);
  const own = { "@type": `type.googleapis.com/${faultType}`, abort: { httpStatus: 555, percentage: always } };
  const answer = filter.onRequest?.(exchange({ route: route(tools, { "envoy.filters.http.fault": own }) }));
  assert.equal((answer as LocalReply).status, 555);
  const off = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true };
  const disabled = build(faultType, { abort: { httpStatus: 500, percentage: always } }, tools);
  const exempt = exchange({ route: route(tools, { "envoy.filters.http.fault": off }) });
  assert.equal(disabled.onRequest?.(exempt), undefined);
});

const rbacType = "envoy.extensions.filters.http.rbac.v3.RBAC";
const rules = (principals: object[], permissions: object[], action: "ALLOW" | "DENY" | "LOG" = "ALLOW"): RBACJson => ({
  action,
  policies: { "ns[default]-policy[p]-rule[0]": { principals, permissions } as object },
});
const anyone = [{ any: true }];
const web = "spiffe://cluster.local/ns/default/sa/web";

const verdict = (json: RBACJson, parts: Partial<Exchange> = {}): string => {
  const answer = build(rbacType, { rules: json }, filterTools()).onRequest?.(exchange(parts));
  return answer === undefined ? "pass" : (answer as LocalReply).details;
};
const denied = "rbac_access_denied_matched_policy[ns[default]-policy[p]-rule[0]]";
const none = "rbac_access_denied_matched_policy[none]";

test("RBAC denies with 403 and names the policy that decided", () => {
  const filter = build(rbacType, { rules: rules(anyone, anyone, "DENY") }, filterTools());
  const answer = filter.onRequest?.(exchange()) as LocalReply;
  assert.deepEqual([answer.status, answer.body, answer.details], [403, "RBAC: access denied", denied]);
  assert.equal(verdict(rules(anyone, anyone)), "pass");
  assert.equal(verdict(rules(anyone, anyone, "LOG")), "pass");
  assert.equal(verdict({}), none);
  assert.equal(verdict({ action: "DENY" }), "pass");
});

test("RBAC tells callers by identity, which only TLS proves", () => {
  const only = rules([{ authenticated: { principalName: { exact: web } } }], anyone);
  const as = (...peerUris: string[]) => ({ downstream: downstream({ tls: tlsInfo({ peerUris }) }) });
  assert.equal(verdict(only, as(web)), "pass");
  assert.equal(verdict(only, as("spiffe://cluster.local/ns/default/sa/ratings")), none);
  assert.equal(verdict(only, as()), none);
  assert.equal(verdict(only), none);
  const state = rules([{ filterState: { key: "io.istio.peer_principal", stringMatch: { exact: web } } }], anyone);
  assert.equal(verdict(state, as(web)), "pass");
  const namespace = rules([{ authenticated: { principalName: { safeRegex: { regex: ".*/ns/default/.*" } } } }], anyone);
  assert.equal(verdict(namespace, as(web)), "pass");
  assert.equal(verdict(namespace, as("spiffe://cluster.local/ns/other/sa/default")), none);
});

test("RBAC looks at path, method, headers, ports, addresses and server name", () => {
  const may = (permission: object, parts: Partial<Exchange> = {}) =>
    verdict(rules(anyone, [permission]), parts) === "pass";
  const path = { urlPath: { path: { prefix: "/api" } } };
  assert.equal(may(path, { request: request("/api/x?y") }), true);
  assert.equal(may(path, { request: request("/x?/api") }), false);
  const method = { header: { name: ":method", stringMatch: { exact: "GET" } } };
  assert.equal(may(method), true);
  assert.equal(may({ notRule: method }), false);
  assert.equal(may({ andRules: { rules: [method, path] } }), false);
  assert.equal(may({ orRules: { rules: [method, path] } }), true);
  assert.equal(may({ destinationPort: 8080 }), true);
  assert.equal(may({ destinationPortRange: { start: 8081, end: 9000 } }), false);
  assert.equal(may({ destinationIp: { addressPrefix: "10.0.0.0", prefixLen: 24 } }), true);
  const sni = { requestedServerName: { exact: "a" } };
  assert.equal(may(sni, { downstream: downstream({ tls: tlsInfo({ sni: "a" }) }) }), true);
  assert.equal(may(sni), false);
});

test("RBAC tells the connection's address from the client's", () => {
  const from = (principal: object, parts: Partial<Exchange> = {}) =>
    verdict(rules([principal], anyone), parts) === "pass";
  const range = { addressPrefix: "192.168.0.0", prefixLen: 16 };
  const proxied = { remoteHost: "192.168.3.4" };
  assert.equal(from({ remoteIp: range }, proxied), true);
  assert.equal(from({ directRemoteIp: range }, proxied), false);
  assert.equal(from({ notId: { directRemoteIp: range } }, proxied), true);
  assert.equal(from({ remoteIp: { addressPrefix: "10.0.0.1", prefixLen: 32 } }), true);
  assert.equal(from({ sourceIp: { addressPrefix: "fe80::", prefixLen: 10 } }), false);
});

test("shadow rules only count", () => {
  const tools = filterTools();
  const filter = build(rbacType, { shadowRules: rules(anyone, anyone, "DENY"), shadowRulesStatPrefix: "dry_" }, tools);
  assert.equal(filter.onRequest?.(exchange()), undefined);
  assert.equal(tools.value("http.test.rbac.dry_shadow_denied"), 1);
});

test("policies that cannot be honoured are refused by their path", () => {
  const cases: [RBACJson, RegExp][] = [
    [
      rules([{ authenticated: { principalName: {} } }], anyone),
      /rule\[0\]"\].principals\[0\].authenticated.principalName: needs/,
    ],
    [rules(anyone, [{ uriTemplate: { name: "x" } }]), /permissions\[0\].uriTemplate: is not supported/],
    [rules(anyone, []), /permissions: is required/],
    [rules([{ remoteIp: { addressPrefix: "1.2.3", prefixLen: 8 } }], anyone), /"1.2.3" is not an IP address/],
    [{ policies: { p: { condition: {}, permissions: anyone, principals: anyone } } } as object, /condition/],
  ];
  for (const [json, message] of cases) assert.throws(() => verdict(json), { name: "ConfigError", message });
});

test("on a bare connection HTTP attributes are absent: they match nothing, their negation everything", () => {
  const check = (principals: object[], permissions: object[], action: "ALLOW" | "DENY") => {
    const compiled = compileNetworkRbac({ statPrefix: "tcp.", rules: rules(principals, permissions, action) });
    return compiled(filterTools())(downstream({ tls: tlsInfo({ peerUris: [web] }) }));
  };
  const path = { urlPath: { path: { prefix: "/" } } };
  const header = { header: { name: "x", presentMatch: true } };
  assert.equal(check(anyone, [path], "ALLOW").allowed, false);
  assert.equal(check(anyone, [header], "DENY").allowed, true);
  assert.equal(check(anyone, [{ notRule: header }], "DENY").allowed, false);
  const named = check([{ authenticated: { principalName: { exact: web } } }], [{ destinationPort: 8080 }], "DENY");
  assert.deepEqual(named, { allowed: false, details: denied });
});

const corsPolicy = (json: object) => ({
  "envoy.filters.http.cors": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
    ...json,
  },
});

test("CORS answers preflights of allowed origins and marks their responses", () => {
  const tools = filterTools();
  const filter = build("envoy.extensions.filters.http.cors.v3.Cors", {}, tools);
  const routed = route(
    tools,
    corsPolicy({
      allowOriginStringMatch: [{ suffix: ".good.example" }],
      allowMethods: "GET,PUT",
      allowCredentials: true,
      maxAge: "60",
      exposeHeaders: "x-e",
    }),
  );
  const ask = (origin: string, method = "OPTIONS") =>
    exchange({
      route: routed,
      request: request("/", { origin, "access-control-request-method": "PUT" }, { method }),
    });
  const answer = filter.onRequest?.(ask("https://a.good.example")) as LocalReply;
  assert.equal(answer.status, 200);
  assert.deepEqual(new Map(answer.headers).get("access-control-allow-origin"), "https://a.good.example");
  assert.deepEqual(new Map(answer.headers).get("access-control-max-age"), "60");
  assert.equal(filter.onRequest?.(ask("https://bad.example")), undefined);
  const plain = ask("https://a.good.example", "GET");
  assert.equal(filter.onRequest?.(plain), undefined);
  filter.onResponse?.(plain);
  assert.equal(plain.response.headers.get("access-control-allow-credentials"), "true");
  assert.equal(plain.response.headers.get("access-control-expose-headers"), "x-e");
  const stranger = ask("https://bad.example", "GET");
  filter.onResponse?.(stranger);
  assert.equal(stranger.response.headers.size, 0);
});

test("peer metadata goes out with requests, comes back with responses, and stays inside the mesh", () => {
  const node = (name: string) => ({
    id: `sidecar~10.0.0.2~${name}.default~x`,
    cluster: "",
    metadata: { WORKLOAD_NAME: name, NAMESPACE: "default", LABELS: { app: name, version: "v1" }, CLUSTER_ID: "C" },
  });
  const type = "io.istio.http.peer_metadata.Config";
  const client = build(type, {}, filterTools({ node: node("web") }));
  const server = build(type, {}, filterTools({ node: node("ratings") }));
  const inbound = downstream({ direction: "inbound" });
  const sent = exchange();
  client.onRequest?.(sent);
  const got = exchange({ request: sent.request, downstream: inbound });
  server.onRequest?.(got);
  assert.equal(got.request.headers.size, 0);
  assert.deepEqual(
    { ...(got.peer as object) },
    {
      workload: "web",
      namespace: "default",
      app: "web",
      version: "v1",
      canonicalService: "web",
      canonicalRevision: "v1",
      cluster: "C",
    },
  );
  server.onResponse?.(got);
  const back = exchange({ response: got.response });
  client.onResponse?.(back);
  assert.equal((back.peer as { workload: string }).workload, "ratings");
  assert.equal(back.response.headers.size, 0);
  const stranger = exchange({ downstream: inbound });
  server.onRequest?.(stranger);
  server.onResponse?.(stranger);
  assert.equal(stranger.response.headers.size, 0);
});

test("metadata that cannot be read is dropped, not believed", () => {
  const filter = build("io.istio.http.peer_metadata.Config", {}, filterTools());
  for (const value of ["%%%", "AAAA", Buffer.from([10, 200]).toString("base64"), "A".repeat(20_000)]) {
    const got = exchange({
      request: request("/", { "x-envoy-peer-metadata": value, "x-envoy-peer-metadata-id": "x" }),
      downstream: downstream({ direction: "inbound" }),
    });
    filter.onRequest?.(got);
    assert.equal(got.request.headers.size, 0);
    assert.equal(got.peer, undefined, value.slice(0, 9));
  }
});

test("on_demand has nothing to fetch unless it is told from where, and is refused where nothing can be fetched", () => {
  const type = "envoy.extensions.filters.http.on_demand.v3.";
  const filter = build(`${type}OnDemand`, {}, filterTools());
  assert.equal(filter.onRequest?.(exchange()), undefined);
  const odcds = { odcds: { source: { ads: {} }, timeout: "1s" } };
  assert.throws(
    () => build(`${type}OnDemand`, odcds, filterTools()),
    /typedConfig.odcds: .*nothing is fetched on demand here/,
  );
  const perRoute = (json: object) => ({
    "envoy.filters.http.on_demand": { "@type": `type.googleapis.com/${type}PerRouteConfig`, ...json },
  });
  assert.ok(route(filterTools(), perRoute({})));
  assert.throws(() => route(filterTools(), perRoute(odcds)), /odcds: .*nothing is fetched on demand here/);
});

test("adaptive_concurrency turns away what is beyond the limit, gives places back, and can be off", () => {
  const name = "envoy.filters.http.adaptive_concurrency";
  const message = "envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency";
  const build = (more: object) => {
    const typedConfig = { "@type": `type.googleapis.com/${message}`, ...needed.get(name), ...more };
    return configureHttpFilter({ name, typedConfig }, "f")?.build(filterTools());
  };
  const filter = build({ concurrencyLimitExceededStatus: { code: "TooManyRequests" } });
  const all = Array.from({ length: 4 }, () => exchange());
  const answers = all.map((one) => filter?.onRequest?.(one));
  assert.deepEqual(answers.slice(0, 3), [undefined, undefined, undefined]);
  const { status, details, flags } = answers[3] as { status: number; details: string; flags: string };
  assert.deepEqual([status, details, flags], [429, "reached_concurrency_limit", "UO"]);
  // One that was turned away held no place.
  filter?.onEnd?.(all[3] as (typeof all)[number]);
  assert.ok(filter?.onRequest?.(exchange()) !== undefined);
  filter?.onEnd?.(all[0] as (typeof all)[number]);
  assert.equal(filter?.onRequest?.(exchange()), undefined);
  assert.equal(build({ enabled: { defaultValue: false, runtimeKey: "off" } })?.onRequest, undefined);
});
