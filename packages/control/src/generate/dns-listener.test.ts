import assert from "node:assert/strict";
import { test } from "node:test";
import type { DnsFilterConfigJson } from "@weft/xds/gen/envoy/extensions/filters/udp/dns_filter/v3/dns_filter";
import { dnsListenerName } from "./dns-listener.ts";
import { kubernetesService, testMesh, testProxy } from "./test-mesh.ts";

const entry = (name: string, spec: string): string => `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: default }
spec: { ${spec}, ports: [{ number: 80, name: http, protocol: HTTP }] }
`;

const asking = { WEFT_DNS: "127.0.0.1:15053" };

const namesOf = (mesh: ReturnType<typeof testMesh>, metadata: Readonly<Record<string, unknown>> = asking) => {
  const { resources } = mesh.generator.generate(testProxy(metadata));
  const listener = resources.listener.get(dnsListenerName);
  const config = listener?.listenerFilters?.[0]?.typedConfig as DnsFilterConfigJson | undefined;
  const table = config?.serverConfig?.inlineDnsTable;
  const names = new Map(
    (table?.virtualDomains ?? []).map(({ name, endpoint }) => [name ?? "", endpoint?.addressList?.address ?? []]),
  );
  return { listener, table, names };
};

test("only who asks for it gets it, ours by Istio's flag alone, others only with an address", () => {
  const mesh = testMesh({ yaml: kubernetesService("web", { ip: "10.0.0.5", port: 80 }) });
  assert.equal(namesOf(mesh, {}).listener, undefined);
  assert.equal(namesOf(mesh, { DNS_CAPTURE: "true", WEFT_VERSION: "" }).listener, undefined);
  const { listener } = namesOf(mesh, { DNS_CAPTURE: "true" });
  assert.deepEqual(listener?.address, {
    socketAddress: { protocol: "UDP", address: "127.0.0.1", portValue: 15_053 },
  });
  const other = namesOf(mesh, { WEFT_VERSION: "", WEFT_DNS: "127.0.0.2:53" });
  assert.equal(other.listener?.address?.socketAddress?.portValue, 53);
  assert.equal(other.table?.knownSuffixes, undefined, "Envoy would warn");
});

test("an address that others could reach, or that is none, is refused", () => {
  for (const WEFT_DNS of ["0.0.0.0:15053", "10.0.0.1:53", "[::]:53", "localhost:53", "53", "127.0.0.1"])
    assert.throws(() => testProxy({ WEFT_DNS }), { code: "WF3002" }, WEFT_DNS);
});

test("short forms are those of the proxy's namespace, and a whole name goes before them", () => {
  const yaml = `${kubernetesService("web", { ip: "10.0.0.5", port: 80 })}${entry(
    "clash",
    "hosts: [web.default], addresses: [192.0.2.1], resolution: NONE",
  )}`;
  const { names } = namesOf(testMesh({ yaml }));
  assert.deepEqual(names.get("web"), ["10.0.0.5"]);
  assert.deepEqual(names.get("web.default.svc"), ["10.0.0.5"]);
  assert.deepEqual(names.get("web.default"), ["192.0.2.1"]);
  const other = namesOf(testMesh({ yaml }), { ...asking, NAMESPACE: "other" }).names;
  assert.equal(other.get("web"), undefined);
  assert.deepEqual(other.get("web.default.svc"), ["10.0.0.5"]);
});

test("a name that has no address here is left to others", () => {
  const yaml = entry("none", "hosts: [none.example], resolution: NONE");
  assert.deepEqual([...namesOf(testMesh({ yaml })).names], []);
});

test("a headless service has its healthy endpoints, which follow them, and stays known without any", () => {
  const mesh = testMesh({
    yaml: `
apiVersion: v1
kind: Service
metadata: { name: db, namespace: default }
spec: { clusterIP: None, ports: [{ name: tcp, port: 5432 }] }
---
apiVersion: v1
kind: Endpoints
metadata: { name: db, namespace: default }
subsets: [{ addresses: [{ ip: 10.1.0.2 }, { ip: 10.1.0.1 }], ports: [{ name: tcp, port: 5432 }] }]
`,
  });
  assert.deepEqual(namesOf(mesh).names.get("db"), ["10.1.0.1", "10.1.0.2"]);
  mesh.apply(`
apiVersion: v1
kind: Endpoints
metadata: { name: db, namespace: default }
subsets: []
`);
  mesh.commit();
  assert.deepEqual(namesOf(mesh).names.get("db"), []);
});

test("a registered service has addresses of its own, of IPv6 where the proxy's machine has any", () => {
  const mesh = testMesh({ instances: [{ service: "reviews", id: "1", port: 80, protocol: "http" }] });
  const [only, more] = namesOf(mesh).names.get("reviews") ?? [];
  assert.match(only ?? "", /^240\.240\./);
  assert.equal(more, undefined);
  const both = namesOf(mesh, { ...asking, INSTANCE_IPS: "10.0.0.9,fd00::9" });
  assert.match(both.names.get("reviews")?.[1] ?? "", /^2001:2::/);
  assert.equal(both.listener?.additionalAddresses?.[0]?.address?.socketAddress?.address, "::1");
});

test("the listener stays the same object while no name changes", () => {
  const mesh = testMesh({ yaml: kubernetesService("web", { ip: "10.0.0.5", port: 80 }) });
  const before = namesOf(mesh).listener;
  mesh.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: default }
spec: { hosts: [web], http: [{ route: [{ destination: { host: web } }] }] }
`);
  mesh.commit();
  assert.equal(namesOf(mesh).listener, before);
});
