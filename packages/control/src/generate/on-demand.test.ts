import assert from "node:assert/strict";
import { test } from "node:test";
import { onDemandFeature } from "@weft/xds/client-features";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import fc from "fast-check";
import { createGenerator } from "./generator.ts";
import { hostIndex } from "./host-index.ts";
import { createSizeGauge } from "./on-demand.ts";
import { parseProxyFacts } from "./proxy-facts.ts";
import { testMesh } from "./test-mesh.ts";

const entry = (host: string, more = "", protocol = "HTTP"): string => `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: "${host.replace("*", "all")}" }
spec:
  hosts: ["${host}"]
  ports: [{ number: 80, name: p, protocol: ${protocol} }]
  resolution: STATIC
  endpoints: [{ address: 10.1.0.1 }]
  ${more}
`;
const object = (kind: string, name: string, spec: string): string => `
---
apiVersion: networking.istio.io/v1
kind: ${kind}
metadata: { name: ${name} }
spec: ${spec}
`;
const three = ["a.test", "b.test", "c.test"].map((host) => entry(host)).join("");

const proxyOf = (metadata: object = {}, features: readonly string[] = [onDemandFeature]) =>
  parseProxyFacts(
    {
      id: "sidecar~10.0.0.9~web-1.default~default.svc.cluster.local",
      metadata: { NAMESPACE: "default", WEFT_VERSION: "0.1.0", INTERCEPTION_MODE: "NONE", ...metadata },
      clientFeatures: features,
    },
    true,
  );
const generate = (yaml: string, proxy = proxyOf(), above = 0) => {
  const mesh = testMesh({ yaml });
  const generator = createGenerator(mesh.model, { onDemandAbove: above });
  return { mesh, generator, resources: generator.generate(proxy).resources };
};
const cluster = (host: string, subset = ""): string => `outbound|80|${subset}|${host}`;
const sorted = (names: Iterable<string> | undefined): readonly string[] => [...(names ?? [])].sort();

test("hosts of services leave their table, and clusters that only they lead to the list", () => {
  const { resources } = generate(three);
  const { onDemand, route } = resources;
  assert.deepEqual(
    sorted(onDemand?.unlisted),
    ["a.test", "b.test", "c.test"].map((host) => cluster(host)),
  );
  const table = route.get("http_proxy");
  assert.deepEqual(
    table?.virtualHosts?.map(({ name }) => name),
    ["weft|self", "allow_any"],
  );
  assert.equal(table?.vhds?.configSource?.initialFetchTimeout, "5s");
  assert.ok(resources.cluster.has(cluster("a.test")), "it is only not listed");
});

test("all hosts of a table together are the table as everybody else has it", () => {
  const yaml = `${three}${entry("*.wild.test")}${object("VirtualService", "v", "{ hosts: [a.test], http: [{ route: [{ destination: { host: b.test } }] }] }")}`;
  for (const mode of ["NONE", "REDIRECT"]) {
    const proxy = proxyOf({ INTERCEPTION_MODE: mode });
    const whole = generate(yaml, proxyOf({ INTERCEPTION_MODE: mode }, []), 0).resources;
    const { onDemand, route } = generate(yaml, proxy).resources;
    for (const [name, table] of whole.route) {
      const ours = route.get(name)?.virtualHosts ?? [];
      const hosts = [...(onDemand?.hosts ?? [])].flatMap(([key, host]) => (key.startsWith(`${name}/`) ? [host] : []));
      const withoutPorts = (list: readonly { readonly name?: string }[]) =>
        list
          .filter((host) => !host.name?.startsWith("wrong_port"))
          .sort((a, b) => ((a.name ?? "") < (b.name ?? "") ? -1 : 1));
      assert.deepEqual(withoutPorts([...ours, ...hosts]), withoutPorts(table.virtualHosts ?? []), `${mode} ${name}`);
    }
  }
});

test("a host brings every cluster that its routes can choose: weights, subsets, mirrors, delegates", () => {
  const yaml = `${three}${entry("d.test")}${entry("e.test")}${object("DestinationRule", "d", "{ host: d.test, subsets: [{ name: one, labels: { v: '1' } }] }")}${object(
    "VirtualService",
    "v",
    `{ hosts: [a.test], http: [
       { match: [{ uri: { prefix: /x } }], delegate: { name: more } },
       { route: [{ destination: { host: b.test }, weight: 60 }, { destination: { host: d.test, subset: one }, weight: 40 }],
         mirror: { host: c.test } }] }`,
  )}${object("VirtualService", "more", "{ http: [{ match: [{ uri: { prefix: /x/y } }], route: [{ destination: { host: e.test } }] }] }")}`;
  const { onDemand } = generate(yaml).resources;
  const name = onDemand?.resolve("http_proxy/a.test") ?? "";
  const led = [cluster("a.test"), cluster("b.test"), cluster("c.test"), cluster("d.test", "one"), cluster("e.test")];
  assert.deepEqual(sorted(onDemand?.clustersOf(name)), sorted(led));
});

test("clusters that listeners lead to are given to all", () => {
  const yaml = `${three}${entry("tcp.test", "addresses: [10.9.0.1]", "TCP")}${entry("tls.test", "", "TLS")}`;
  const { onDemand } = generate(yaml, proxyOf({ INTERCEPTION_MODE: "REDIRECT" })).resources;
  assert.deepEqual(
    sorted(onDemand?.unlisted),
    ["a.test", "b.test", "c.test"].map((host) => cluster(host)),
  );
});

test("a table with a route that takes its cluster from the request stays whole, with the clusters listed", () => {
  const patch = `
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: by-header }
spec:
  configPatches:
    - applyTo: HTTP_ROUTE
      match: { context: SIDECAR_OUTBOUND, routeConfiguration: { vhost: { name: "a.test:80" } } }
      patch: { operation: MERGE, value: { route: { cluster_header: x-to } } }
`;
  const { resources, generator } = generate(`${three}${patch}`);
  assert.equal(resources.onDemand, undefined);
  assert.ok((resources.route.get("http_proxy")?.virtualHosts?.length ?? 0) > 3);
  assert.equal(generator.generate(proxyOf({}, [])).resources.onDemand, undefined);
});

test("who cannot ask, has its services listed, or lives in a small mesh is given everything", () => {
  const listing = (host: string) => object("Sidecar", "default", `{ egress: [{ hosts: ["${host}"] }] }`);
  const none: readonly (readonly [yaml: string, proxy: ReturnType<typeof proxyOf>, above: number])[] = [
    [three, proxyOf({}, []), 0],
    [three, proxyOf({ WEFT_VERSION: "" }), 0],
    [
      three,
      parseProxyFacts({
        id: "router~10.0.0.9~g.default~x",
        metadata: { WEFT_VERSION: "1" },
        clientFeatures: [onDemandFeature],
      }),
      0,
    ],
    [`${three}${listing("*/a.test")}`, proxyOf(), 0],
    [three, proxyOf(), 3],
    [three, proxyOf(), Number.POSITIVE_INFINITY],
  ];
  for (const [index, [yaml, proxy, above]] of none.entries())
    assert.equal(generate(yaml, proxy, above).resources.onDemand, undefined, String(index));
  assert.ok(generate(`${three}${listing("./*")}`).resources.onDemand);
});

test("a mesh is large until it is half as large as it had to become", () => {
  const services = new Map<string, never>();
  const isLarge = createSizeGauge({ services }, 10);
  const at = (size: number): boolean => {
    services.clear();
    for (let n = 0; n < size; n++) services.set(String(n), undefined as never);
    return isLarge();
  };
  assert.deepEqual([10, 11, 6, 10, 5, 6, 10, 11].map(at), [false, true, true, true, false, false, false, true]);
});

test("a proxy that can ask has the filter for it before the mesh is large, so that its listeners stay as they are", () => {
  const listener = (above: number) =>
    JSON.stringify([...generate(three, proxyOf(), above).resources.listener.values()]);
  assert.match(listener(Number.POSITIVE_INFINITY), /weft\.on_demand/);
  assert.equal(listener(0), listener(Number.POSITIVE_INFINITY));
  assert.doesNotMatch(
    JSON.stringify([...generate(three, proxyOf({}, [])).resources.listener.values()]),
    /weft\.on_demand/,
  );
});

test("what a change does not touch stays the same objects, and a change of endpoints touches nothing here", () => {
  const { mesh, generator, resources } = generate(three);
  mesh.apply(entry("b.test", "location: MESH_INTERNAL"));
  mesh.graph.commit();
  generator.refresh();
  const next = generator.generate(proxyOf()).resources;
  const [before, after] = [resources.onDemand, next.onDemand];
  assert.equal(after?.unlisted, before?.unlisted);
  assert.equal(after?.hosts.get("http_proxy/a.test:80"), before?.hosts.get("http_proxy/a.test:80"));
  mesh.apply(entry("b.test", "location: MESH_INTERNAL").replace("10.1.0.1", "10.1.0.2"));
  mesh.graph.commit();
  generator.refresh();
  assert.equal(generator.generate(proxyOf()).resources.onDemand, after);
});

test("two workloads of a namespace share what is on demand, unless a part of its own leads one to a cluster", () => {
  const { generator } = generate(three);
  const other = { ...proxyOf(), addresses: ["10.0.0.10"], workload: "other" };
  assert.equal(generator.generate(proxyOf()).resources.onDemand, generator.generate(other).resources.onDemand);
});

const label = fc.constantFrom("a", "b", "c");
const host = fc.array(label, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("."));
const domain = fc.oneof(
  host,
  host.map((one) => `*.${one}`),
  host.map((one) => `${one}:80`),
  host.map((one) => `${one}:*`),
);

/** As Envoy's documentation says it: exact, the longest suffix, the longest prefix. */
const best = (domains: readonly string[], asked: string): string | undefined => {
  const fitting = domains.filter((one) =>
    one.startsWith("*")
      ? asked.length >= one.length && asked.endsWith(one.slice(1))
      : one.endsWith("*")
        ? asked.length >= one.length && asked.startsWith(one.slice(0, -1))
        : one === asked,
  );
  const rank = (one: string): number => (one.startsWith("*") ? 1 : one.endsWith("*") ? 0 : 2);
  return fitting.sort((a, b) => rank(b) - rank(a) || b.length - a.length)[0];
};

test("a name means the host that the whole table has for it", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(domain, { maxLength: 8 }),
      host,
      fc.constantFrom("", ":80", ":81"),
      (domains, asked, port) => {
        const virtualHosts = [...domains, "*"].map((one) => ({ name: one, domains: [one] }));
        const table: RouteConfigurationJson = { name: "x/y", virtualHosts };
        const hosts = new Map(virtualHosts.slice(0, -1).map((one) => [`x/y/${one.name}`, one]));
        const { resolve } = hostIndex(new Map([["x/y", table]]), hosts, () => []);
        const expected = best(domains, `${asked}${port}`);
        assert.equal(resolve(`x/y/${asked}${port}`.toUpperCase().replace("X/Y", "x/y")), expected && `x/y/${expected}`);
      },
    ),
  );
});

test("where a table ignores ports a name's port says nothing, also of an address; names of other tables mean nothing", () => {
  const one = { name: "one", domains: ["a.test", "[::1]", "10.0.0.1"] };
  const table: RouteConfigurationJson = { name: "80", virtualHosts: [one], ignorePortInHostMatching: true };
  const { resolve } = hostIndex(new Map([["80", table]]), new Map([["80/one", one]]), () => []);
  for (const asked of ["a.test", "A.TEST:81", "[::1]", "[::1]:80", "10.0.0.1:8080"])
    assert.equal(resolve(`80/${asked}`), "80/one", asked);
  for (const asked of ["81/a.test", "a.test", "", "/", "80/", "80/::1", "80/b.test", "80/a.test:x"])
    assert.equal(resolve(asked), undefined, asked);
});
