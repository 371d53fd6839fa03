/** Paths through proxies that intercept, without a running mesh: what the control plane would send, read offline. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type InstanceInput, kubernetesService, testMesh, testProxy } from "@weft/control/generate/test-mesh";
import { clientPath } from "./client-path.ts";
import { type Client, followPath } from "./follow.ts";
import { type OfflineProxy, openOffline } from "./offline-proxy.ts";
import { parseQuestion, type QuestionInput } from "./question.ts";
import type { ProxyResources } from "./resources.ts";

const virtualService = (name: string, http: string): string => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name} }
spec: { hosts: [${name}], http: ${http} }
`;

interface Setting {
  readonly live?: ProxyResources["live"];
  readonly metadata?: object;
  readonly id?: string;
  readonly instances?: readonly InstanceInput[];
}

const open = (yaml: string, { live, metadata = {}, id, instances = [] }: Setting = {}): OfflineProxy => {
  const { generator } = testMesh({ yaml, instances });
  const facts = { INTERCEPTION_MODE: "REDIRECT", ...metadata };
  const { resources } = generator.generate(id === undefined ? testProxy(facts) : testProxy(facts, id));
  const { listener, route, cluster, endpoints } = resources;
  const proxy = openOffline({
    ...{ listeners: [...listener.values()], routes: route, clusters: cluster, endpoints },
    live,
  });
  assert.deepEqual(proxy.problems, []);
  return proxy;
};

const shop = kubernetesService("shop", { ip: "10.2.0.1", port: 9080 });
const ask = (proxy: OfflineProxy, input: QuestionInput) => clientPath(proxy, parseQuestion(input));
const found = (path: ReturnType<typeof ask>, name: string): string | undefined =>
  path.steps.find(({ step }) => step === name)?.found;
const notes = (path: ReturnType<typeof ask>, name: string): readonly string[] =>
  path.steps.find(({ step }) => step === name)?.notes ?? [];

test("what a stock Envoy is given is read alike", () => {
  const envoy = { WEFT_VERSION: undefined, ISTIO_VERSION: "1.31.0" };
  const path = ask(open(shop, { metadata: envoy }), { destination: "shop:9080" });
  assert.equal(found(path, "endpoints"), "one of 10.1.0.1:8080, 10.1.0.2:8080");
});

test("an intercepted call goes by the listener of its port to the service's endpoints", () => {
  const path = ask(open(shop), { destination: "shop:9080" });
  assert.match(found(path, "listener") ?? "", /^0\.0\.0\.0_9080 /);
  assert.equal(found(path, "virtual host"), "shop.default.svc.cluster.local:9080");
  assert.deepEqual(notes(path, "route"), [
    'takes: path begins with "/"',
    "made by the control plane: no VirtualService says anything of it",
  ]);
  assert.equal(found(path, "endpoints"), "one of 10.1.0.1:8080, 10.1.0.2:8080");
  assert.equal(path.outcome, undefined);
});

test("a port that no service has goes to the catch-all", () => {
  const path = ask(open(shop), { destination: "192.0.2.7:4444" });
  assert.match(found(path, "listener") ?? "", /^virtualOutbound /);
  assert.match(found(path, "action") ?? "", /PassthroughCluster/);
  assert.equal(found(path, "endpoints"), "the address that the client dialled");
});

test("a TCP service is found by its virtual address, without a look at the request", () => {
  const db = kubernetesService("db", { ip: "10.2.0.9", port: 5432, portName: "tcp" });
  const path = ask(open(db), { destination: "db:5432" });
  assert.match(found(path, "listener") ?? "", /^10\.2\.0\.9_5432 /);
  assert.equal(found(path, "action"), "TCP: 100 % to outbound|5432||db.default.svc.cluster.local");
  assert.equal(found(path, "endpoints"), "one of 10.1.0.1:8080, 10.1.0.2:8080");
});

test("a request that no rule takes is told with what each rule misses", () => {
  const rules = `[
    { match: [{ uri: { exact: /a } }], route: [{ destination: { host: shop } }] },
    { match: [{ uri: { prefix: /b }, method: { exact: POST } }], route: [{ destination: { host: shop } }] }]`;
  const path = ask(open(shop + virtualService("shop", rules)), { destination: "shop:9080", path: "/b" });
  assert.deepEqual(notes(path, "route"), [
    'not (shop spec.http[0].match[0]): path = "/a" does not hold',
    'not (shop spec.http[1].match[0]): header :method = "POST" does not hold',
  ]);
  const { status, flags, code } = path.outcome ?? {};
  assert.deepEqual({ status, flags, code }, { status: 404, flags: "NR", code: "WF5042" });
});

test("a fault for some of the requests is told beside where the others go", () => {
  const rules = `[{ fault: { abort: { httpStatus: 500, percentage: { value: 12.5 } }, delay: { fixedDelay: 3s } },
    route: [{ destination: { host: shop } }] }]`;
  const path = ask(open(shop + virtualService("shop", rules)), { destination: "shop:9080" });
  assert.ok(notes(path, "action").includes("fault: 12.5 % are answered 500 (FI)"));
  assert.equal(path.outcome, undefined);
});

test("a delay that holds every request is told in milliseconds, and the path goes on", () => {
  const rules = `[{ fault: { delay: { fixedDelay: 3s, percentage: { value: 100 } } },
    route: [{ destination: { host: shop } }] }]`;
  const path = ask(open(shop + virtualService("shop", rules)), { destination: "shop:9080" });
  assert.deepEqual(notes(path, "action"), ["fault: held for 3000 ms (DI)"]);
  assert.equal(path.next?.eligible.length, 2);
});

test("an ejected host is left out, and all of them end the path", () => {
  const name = "outbound|9080||shop.default.svc.cluster.local";
  const ejected = (address: string) => ({ address, hostname: "", flags: new Set(["failedOutlierCheck"]) });
  const one = ask(open(shop, { live: new Map([[name, [ejected("10.1.0.1:8080")]]]) }), { destination: "shop:9080" });
  assert.equal(found(one, "endpoints"), "one of 10.1.0.2:8080");
  assert.deepEqual(notes(one, "endpoints"), ["not 10.1.0.1:8080: ejected by outlier detection"]);
  const live = new Map([[name, [ejected("10.1.0.1:8080"), ejected("10.1.0.2:8080")]]]);
  const both = ask(open(shop, { live }), { destination: "shop:9080" });
  assert.equal(found(both, "endpoints"), "none of 2 can be used");
  assert.equal(both.outcome?.flags, "UH");
});

test("a delegate's rule is told as the delegate's", () => {
  const root = virtualService("shop", "[{ match: [{ uri: { prefix: /d } }], delegate: { name: part } }]");
  const part = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: part }
spec: { http: [{ redirect: { uri: /x } }, { route: [{ destination: { host: shop } }] }] }
`;
  const path = ask(open(shop + root + part), { destination: "shop:9080", path: "/d/1" });
  const refs = path.steps.find(({ step }) => step === "route")?.refs ?? [];
  assert.deepEqual(
    refs.map(({ name, field }) => `${name} ${field}`),
    ["part spec.http[0]"],
  );
});

test("a proxy without listeners says so instead of guessing", () => {
  const proxy = openOffline({
    listeners: [],
    routes: new Map(),
    clusters: new Map(),
    endpoints: new Map(),
    live: undefined,
  });
  const path = ask(proxy, { destination: "shop" });
  assert.equal(path.outcome?.kind, "unknown");
});

test("a listener that our sidecar would refuse is a problem, not a crash", () => {
  const proxy = openOffline({
    ...{ routes: new Map(), clusters: new Map(), endpoints: new Map(), live: undefined },
    listeners: [{ name: "odd", filterChains: [{ filters: [{ name: "made.up" }] }] }],
  });
  assert.equal(proxy.listeners.length, 0);
  assert.match(proxy.problems[0] ?? "", /^listener odd: /);
});

const strict = `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: STRICT } }
`;
const disabled = `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: pay }
spec: { host: pay, trafficPolicy: { tls: { mode: DISABLE } } }
`;
const policy = (name: string, spec: string): string => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name} }
spec: ${spec}
`;
const pay: readonly InstanceInput[] = [
  { service: "pay", id: "pay-1", port: 8080, servicePort: 80, protocol: "http", serviceAccount: "pay" },
];
const web = "spiffe://cluster.local/ns/default/sa/web";

const follow = async (yaml: string, { identity = web, method = "GET" } = {}) => {
  const more = { metadata: { WEFT_SDS: "sds-grpc" }, instances: pay };
  const client: Client = { proxy: open(yaml, more), identity, address: "10.0.0.9" };
  const id = "sidecar~10.0.0.1~pay-1.default~default.svc.cluster.local";
  const { steps, outcome } = await followPath(
    client,
    parseQuestion({ destination: "pay", method }),
    async (workload) => {
      assert.equal(workload, "pay-1.default");
      return open(yaml, { ...more, id });
    },
  );
  const server = (name: string) => {
    const all = steps.filter(({ side, step }) => side === "server" && step === name);
    assert.equal(all.length, 1, `${name} in ${JSON.stringify(steps, null, 1)}`);
    return { found: all[0]?.found, refs: (all[0]?.refs ?? []).map((ref) => `${ref.kind} ${ref.name} ${ref.field}`) };
  };
  return { steps, outcome, server };
};

test("plaintext to a STRICT server is refused by its chains, with the PeerAuthentication that says so", async () => {
  const { steps, outcome, server } = await follow(strict + disabled);
  assert.equal(steps.find(({ step }) => step === "TLS")?.found, "plaintext to 10.0.0.1:8080");
  assert.deepEqual(server("mTLS mode"), { found: "STRICT", refs: ["PeerAuthentication default spec.mtls"] });
  assert.match(server("filter chain").found ?? "", /^no chain takes plaintext/);
  assert.deepEqual([outcome.kind, outcome.status, outcome.code], ["refused", 503, "WF5040"]);
});

test("plaintext to a PERMISSIVE server is served", async () => {
  const { outcome, server } = await follow(disabled);
  assert.deepEqual(server("mTLS mode"), { found: "PERMISSIVE", refs: [] });
  assert.deepEqual(server("authorization").found, "allowed: no AuthorizationPolicy is for the workload");
  assert.equal(outcome.text, "forwarded to 10.0.0.1:8080");
});

test("mutual TLS carries the client's identity to the server's policies", async () => {
  const yaml =
    strict +
    policy("only-web", "{ rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/web] } }] }] }");
  const allowed = await follow(yaml);
  assert.deepEqual(allowed.server("authorization").refs, ["AuthorizationPolicy only-web spec.rules[0]"]);
  assert.match(allowed.server("application").found ?? "", /^inbound\|8080\|\|/);
  const denied = await follow(yaml, { identity: "spiffe://cluster.local/ns/default/sa/stranger" });
  assert.equal(denied.server("authorization").found, "denied: no rule of any ALLOW policy takes it");
  assert.deepEqual([denied.outcome.status, denied.outcome.code], [403, "WF5041"]);
});

test("a DENY rule holds before what allows", async () => {
  const rules =
    "{ action: DENY, rules: [{ to: [{ operation: { methods: [PUT] } }] }, { to: [{ operation: { methods: [GET] } }] }] }";
  const { outcome, server } = await follow(policy("no", rules) + policy("yes", "{ rules: [{}] }"));
  assert.deepEqual(server("authorization").refs, ["AuthorizationPolicy no spec.rules[1]"]);
  assert.equal(outcome.status, 403);
});

test("policies that ask for a client nobody can name leave the outcome unknown", async () => {
  const yaml = policy(
    "only-web",
    "{ rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/web] } }] }] }",
  );
  const { outcome, server } = await follow(yaml, { identity: "" });
  assert.match(server("authorization").found ?? "", /^unknown: /);
  assert.equal(outcome.kind, "unknown");
});

const external = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ext }
spec:
  hosts: [ext.example]
  ports: [{ number: 443, name: tls, protocol: TLS }]
  resolution: STATIC
  endpoints: [{ address: 192.0.2.1 }]
`;

test("a client's own TLS is told by its server name, and passed on unread", () => {
  const proxy = open(external);
  const path = ask(proxy, { destination: "ext.example:443", tls: true });
  assert.equal(found(path, "TLS from the client"), undefined);
  assert.equal(found(path, "action"), "TCP: 100 % to outbound|443||ext.example");
  assert.equal(found(path, "endpoints"), "one of 192.0.2.1:443");
});

const gateway = `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: front }
spec:
  selector: { app: edge }
  servers: [{ port: { number: 8080, name: http, protocol: HTTP }, hosts: [shop.example] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: front }
spec: { hosts: [shop.example], gateways: [front], http: [{ route: [{ destination: { host: shop, port: { number: 9080 } } }] }] }
`;

test("a gateway is asked at the port of its server", () => {
  const id = "router~10.0.0.7~edge-1.default~default.svc.cluster.local";
  const proxy = open(shop + gateway, { metadata: { LABELS: { app: "edge" } }, id });
  const path = ask(proxy, { destination: "shop.example:8080" });
  assert.match(found(path, "listener") ?? "", /:8080\)$/);
  assert.equal(found(path, "action"), "forward to outbound|9080||shop.default.svc.cluster.local");
  assert.equal(ask(proxy, { destination: "other.example:8080" }).outcome?.flags, "NR");
});

for (const [what, input] of [
  ["an empty destination", { destination: "" }],
  ["a destination with a path", { destination: "shop/x" }],
  ["a port beyond all ports", { destination: "shop:99999" }],
  ["a method with a blank", { destination: "shop", method: "GET /" }],
  ["a path with a blank", { destination: "shop", path: "/a b" }],
  ["a header without a name", { destination: "shop", headers: [": x"] }],
  ["a header with a line break", { destination: "shop", headers: ["x\ny: z"] }],
] as const) {
  test(`${what} cannot be asked about`, () => {
    assert.throws(() => parseQuestion(input), { code: "WF9022" });
  });
}

test("an IPv6 address and a port beside it are told apart", () => {
  const { host, port, request } = parseQuestion({ destination: "fd00::1", port: 8080 });
  assert.deepEqual([host, port, request.authority], ["fd00::1", 8080, "[fd00::1]:8080"]);
  assert.equal(parseQuestion({ destination: "[fd00::1]:90" }).port, 90);
  assert.equal(parseQuestion({ destination: "shop" }).request.authority, "shop");
});
