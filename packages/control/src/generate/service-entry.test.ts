/** What ServiceEntries, WorkloadEntries and MeshConfig come to in resources. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeResource } from "@weft/xds/codec";
import { type InstanceInput, testMesh, testProxy } from "./test-mesh.ts";

const entry = (name: string, spec: string, metadata = ""): string => `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}${metadata} }
spec: ${spec}
`;
const workload = (name: string, spec: string): string => `
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: ${name} }
spec: ${spec}
`;
const meshConfig = (spec: string): string => `
---
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: { name: istio, namespace: istio-system }
spec: ${spec}
`;

const intercepted = { INTERCEPTION_MODE: "REDIRECT" };
const generate = (
  yaml: string,
  options: {
    readonly proxy?: Record<string, unknown>;
    readonly id?: string;
    readonly instances?: readonly InstanceInput[];
  } = {},
) => {
  const mesh = testMesh({ yaml, instances: options.instances ?? [] });
  const { resources, notes } = mesh.generator.generate(testProxy({ ...intercepted, ...options.proxy }, options.id));
  for (const kind of ["cluster", "endpoints", "listener", "route"] as const) {
    for (const json of resources[kind].values()) encodeResource(kind, json as never);
  }
  return { ...resources, notes, mesh };
};

test("each resolution is a cluster of its own type", () => {
  const typeOf = (resolution: string, host = "api.example", more = "", id?: string) => {
    const yaml = entry(
      "x",
      `{ hosts: ["${host}"], resolution: ${resolution}, ports: [{ number: 80, name: http }]${more} }`,
    );
    const { cluster } = generate(yaml, id === undefined ? {} : { id });
    const found = cluster.get(`outbound|80||${host}`);
    return found?.clusterType?.name ?? found?.type;
  };
  assert.equal(typeOf("NONE"), "ORIGINAL_DST");
  assert.equal(typeOf("STATIC", "api.example", ", endpoints: [{ address: 1.2.3.4 }]"), "EDS");
  assert.equal(typeOf("DNS"), "STRICT_DNS");
  assert.equal(typeOf("DNS_ROUND_ROBIN"), "LOGICAL_DNS");
  assert.equal(typeOf("DYNAMIC_DNS", "*.example"), "envoy.clusters.dynamic_forward_proxy");
  assert.equal(typeOf("NONE", "api.example", "", "router~10.0.0.9~gw.default~default.svc.cluster.local"), "EDS");
});

test("a wildcard whose hosts are looked up has one cache in its cluster and in the filter that reads server names", () => {
  const made = generate(
    entry("x", '{ hosts: ["*.example"], resolution: DYNAMIC_DNS, ports: [{ number: 443, name: tls }] }'),
  );
  const config = made.cluster.get("outbound|443||*.example")?.clusterType?.typedConfig as Record<string, unknown>;
  const text = JSON.stringify([...made.listener.values()]);
  const filter = /"name":"envoy.filters.network.sni_dynamic_forward_proxy","typedConfig":(\{.*?\}\})/.exec(text)?.[1];
  const { portValue, dnsCacheConfig } = JSON.parse(filter ?? "{}") as Record<string, unknown>;
  assert.deepEqual([portValue, dnsCacheConfig], [443, config.dnsCacheConfig]);
});

test("a selector picks WorkloadEntries and registered instances of its namespace, by the target port", () => {
  const instances: InstanceInput[] = [
    { service: "legacy", id: "i1", address: "10.0.0.5", port: 19090, appPort: 9090, labels: { app: "old" } },
    { service: "legacy", id: "i2", address: "10.0.0.6", port: 9999, labels: { app: "new" } },
    { service: "legacy", id: "i3", namespace: "other", address: "10.0.0.7", port: 9090, labels: { app: "old" } },
  ];
  const yaml =
    entry(
      "x",
      `{ hosts: [old.example], location: MESH_INTERNAL, resolution: STATIC, ports: [{ number: 80, name: http, targetPort: 9090 }],
         workloadSelector: { labels: { app: old } } }`,
    ) +
    workload("vm-1", "{ address: 2.2.2.2, labels: { app: old }, ports: { http: 7000 }, weight: 3, locality: eu/a }") +
    workload("vm-2", "{ address: 2.2.2.3, labels: { app: new } }");
  const { endpoints } = generate(yaml, { instances });
  const found = (endpoints.get("outbound|80||old.example")?.endpoints ?? []).flatMap(({ lbEndpoints }) =>
    (lbEndpoints ?? []).map(({ endpoint, loadBalancingWeight }) => {
      const { address, portValue } = endpoint?.address?.socketAddress ?? {};
      return `${address}:${portValue} ${loadBalancingWeight}`;
    }),
  );
  assert.deepEqual(found.sort(), ["10.0.0.5:19090 1", "2.2.2.2:7000 3"]);
});

test("entries for one host of one namespace add their ports; the oldest gives what both have", () => {
  const yaml =
    entry(
      "b",
      "{ hosts: [a.example], resolution: DNS, ports: [{ number: 80, name: tcp }, { number: 443, name: tls }] }",
      ', creationTimestamp: "2024-01-02T00:00:00Z"',
    ) +
    entry(
      "a",
      "{ hosts: [a.example], resolution: STATIC, ports: [{ number: 80, name: http }] }",
      ', creationTimestamp: "2024-01-01T00:00:00Z"',
    );
  const { mesh } = generate(yaml);
  const service = mesh.model.services.get("default/a.example");
  assert.deepEqual(
    service?.ports.map(({ number, protocol }) => `${number} ${protocol}`),
    ["80 http", "443 tls"],
  );
  assert.equal(service?.resolution, "eds");
  assert.match(service?.conflicts.join() ?? "", /resolution is eds/);
});

test("virtual addresses are listened at where the client's DNS is the proxy's, and only there", () => {
  const yaml =
    entry("x", "{ hosts: [db.example, db2.example], resolution: DNS, ports: [{ number: 5432, name: tcp }] }") +
    entry(
      "y",
      "{ hosts: [own.example], addresses: [10.1.1.1], resolution: DNS, ports: [{ number: 5432, name: tcp }] }",
    ) +
    entry("z", "{ hosts: [as.dialled.example], ports: [{ number: 5432, name: tcp }] }") +
    entry(
      "n",
      "{ hosts: [not.example], resolution: DNS, ports: [{ number: 1, name: tcp }] }",
      ', labels: { networking.istio.io/enable-autoallocate-ip: "false" }',
    );
  const plain = generate(yaml);
  assert.deepEqual(
    [...plain.listener.keys()].filter((name) => name.startsWith("240.240.")),
    [],
  );
  const made = generate(yaml, { proxy: { DNS_CAPTURE: "true" } });
  const bound = [...made.listener.keys()].filter((name) => name.startsWith("240.240."));
  assert.equal(bound.length, 2);
  const { model } = made.mesh;
  const addressOf = (host: string) => {
    const service = model.services.get(`default/${host}`);
    return service && model.virtualAddresses(service)?.v4;
  };
  assert.deepEqual(bound.sort(), [`${addressOf("db.example")}_5432`, `${addressOf("db2.example")}_5432`].sort());
  assert.deepEqual(["own.example", "as.dialled.example", "not.example"].map(addressOf), [
    undefined,
    undefined,
    undefined,
  ]);
  const before = addressOf("db.example");
  made.mesh.apply(
    entry("more", "{ hosts: [c.example, d.example], resolution: DNS, ports: [{ number: 1, name: tcp }] }"),
  );
  made.mesh.commit();
  assert.equal(addressOf("db.example"), before);
});

test("location decides on automatic mTLS, and names of the entry on who may answer", () => {
  const cluster = (location: string) =>
    generate(
      entry(
        "x",
        `{ hosts: [a.example], location: ${location}, resolution: STATIC, ports: [{ number: 80, name: http }],
           endpoints: [{ address: 1.2.3.4, serviceAccount: sa }], subjectAltNames: [spiffe://x/a] }`,
      ),
    ).cluster.get("outbound|80||a.example");
  assert.equal(cluster("MESH_EXTERNAL")?.transportSocketMatches, undefined);
  assert.equal(cluster("MESH_EXTERNAL")?.metadata?.filterMetadata?.istio?.external, true);
  const internal = JSON.stringify(cluster("MESH_INTERNAL")?.transportSocketMatches);
  assert.match(internal, /spiffe:\/\/x\/a/);
  assert.match(internal, /ns\/default\/sa\/sa/);
});

test("MeshConfig's fields change what is generated, and the settings stay the same object while it says the same", () => {
  const base = entry("x", "{ hosts: [a.example], resolution: DNS, ports: [{ number: 80, name: http }] }");
  const made = generate(
    base +
      meshConfig(`{
        accessLogFile: /dev/stdout, accessLogEncoding: JSON, connectTimeout: 3s, dnsRefreshRate: 9s, h2UpgradePolicy: UPGRADE,
        protocolDetectionTimeout: 2s, tcpKeepalive: { time: 4s }, pathNormalization: { normalization: DECODE_AND_MERGE_SLASHES },
        outboundTrafficPolicy: { mode: REGISTRY_ONLY }, defaultTrafficPolicy: { connectionPool: { tcp: { maxConnections: 3 } } } }`),
  );
  const cluster = made.cluster.get("outbound|80||a.example");
  assert.deepEqual(
    [cluster?.connectTimeout, cluster?.dnsRefreshRate, cluster?.circuitBreakers?.thresholds?.[0]?.maxConnections],
    ["3s", "9s", 3],
  );
  assert.deepEqual(cluster?.upstreamConnectionOptions, { tcpKeepalive: { keepaliveTime: 4 } });
  assert.match(
    JSON.stringify(cluster?.typedExtensionProtocolOptions),
    /"explicitHttpConfig":\{"http2ProtocolOptions":\{\}\}/,
  );
  assert.equal(made.cluster.get("PassthroughCluster")?.circuitBreakers?.thresholds?.[0]?.maxConnections, 3);
  const listener = made.listener.get("0.0.0.0_80");
  assert.equal(listener?.listenerFiltersTimeout, "2s");
  const text = JSON.stringify(listener);
  assert.match(text, /"mergeSlashes":true,"pathWithEscapedSlashesAction":"UNESCAPE_AND_FORWARD"/);
  assert.match(text, /"jsonFormat":\{"start_time"/);
  assert.match(JSON.stringify(made.route.get("80")), /block_all/);
  const settings = made.mesh.model.mesh;
  made.mesh.apply(entry("y", "{ hosts: [b.example], resolution: DNS, ports: [{ number: 80, name: http }] }"));
  made.mesh.commit();
  assert.equal(made.mesh.model.mesh, settings);
});

test("the mesh's defaults of visibility hold where objects say nothing", () => {
  const yaml =
    entry("x", "{ hosts: [a.example], resolution: DNS, ports: [{ number: 80, name: http }] }") +
    entry("y", "{ hosts: [b.example], resolution: DNS, exportTo: ['*'], ports: [{ number: 80, name: http }] }");
  const seen = (spec: string, namespace: string) => {
    const mesh = testMesh({ yaml: yaml + meshConfig(spec) });
    return [...mesh.model.visibleServices(namespace).keys()];
  };
  assert.deepEqual(seen("{}", "other"), ["a.example", "b.example"]);
  assert.deepEqual(seen("{ defaultServiceExportTo: ['.'] }", "other"), ["b.example"]);
  assert.deepEqual(seen("{ defaultServiceExportTo: ['.'] }", "default"), ["a.example", "b.example"]);
  const visibility = (word: string) =>
    `{ serviceEntryVisibility: { defaultVisibility: ${word}, applyToSidecars: true } }`;
  assert.deepEqual(seen(visibility("NAMESPACE"), "other"), ["b.example"]);
  assert.deepEqual(seen(visibility("NONE"), "default"), ["b.example"]);
});

test("a broken MeshConfig text and a format that is no object leave Istio's own format", () => {
  const line = (spec: string): string =>
    JSON.stringify([
      ...generate(
        entry("x", "{ hosts: [a.example], resolution: DNS, ports: [{ number: 80, name: http }] }") + meshConfig(spec),
      ).listener.values(),
    ]);
  assert.match(line("{ accessLogFile: /x, accessLogEncoding: JSON, accessLogFormat: '[1]' }"), /"route_name"/);
  assert.match(
    line(`{ accessLogFile: /x, accessLogEncoding: JSON, accessLogFormat: '{"a":"%PROTOCOL%"}' }`),
    /"jsonFormat":\{"a":"%PROTOCOL%"\}/,
  );
  assert.match(line("{ accessLogFile: /x, accessLogFormat: '%PROTOCOL%' }"), /"inlineString":"%PROTOCOL%\\n"/);
});

test("a rule may send requests on to the wildcard host of a ServiceEntry, whose names stay as they were dialled", () => {
  const rule = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: wild }
spec: { hosts: ["*.wild.example"], http: [{ route: [{ destination: { host: "*.wild.example" } }] }] }
`;
  const port = "ports: [{ number: 8080, name: http, protocol: HTTP }]";
  const resources = generate(entry("wild", `{ hosts: ["*.wild.example"], resolution: NONE, ${port} }`) + rule);
  const [host] = resources.route.get("8080")?.virtualHosts ?? [];
  const cluster = "outbound|8080||*.wild.example";
  assert.deepEqual([host?.domains, host?.routes?.[0]?.route?.cluster], [["*.wild.example"], cluster]);
  assert.equal(resources.cluster.get(cluster)?.type, "ORIGINAL_DST");
});
