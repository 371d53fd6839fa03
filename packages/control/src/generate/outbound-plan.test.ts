import assert from "node:assert/strict";
import { test } from "node:test";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const tcpService = (name: string, ip: string, port: number, portName = "tcp") =>
  kubernetesService(name, { ip, port, portName });

const outside = (name: string, protocol: string, port: number, fields = ""): string => `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec: { hosts: [${name}.example], ports: [{ number: ${port}, name: p, protocol: ${protocol} }], resolution: DNS${fields} }
`;

const virtualService = (name: string, spec: string): string => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name} }
spec: ${spec}
`;

const to = (host: string, more = ""): string => `{ destination: { host: ${host} }${more} }`;

const target = (chain: FilterChainJson | undefined): string | undefined => {
  const last = chain?.filters?.at(-1)?.typedConfig as Record<string, unknown> | undefined;
  const weighted = last?.weightedClusters as { clusters: { name: string; weight: number }[] } | undefined;
  const rds = last?.rds as { routeConfigName: string } | undefined;
  return (
    (last?.cluster as string | undefined) ??
    rds?.routeConfigName ??
    weighted?.clusters.map(({ name, weight }) => `${name}=${weight}`).join()
  );
};

/** A listener as its chains' conditions and targets; the last is what takes the rest. */
const generate = (yaml: string, metadata: Record<string, unknown> = {}) => {
  const { resources, notes } = testMesh({ yaml }).generator.generate(
    testProxy({ INTERCEPTION_MODE: "REDIRECT", ...metadata }),
  );
  return {
    resources,
    codes: notes.map(({ code }) => code),
    filters: (name: string) =>
      (resources.listener.get(name)?.listenerFilters ?? []).map((one) => one.name?.split(".").at(-1)),
    chains: (name: string) => {
      const listener = resources.listener.get(name);
      return [
        ...(listener?.filterChains ?? []),
        ...(listener?.defaultFilterChain ? [listener.defaultFilterChain] : []),
      ].map((chain) => {
        const { prefixRanges, serverNames, applicationProtocols } = chain.filterChainMatch ?? {};
        const ranges = prefixRanges?.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`);
        return [[...(serverNames ?? []), ...(ranges ?? []), ...(applicationProtocols ?? [])].join(), target(chain)];
      });
    },
  };
};

const db = "outbound|5432||db.default.svc.cluster.local";
const services = tcpService("db", "10.96.0.1", 5432) + tcpService("old", "10.96.0.2", 5432);

test("a tcp rule takes its service's connections; conditions on the client are decided here; without one the service", () => {
  const rule = (match: string) =>
    generate(
      services +
        virtualService(
          "v",
          `{ hosts: [db], tcp: [{ ${match}route: [${to("old", ", weight: 1")}, ${to("db", ", weight: 3")}] }] }`,
        ),
      { LABELS: { app: "web" } },
    ).chains("10.96.0.1_5432");
  const split = `outbound|5432||old.default.svc.cluster.local=1,${db}=3`;
  assert.deepEqual(rule(""), [["", split]]);
  assert.deepEqual(rule("match: [{ port: 5432, sourceLabels: { app: web } }], "), [["", split]]);
  for (const never of [
    "{ port: 1 }",
    "{ sourceLabels: { app: x } }",
    "{ sourceNamespace: x }",
    "{ gateways: [edge] }",
  ]) {
    assert.deepEqual(rule(`match: [${never}], `), [["", db]], never);
  }
});

test("destination subnets are chains of their own before what takes the rest", () => {
  const { chains } = generate(
    services +
      virtualService(
        "v",
        `{ hosts: [db], tcp: [{ match: [{ destinationSubnets: [10.1.2.3/16, 10.9.9.9] }], route: [${to("old")}] }] }`,
      ),
  );
  assert.deepEqual(chains("10.96.0.1_5432"), [
    ["10.1.0.0/16,10.9.9.9/32", "outbound|5432||old.default.svc.cluster.local"],
    ["", db],
  ]);
});

test("a service of address ranges is a chain at every address, beside others of its port", () => {
  const { chains, codes } = generate(
    outside("wide", "TCP", 9000, ", addresses: [10.8.0.0/16]") +
      outside("near", "TCP", 9000, ", addresses: [10.7.0.0/16]"),
  );
  assert.deepEqual(chains("0.0.0.0_9000"), [
    ["10.7.0.0/16", "outbound|9000||near.example"],
    ["10.8.0.0/16", "outbound|9000||wide.example"],
    ["", "PassthroughCluster"],
  ]);
  assert.deepEqual(codes, []);
});

test("TLS services without an address are told by server name; rules for names stand instead of the service's own", () => {
  const plain = outside("a", "TLS", 8443) + outside("b", "HTTPS", 8443);
  const listener = generate(plain);
  const passed = ["", "PassthroughCluster"];
  assert.deepEqual(listener.chains("0.0.0.0_8443"), [
    ["a.example", "outbound|8443||a.example"],
    ["b.example", "outbound|8443||b.example"],
    passed,
  ]);
  assert.deepEqual(listener.filters("0.0.0.0_8443"), ["tls_inspector"]);
  const rule = virtualService(
    "v",
    `{ hosts: ["*.example"], tls: [
      { match: [{ sniHosts: ["x.example", "*.y.example"], port: 8443 }, { sniHosts: [z.example], sourceLabels: { app: x } }], route: [${to("b.example")}] },
      { match: [{ sniHosts: ["x.example", "*.y.example"] }], route: [${to("a.example")}] }] }`,
  );
  const ruled = generate(plain + rule);
  assert.deepEqual(ruled.chains("0.0.0.0_8443"), [["*.y.example,x.example", "outbound|8443||b.example"], passed]);
  assert.deepEqual(ruled.codes, []);
});

test("HTTP and connections that meet at one place are told apart by their first bytes", () => {
  const { chains, filters, resources } = generate(outside("h", "HTTP", 7000) + outside("t", "TCP", 7000));
  assert.deepEqual(chains("0.0.0.0_7000"), [
    ["http/1.1,h2c", "7000"],
    ["", "outbound|7000||t.example"],
  ]);
  assert.deepEqual(filters("0.0.0.0_7000"), ["http_inspector"]);
  assert.ok(resources.route.get("7000")?.virtualHosts?.some(({ name }) => name === "h.example:7000"));
});

test("where servers speak first nothing else is looked for, and the service that came later is told", () => {
  const { chains, codes } = generate(outside("h", "HTTP", 27_017) + outside("m", "MONGO", 27_017));
  assert.deepEqual(chains("0.0.0.0_27017"), [
    ["http/1.1,h2c", "27017"],
    ["", "PassthroughCluster"],
  ]);
  assert.deepEqual(codes, ["WF1534"]);
});

test("two services that take the same connections: the first keeps them and the other is told", () => {
  const { chains, codes } = generate(outside("a", "TCP", 9000) + outside("b", "TCP", 9000));
  assert.deepEqual(chains("0.0.0.0_9000"), [["", "outbound|9000||a.example"]]);
  assert.deepEqual(codes, ["WF1534"]);
});

test("a sniffed service at an address of its own has a table of its own, and what is no HTTP goes to it as bytes", () => {
  const { chains } = generate(tcpService("any", "10.96.0.9", 7777, "unnamed"));
  assert.deepEqual(chains("10.96.0.9_7777"), [
    ["http/1.1,h2c", "any.default.svc.cluster.local:7777"],
    ["", "outbound|7777||any.default.svc.cluster.local"],
  ]);
});
