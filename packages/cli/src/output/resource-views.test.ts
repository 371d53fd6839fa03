import assert from "node:assert/strict";
import { test } from "node:test";
import { resourcesIn } from "../mesh/config-dump.ts";
import { type Resource, tableRows, views } from "./resource-views.ts";

const rows = (name: string, item: Resource) => views.find(({ names }) => names.includes(name))?.rows(item);

test("a cluster's name is taken apart and its DestinationRule named", () => {
  const metadata = {
    filterMetadata: { istio: { config: "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews" } },
  };
  const cluster = { name: "outbound|80|v1|reviews.default.svc.cluster.local", type: "EDS", metadata };
  assert.deepEqual(rows("cluster", cluster), [
    ["reviews.default.svc.cluster.local", "80", "v1", "outbound", "EDS", "reviews"],
  ]);
  assert.deepEqual(rows("c", { name: "PassthroughCluster", type: "ORIGINAL_DST" })?.[0]?.[0], "PassthroughCluster");
});

test("a listener has one row for each filter chain", () => {
  const address = { socketAddress: { address: "0.0.0.0", portValue: 15006 } };
  const chain = (match: Resource, cluster: string) => ({
    filterChainMatch: match,
    filters: [{ name: "tcp", typedConfig: { cluster } }],
  });
  const listener = {
    name: "in",
    address,
    filterChains: [chain({ transportProtocol: "tls" }, "a")],
    defaultFilterChain: chain({}, "b"),
  };
  assert.deepEqual(rows("listeners", listener), [
    ["in", "0.0.0.0:15006", "Trans: tls", "Cluster: a"],
    ["in", "0.0.0.0:15006", "ALL", "Cluster: b"],
  ]);
});

test("weighted routes show every share", () => {
  const route = {
    match: { prefix: "/" },
    route: {
      weightedClusters: {
        clusters: [
          { name: "a", weight: 90 },
          { name: "b", weight: 10 },
        ],
      },
    },
  };
  const table = { name: "80", virtualHosts: [{ name: "v", domains: ["x", "y"], routes: [route] }] };
  assert.deepEqual(rows("routes", table), [["80", "v", "x +1", "/*", "a 90, b 10", ""]]);
});

test("live hosts show ejection, endpoint resources what was sent", () => {
  const address = { socketAddress: { address: "10.0.0.1", portValue: 80 } };
  const live = {
    name: "c",
    hostStatuses: [{ address, healthStatus: { failedOutlierCheck: true, edsHealthStatus: "HEALTHY" } }],
  };
  assert.deepEqual(rows("endpoints", live), [["10.0.0.1:80", "HEALTHY", "FAILED", "c"]]);
  const sent = { clusterName: "c", endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] };
  assert.deepEqual(rows("ep", sent), [["10.0.0.1:80", "HEALTHY", "-", "c"]]);
});

test("resources are found in a dump in either spelling, static and dynamic", () => {
  const dump = {
    configs: [
      {
        "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
        dynamic_listeners: [{ name: "l", active_state: { listener: { "@type": "x", name: "l", stat_prefix: "s" } } }],
      },
      {
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
        staticClusters: [{ cluster: { "@type": "y", name: "c" } }],
      },
    ],
  };
  assert.deepEqual(resourcesIn(dump, "listeners"), [{ name: "l", statPrefix: "s" }]);
  assert.deepEqual(resourcesIn(dump, "clusters"), [{ name: "c" }]);
  assert.deepEqual(resourcesIn({}, "clusters"), []);
});

test("a route says that it is for gRPC, for headers, for parameters, and which header names its cluster", () => {
  const match = (more: Resource) => ({ match: { prefix: "/", ...more }, route: { clusterHeader: "to" } });
  const routes = [match({ grpc: {} }), match({ headers: [{ name: "a" }], queryParameters: [{ name: "b" }] })];
  const table = { name: "80", virtualHosts: [{ name: "v", domains: ["x"], routes }] };
  assert.deepEqual(
    rows("routes", table)?.map((row) => row.slice(3, 5)),
    [
      ["/* & gRPC", "cluster named by header to"],
      ["/* & header a & query b", "cluster named by header to"],
    ],
  );
});

test("clusters stand by direction and name, whatever order the proxy gives", () => {
  const view = views.find(({ names }) => names[0] === "clusters");
  assert.ok(view);
  const names = ["outbound|80||b", "outbound|9||b", "inbound|1||", "outbound|80|v1|a", "outbound|80||a"];
  const shown = tableRows(
    view,
    names.map((name) => ({ name })),
  ).map((row) => row.slice(0, 4).join(" "));
  assert.deepEqual(shown, [" 1 - inbound", "a 80 - outbound", "a 80 v1 outbound", "b 9 - outbound", "b 80 - outbound"]);
});

test("a secret that cannot be read has dashes for what its certificate would say", () => {
  const secret = { name: "default", tlsCertificate: { certificateChain: { inlineString: "nonsense" } } };
  assert.deepEqual(rows("secrets", secret), [["default", "Cert Chain", "-", "-", "-", "-"]]);
  assert.deepEqual(rows("secrets", { name: "t" }), [["t", "-", "-", "-", "-", "-"]]);
});
