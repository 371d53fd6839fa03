import assert from "node:assert/strict";
import { test } from "node:test";
import { resourceTypes } from "@weft/xds/resource";
import fc from "fast-check";
import { generateResources } from "./generator.ts";
import type { Generated } from "./resource-set.ts";
import { testMesh, testProxy } from "./test-mesh.ts";

const instance = (service: string, id: string, more: Record<string, unknown> = {}) => ({
  service,
  id,
  address: `10.0.0.${1 + (id.charCodeAt(0) % 9)}`,
  port: 9001,
  portName: "http",
  servicePort: 80,
  serviceAccount: service,
  ...more,
});
const proxyAt = (port: number, metadata: Record<string, unknown> = {}) =>
  testProxy({ WEFT_INBOUND: [{ port, appPort: 3000, protocol: "http" }], ...metadata });

/** Names of the resources whose objects differ between two generations. */
const changed = (before: Generated, after: Generated): string[] =>
  resourceTypes.flatMap(({ kind }) => {
    const names = new Set([...before.resources[kind].keys(), ...after.resources[kind].keys()]);
    return [...names]
      .filter((name) => before.resources[kind].get(name) !== after.resources[kind].get(name))
      .map((name) => `${kind} ${name}`);
  });

const plain = ({ resources }: Generated) =>
  Object.fromEntries(
    resourceTypes.map(({ kind }) => [kind, Object.fromEntries([...(resources[kind] as ReadonlyMap<string, unknown>)])]),
  );

test("proxies of one namespace share every object but their own listeners", () => {
  const mesh = testMesh({ instances: [instance("catalog", "a"), instance("web", "c")] });
  const [one, two] = [mesh.generator.generate(proxyAt(9001)), mesh.generator.generate(proxyAt(9002))];
  assert.deepEqual(changed(one, two), ["listener 127.0.0.1_9001", "listener 127.0.0.1_9002"]);
  assert.equal(mesh.generator.generate(proxyAt(9001)), one, "nothing changed: the same object");
  assert.notEqual(mesh.generator.audienceOf(proxyAt(9001)), mesh.generator.audienceOf(proxyAt(9002)));
  assert.equal(
    mesh.generator.audienceOf(proxyAt(9001)),
    mesh.generator.audienceOf({ ...proxyAt(9001), id: "another", workload: "x" }),
  );
});

test("labels make an audience only where a rule reads them", () => {
  const mesh = testMesh({ instances: [instance("catalog", "a")] });
  const grpc = (app: string) => testProxy({ GENERATOR: "grpc", LABELS: { app } }, "client");
  assert.equal(mesh.generator.audienceOf(grpc("x")), mesh.generator.audienceOf(grpc("y")));
  mesh.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v }
spec: { hosts: [catalog], http: [{ match: [{ sourceLabels: { app: x } }], route: [{ destination: { host: catalog } }] }] }
`);
  mesh.commit();
  assert.notEqual(mesh.generator.audienceOf(grpc("x")), mesh.generator.audienceOf(grpc("y")));
});

test("a changed endpoint changes its assignments only", () => {
  const mesh = testMesh({ instances: [instance("catalog", "a"), instance("web", "b")] });
  const proxy = proxyAt(9001);
  const before = mesh.generator.generate(proxy);
  mesh.register(instance("catalog", "c"));
  assert.equal(mesh.commit().other, false);
  const after = mesh.generator.generate(proxy);
  assert.deepEqual(changed(before, after), ["endpoints outbound|80||catalog.default.svc.cluster.local"]);
  for (const { kind } of resourceTypes)
    assert.equal(after.resources[kind] === before.resources[kind], kind !== "endpoints", `the map of ${kind}`);
  mesh.register(instance("catalog", "c"));
  mesh.commit();
  assert.equal(mesh.generator.generate(proxy), after);
});

test("a changed rule changes the route table and nothing else", () => {
  const mesh = testMesh({ instances: [instance("catalog", "a"), instance("web", "b")] });
  const before = mesh.generator.generate(proxyAt(9001));
  mesh.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v }
spec: { hosts: [catalog], http: [{ route: [{ destination: { host: web } }] }] }
`);
  mesh.commit();
  assert.deepEqual(changed(before, mesh.generator.generate(proxyAt(9001))), ["route http_proxy"]);
});

test("an instance registered after its proxy connected gives the proxy its inbound port", () => {
  const mesh = testMesh({ instances: [instance("catalog", "a", { address: "10.0.0.1" })] });
  const proxy = testProxy(
    { INTERCEPTION_MODE: "REDIRECT" },
    "sidecar~10.0.0.77~catalog-2.default~default.svc.cluster.local",
  );
  assert.equal(mesh.generator.generate(proxy).resources.cluster.has("inbound|9001||"), false);
  mesh.register(instance("catalog", "b", { address: "10.0.0.77" }));
  assert.equal(mesh.commit().other, false);
  assert.equal(mesh.generator.generate(proxy).resources.cluster.has("inbound|9001||"), true);
});

const subsetRule = (version: string, more = "") => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: d }
spec: { host: catalog, subsets: [{ name: s, labels: { version: ${version} } }]${more} }
`;

test("a subset whose labels change has other endpoints", () => {
  const mesh = testMesh({
    yaml: subsetRule("v1"),
    instances: ["v1", "v2"].map((version, i) =>
      instance("catalog", version, { address: `10.0.0.${i + 1}`, labels: { version } }),
    ),
  });
  const addresses = () =>
    JSON.stringify(
      mesh.generator.generate(proxyAt(9001)).resources.endpoints.get("outbound|80|s|catalog.default.svc.cluster.local"),
    );
  assert.match(addresses(), /10\.0\.0\.1"/);
  mesh.apply(subsetRule("v2"));
  mesh.commit();
  assert.match(addresses(), /10\.0\.0\.2"/);
});

test("the client's place makes an audience only where a rule reads it", () => {
  const outliers = ", trafficPolicy: { outlierDetection: { interval: 1s } }";
  const mesh = testMesh({
    yaml: subsetRule("v1"),
    instances: [instance("catalog", "a", { locality: "us/a/1" }), instance("catalog", "b", { locality: "eu/a/1" })],
  });
  const [us, eu] = ["us/a/1", "eu/a/1"].map((locality) => ({ ...proxyAt(9001), locality }));
  assert.ok(us && eu);
  assert.equal(mesh.generator.audienceOf(us), mesh.generator.audienceOf(eu));
  mesh.apply(subsetRule("v1", outliers));
  mesh.commit();
  const nearest = (proxy: typeof us) =>
    mesh.generator.generate(proxy).resources.endpoints.get("outbound|80||catalog.default.svc.cluster.local")
      ?.endpoints?.[0]?.locality?.region;
  assert.deepEqual([nearest(us), nearest(eu)], ["us", "eu"]);
});

test("after any history the resources equal a fresh generation, for every kind of proxy", () => {
  const rules = [
    "kind: VirtualService\nmetadata: { name: v }\nspec: { hosts: [a], http: [{ route: [{ destination: { host: b } }] }] }",
    "kind: VirtualService\nmetadata: { name: v }\nspec: { hosts: [a], http: [{ match: [{ sourceLabels: { app: x } }], route: [{ destination: { host: a, subset: s } }] }] }",
    "kind: DestinationRule\nmetadata: { name: d }\nspec: { host: a, subsets: [{ name: s, labels: { version: v1 } }] }",
    "kind: DestinationRule\nmetadata: { name: d }\nspec: { host: a, subsets: [{ name: s, labels: { version: v2 } }] }",
    "kind: DestinationRule\nmetadata: { name: d }\nspec: { host: a, trafficPolicy: { outlierDetection: { interval: 1s } } }",
    "kind: ServiceEntry\nmetadata: { name: e }\nspec: { hosts: [e.com], resolution: DNS, ports: [{ number: 443, name: tls }] }",
  ];
  const kubernetes =
    "apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ name: http, port: 81 }] }";
  const security = "kind: PeerAuthentication\nmetadata: { name: default }\nspec: { mtls: { mode: DISABLE } }";
  const step = fc.oneof(
    fc.record({
      put: fc.constantFrom("a", "b"),
      id: fc.constantFrom("i", "j"),
      version: fc.constantFrom("v1", "v2"),
      account: fc.constantFrom("", "x"),
      locality: fc.constantFrom("", "eu/a/1", "us/a/1"),
    }),
    fc.record({ drop: fc.constantFrom("a", "b"), id: fc.constantFrom("i", "j") }),
    fc.record({ rule: fc.integer({ min: 0, max: rules.length + 1 }) }),
    fc.record({
      forget: fc.constantFrom(
        "VirtualService/default/v",
        "DestinationRule/default/d",
        "Service/default/a",
        "PeerAuthentication/default/default",
      ),
    }),
  );
  const proxies = [
    proxyAt(9001, { LABELS: { app: "x" } }),
    { ...testProxy({ INTERCEPTION_MODE: "REDIRECT" }, "sidecar~10.0.0.5~i.default~d"), locality: "eu/a/1" },
    { ...testProxy({ INTERCEPTION_MODE: "REDIRECT" }, "sidecar~10.0.0.5~i.default~d"), locality: "us/a/1" },
    testProxy({ GENERATOR: "grpc" }, "client"),
    testProxy({}, "router~10.0.0.5~g.default~d"),
  ];
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 3 }), { maxLength: 8 }), (history) => {
      const mesh = testMesh();
      for (const batch of history) {
        for (const one of batch) {
          if ("put" in one)
            mesh.register(
              instance(one.put, one.id, {
                labels: { version: one.version },
                serviceAccount: one.account,
                locality: one.locality,
              }),
            );
          else if ("drop" in one) {
            const ref = { namespace: "default", service: one.drop, id: one.id };
            if (mesh.registry.get(ref)) mesh.registry.remove(ref);
          } else if ("rule" in one) {
            if (one.rule > rules.length) mesh.apply(kubernetes);
            else if (one.rule === rules.length)
              mesh.apply(`apiVersion: security.istio.io/v1
${security}`);
            else
              mesh.apply(`apiVersion: networking.istio.io/v1
${rules[one.rule]}`);
          } else mesh.config.drop(one.forget);
        }
        mesh.commit();
        for (const proxy of proxies) mesh.generator.generate(proxy);
      }
      for (const proxy of proxies) {
        assert.deepEqual(plain(mesh.generator.generate(proxy)), plain(generateResources(mesh.model, proxy)));
      }
    }),
    { numRuns: 60 },
  );
});

test("every cluster that waits for endpoints has an assignment, and every table a listener names is there", () => {
  const mesh = testMesh({
    instances: [instance("catalog", "a"), instance("web", "b", { portName: "", protocol: "tcp" })],
  });
  for (const proxy of [
    proxyAt(9001),
    testProxy({ INTERCEPTION_MODE: "REDIRECT" }),
    testProxy({ GENERATOR: "grpc" }, "c"),
  ]) {
    const { resources } = mesh.generator.generate(proxy);
    for (const [name, { type }] of resources.cluster) assert.equal(resources.endpoints.has(name), type === "EDS", name);
    const named = [...JSON.stringify([...resources.listener.values()]).matchAll(/"routeConfigName":"([^"]+)"/g)].map(
      (match) => match[1],
    );
    assert.deepEqual([...new Set(named)].sort(), [...resources.route.keys()].sort());
    for (const table of [resources.cluster, resources.listener, resources.route]) {
      for (const [name, json] of table) assert.equal(json.name, name);
    }
  }
});
