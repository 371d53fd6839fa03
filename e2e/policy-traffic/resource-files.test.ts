/** Files of Envoy resources, as people keep them, run in the sidecar: listeners, clusters and routes read, endpoints by ADS. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { frameMessage } from "@weft/net/grpc/message-reader";
import { openGrpcServer } from "@weft/net/grpc/server";
import { findFreePort } from "@weft/net/process/free-port";
import { readFileResources } from "@weft/proxy/discovery/file-resources";
import { eventually } from "@weft/testkit/eventually";
import { startWeft } from "@weft/testkit/processes";
import { encodeResource } from "@weft/xds/codec";
import { adsSotwPath, decodeDiscoveryRequest, encodeDiscoveryResponse } from "@weft/xds/discovery";
import { resourceType } from "@weft/xds/resource";
import { type Hosts, startHosts } from "./hosts.ts";
import { askThrough, tally } from "./mesh.ts";

const stack = new AsyncDisposableStack();
let hosts: Hosts;
let bytesPort: number;
let httpPort: number;

const name = "outbound|9080||pages.default.svc.cluster.local";
const listeners = (bytes: number, http: number, routes: string): string => `
resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: listener_0
  address:
    socket_address:
      address: 0.0.0.0
      port_value: ${bytes}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: outbound_tcp
        cluster: ${name}
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: listener_1
  address: {socket_address: {address: 127.0.0.1, port_value: ${http}}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: outbound_http
        rds:
          route_config_name: "80"
          config_source: {path_config_source: {path: ${routes}}}
        http_filters:
        - name: envoy.filters.http.router
          typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`;
const clusters = `
resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: ${name}
  type: EDS
  eds_cluster_config:
    eds_config:
      ads: {}
      initial_fetch_timeout: 0s
    service_name: ${name}
  connect_timeout: 10s
  lb_policy: LEAST_REQUEST
`;
const endpoints = (live: number, dead: number): string => `
resources:
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: ${name}
  endpoints:
  - lb_endpoints:
    - endpoint:
        address:
          socket_address:
            address: 127.91.0.1
            port_value: ${live}
    - endpoint:
        address:
          socket_address:
            address: 127.91.0.2
            port_value: ${dead}
`;
const routes = `
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: 80
  virtual_hosts:
  - name: pages.default.svc.cluster.local:80
    domains:
    - "pages.default.svc.cluster.local"
    - "pages.default.svc.cluster.local:80"
    routes:
    - match:
        prefix: "/"
      route:
        cluster: ${name}
        timeout: 0s
        retry_policy:
          retry_on: connect-failure,refused-stream,unavailable,cancelled,resource-exhausted,retriable-status-codes
          num_retries: 2
          retry_host_predicate:
          - name: envoy.retry_host_predicates.previous_hosts
`;

/** A management server that has one file of endpoints and nothing else. */
const startPlane = async (file: string) => {
  const { typeUrl } = resourceType("endpoints");
  const resources = readFileResources(file, "endpoints.yaml", "endpoints").map((offer) => ({
    ...{ name: offer.name, version: offer.version, typeUrl },
    value: encodeResource("endpoints", offer.json as never),
  }));
  const server = await openGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    log: silentLogger,
    random: Math.random,
    handlers: new Map([
      [
        adsSotwPath,
        {
          kind: "bidi",
          open: (call) => ({
            message: (bytes) => {
              const request = decodeDiscoveryRequest(bytes);
              if (request.typeUrl !== typeUrl || request.responseNonce !== "") return;
              const response = { versionInfo: "1", nonce: "1", typeUrl, resources };
              call.send(frameMessage(encodeDiscoveryResponse(response)));
            },
            drained: () => undefined,
            halfClosed: () => call.end(0),
            closed: () => undefined,
          }),
        },
      ],
    ]),
  });
  stack.defer(() => server.close(0));
  return server.address.port;
};

before(async () => {
  hosts = stack.use(await startHosts());
  const folder = mkdtempSync(join(tmpdir(), "weft-resource-files-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = (base: string, text: string): string => {
    writeFileSync(join(folder, base), text);
    return join(folder, base);
  };
  const plane = await startPlane(endpoints(hosts.port, await findFreePort("127.0.0.1", 0)));
  bytesPort = await findFreePort("127.0.0.1", 0);
  httpPort = await findFreePort("127.0.0.1", 0, (port) => port === bytesPort);
  const source = (path: string) => ({ path_config_source: { path } });
  const bootstrap = {
    node: { id: "files", cluster: "files" },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
    dynamic_resources: {
      ads_config: {
        api_type: "GRPC",
        transport_api_version: "V3",
        grpc_services: [{ google_grpc: { target_uri: `127.0.0.1:${plane}`, stat_prefix: "ads" } }],
      },
      lds_config: source(file("lds.yaml", listeners(bytesPort, httpPort, file("rds.yaml", routes)))),
      cds_config: source(file("cds.yaml", clusters)),
    },
  };
  const sidecar = stack.use(startWeft(["sidecar", "--bootstrap", file("bootstrap.json", JSON.stringify(bootstrap))]));
  await sidecar.waitFor(/\bready\b/);
});
after(() => stack.disposeAsync());

const overBytes = (): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: bytesPort });
    let heard = "";
    socket.on("error", () => {});
    socket.on("close", () => resolve(/x-host: (\S+)/.exec(heard)?.[1] ?? ""));
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
    });
    socket.write("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  });

test("a listener of bytes reaches the endpoints of its cluster", async () => {
  await eventually("it is reached", async () => (await overBytes()) === "127.91.0.1" || undefined);
});

test("the route goes by domain, and retries at the host that has not failed", async () => {
  const ask = (host: string) => askThrough(`127.0.0.1:${httpPort}`, host);
  const seen: string[] = [];
  for (let i = 0; i < 40; i++) {
    const { status, host } = await ask("pages.default.svc.cluster.local");
    seen.push(status === 200 ? host : String(status));
  }
  // One in two meets the dead host first; that both retries meet it again is one in sixteen of those.
  assert.ok((tally(seen)["127.91.0.1"] ?? 0) >= 30, JSON.stringify(tally(seen)));
  assert.equal((await ask("pages.default.svc.cluster.local:80")).status === 404, false);
  assert.equal((await ask("other.default.svc.cluster.local")).status, 404);
});
