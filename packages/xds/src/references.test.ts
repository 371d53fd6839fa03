import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointsOfCluster, routesOfListener, secretsOf } from "./references.ts";
import { any } from "./resource.ts";

test("an EDS cluster takes the endpoints of its service name, else of its own", () => {
  const eds = { type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } } as const;
  const ads = { source: { kind: "ads" }, fetchTimeout: undefined };
  assert.deepEqual(endpointsOfCluster({ ...eds, name: "a" }), { name: "a", ...ads });
  const named = { ...eds, name: "a", edsClusterConfig: { ...eds.edsClusterConfig, serviceName: "b" } };
  assert.deepEqual(endpointsOfCluster(named), { name: "b", ...ads });
});

test("a cluster that is not EDS takes none, whatever it carries", () => {
  assert.equal(
    endpointsOfCluster({ name: "a", type: "STATIC", edsClusterConfig: { edsConfig: { ads: {} } } }),
    undefined,
  );
  assert.equal(endpointsOfCluster({ name: "a", type: "EDS" }), undefined);
});

test("sources are files, the aggregated stream, or a server behind a cluster", () => {
  const sourceOf = (edsConfig: object) =>
    endpointsOfCluster({ name: "a", type: "EDS", edsClusterConfig: { edsConfig } })?.source;
  assert.deepEqual(sourceOf({ pathConfigSource: { path: "/x/eds.yaml" } }), { kind: "path", path: "/x/eds.yaml" });
  assert.deepEqual(sourceOf({ path: "/x" }), { kind: "path", path: "/x" });
  assert.deepEqual(sourceOf({ self: {} }), { kind: "ads" });
  const grpcServices = [{ envoyGrpc: { clusterName: "sds-grpc" } }];
  assert.deepEqual(sourceOf({ apiConfigSource: { apiType: "GRPC", grpcServices } }), {
    kind: "api",
    cluster: "sds-grpc",
  });
  assert.equal(sourceOf({}), undefined);
});

const hcm = (rds: object) =>
  any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", { rds });

test("each route table of a listener is named once, however many chains take it", () => {
  const chain = (name: string) => ({
    filters: [{ name: "http", typedConfig: hcm({ routeConfigName: name, configSource: { ads: {} } }) }],
  });
  const listener = { name: "l", filterChains: [chain("80"), chain("80")], defaultFilterChain: chain("81") };
  assert.deepEqual(
    routesOfListener(listener).map(({ name }) => name),
    ["80", "81"],
  );
});

test("secrets of TLS contexts are found in chains, validation contexts and socket matches", () => {
  const sdsConfig = { ads: {} };
  const transportSocket = {
    name: "tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
      commonTlsContext: {
        tlsCertificateSdsSecretConfigs: [{ name: "default", sdsConfig }],
        combinedValidationContext: { validationContextSdsSecretConfig: { name: "ROOTCA", sdsConfig } },
      },
    }),
  };
  const cluster = { name: "c", transportSocketMatches: [{ name: "tlsMode-istio", transportSocket }] };
  assert.deepEqual(
    secretsOf(cluster).map(({ name }) => name),
    ["default", "ROOTCA"],
  );
  assert.deepEqual(secretsOf({ name: "none" }), []);
});
