import assert from "node:assert/strict";
import { test } from "node:test";
import { formatError } from "@weft/core/error";
import { parseBootstrap, readBootstrap } from "./bootstrap.ts";
import { bootstrapFromFlags } from "./from-flags.ts";

const ads = `
node: { id: test-1, cluster: c }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } }
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: { cluster_name: xds }
      initial_metadata: [{ key: X-Token, value: abc }]
  cds_config: { ads: {}, resource_api_version: V3 }
  lds_config: { ads: {}, resource_api_version: V3 }
static_resources:
  clusters:
  - name: xds
    type: STATIC
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 15010 } } }
`;
const refusal = (text: string): string => {
  try {
    parseBootstrap(text, "envoy.yaml");
    return "taken";
  } catch (error) {
    return formatError(error);
  }
};

test("a bootstrap with ADS says where the server is and how it is spoken to", () => {
  const bootstrap = parseBootstrap(ads, "envoy.yaml");
  assert.deepEqual(bootstrap.ads, {
    name: "xds",
    targets: [{ kind: "tcp", host: "127.0.0.1", port: 15010 }],
    tls: undefined,
    metadata: { "x-token": "abc" },
    form: "delta",
  });
  assert.deepEqual([bootstrap.lds, bootstrap.cds], [{ kind: "ads" }, { kind: "ads" }]);
  assert.deepEqual(bootstrap.admin, { host: "127.0.0.1", port: 9901 });
  assert.equal(bootstrap.node.id, "test-1");
  assert.deepEqual(bootstrap.warnings, []);
});

test("without an admin address there is no admin interface", () => {
  assert.equal(parseBootstrap("static_resources: {}", "x").admin, undefined);
});

test("listeners and clusters may come from files", () => {
  const { lds, cds } = parseBootstrap(
    "dynamic_resources: { lds_config: { path_config_source: { path: /a/lds.yaml } }, cds_config: { path: /a/cds.yaml } }",
    "x",
  );
  assert.deepEqual(
    [lds, cds],
    [
      { kind: "path", path: "/a/lds.yaml" },
      { kind: "path", path: "/a/cds.yaml" },
    ],
  );
});

test("a google_grpc server is dialled by its target", () => {
  const text = ads.replace(
    "envoy_grpc: { cluster_name: xds }",
    "google_grpc: { target_uri: 'unix:/run/x.sock', stat_prefix: x }",
  );
  assert.deepEqual(parseBootstrap(text, "x").ads?.targets, [{ kind: "pipe", path: "/run/x.sock" }]);
});

test("what the sidecar does without is a warning with its place, whatever types it names", () => {
  const text = `stats_sinks:\n- name: s\n  typed_config: { "@type": type.googleapis.com/acme.Sink }\nlayered_runtime: {}\n${ads}`;
  const { warnings } = parseBootstrap(text, "envoy.yaml");
  assert.deepEqual(
    warnings.map(({ code, where }) => [code, where?.line]),
    [
      ["WF3110", 1],
      ["WF3110", 4],
    ],
  );
});

const refused: readonly (readonly [title: string, text: string, expected: RegExp])[] = [
  ["is not YAML", "node: [", /^WF3100 envoy\.yaml:\d+:\d+/],
  ["repeats a key", "node: {}\nnode: {}\n", /^WF3100 envoy\.yaml:2:1/],
  ["is a list", "- a\n", /^WF3101 .*not a mapping/],
  [
    "has an unknown field",
    "static_resources:\n  listner: []\n",
    /^WF3101 envoy\.yaml:2:3 .*there is no field "listner"/,
  ],
  [
    "has a wrong type",
    "static_resources:\n  listeners:\n  - name: 7.5\n",
    /^WF3101 envoy\.yaml:3:5 .*must be a string/,
  ],
  [
    "names a filter we do not know",
    `static_resources: { listeners: [{ name: l, filter_chains: [{ filters: [{ name: x, typed_config: { "@type": type.googleapis.com/acme.Filter } }] }] }] }`,
    /acme\.Filter is not known/,
  ],
  [
    "asks for ADS without saying where",
    "dynamic_resources: { cds_config: { ads: {} } }",
    /cds_config\.ads: needs dynamic_resources\.ads_config/,
  ],
  [
    "names a cluster that is not there",
    ads.replace("cluster_name: xds }", "cluster_name: other }"),
    /envoy_grpc\.cluster_name: there is no static cluster "other"/,
  ],
  ["speaks REST", ads.replace("DELTA_GRPC", "REST"), /api_type: REST is not spoken here/],
  ["speaks version 2", ads.replace("transport_api_version: V3", "transport_api_version: V2"), /V2|must be V3/],
  [
    "names a cluster twice",
    "static_resources: { clusters: [{ name: a }, { name: a }] }",
    /clusters\[1\]\.name: "a" is there twice/,
  ],
  [
    "has a server without verification",
    ads.replace(
      "    type: STATIC\n",
      `    type: STATIC\n    transport_socket: { name: tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext } }\n`,
    ),
    /needs trusted_ca/,
  ],
  [
    "bombs with aliases",
    `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`,
    /^WF3100/,
  ],
];
for (const [title, text, expected] of refused) {
  test(`a bootstrap that ${title} is refused`, () => assert.match(refusal(text), expected));
}

test("flags mean a bootstrap that reads back as written", () => {
  const json = bootstrapFromFlags({
    controlPlane: { host: "127.0.0.1", port: 15012 },
    rootCertFile: "/r.pem",
    serverName: "istiod.istio-system.svc",
    type: "sidecar",
    name: "web",
    namespace: "default",
    serviceAccount: "web",
    labels: new Map([["app", "web"]]),
    ip: "127.0.0.1",
    otherIps: [],
    outbound: { host: "127.0.0.1", port: 15001 },
    inbound: [{ name: "http", protocol: "http", address: "127.0.0.1", port: 20001, appPort: 3000 }],
    admin: { host: "127.0.0.1", port: 15000 },
    clusterId: "Kubernetes",
    meshId: "m",
    interception: "NONE",
    version: "0.1.0",
  });
  const bootstrap = readBootstrap(json, () => undefined);
  assert.equal(bootstrap.node.id, "sidecar~127.0.0.1~web.default~default.svc.cluster.local");
  assert.equal(bootstrap.node.metadata?.WEFT_OUTBOUND, "127.0.0.1:15001");
  assert.deepEqual(bootstrap.ads?.tls, {
    roots: { kind: "file", path: "/r.pem" },
    certificate: { kind: "secret", name: "default" },
    key: { kind: "secret", name: "default" },
    serverName: "istiod.istio-system.svc",
    sans: [],
  });
});

test("of the cluster manager load reporting and the own cluster are followed, the rest is said to be ignored", () => {
  const load =
    "load_stats_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds } }] }";
  const text = `${ads}cluster_manager:\n  local_cluster_name: me\n  outlier_detection: {}\n  ${load}\n`;
  const { loadStats, localCluster, warnings } = parseBootstrap(text, "envoy.yaml");
  assert.deepEqual(loadStats?.targets, [{ kind: "tcp", host: "127.0.0.1", port: 15010 }]);
  assert.deepEqual(
    warnings.map(({ code, message }) => [code, message]),
    [["WF3110", "cluster_manager.outlier_detection is ignored: it has no effect"]],
  );
  assert.equal(localCluster, "me");
  assert.equal(parseBootstrap(ads, "envoy.yaml").loadStats, undefined);
  const lost = `${ads}cluster_manager: { ${load.replace("cluster_name: xds", "cluster_name: none")} }\n`;
  assert.match(refusal(lost), /load_stats_config.*there is no static cluster "none"/);
});
