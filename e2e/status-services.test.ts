/**
 * The services beside discovery, with real peers: a stock Envoy reports its load to our control plane, our sidecar to a
 * grpc-js server, and a grpc-js client asks the sidecar's admin port for the status of its configuration.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { startEnvoy } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { startWeft } from "@weft/testkit/processes";
import { registerInstance, startSidecar } from "@weft/testkit/sidecar";
import { fetchClientStatusPath, streamClientStatusPath } from "@weft/xds/client-status";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import {
  type ClientStatusRequestJson,
  ClientStatusRequestSchema,
  type ClientStatusResponseJson,
  ClientStatusResponseSchema,
} from "@weft/xds/gen/envoy/service/status/v3/csds";
import { decodeLoadReport, encodeLoadWish, type LoadReport, streamLoadStatsPath } from "@weft/xds/load-reports";
import { any } from "@weft/xds/resource";

const loopback = (port: number) => ({ socketAddress: { address: "127.0.0.1", portValue: port } });
const cluster = (name: string, port: number, more: object = {}): object => ({
  ...{ name, type: "STATIC", connectTimeout: "1s" },
  loadAssignment: {
    clusterName: name,
    endpoints: [{ locality: { region: "eu", zone: "a" }, lbEndpoints: [{ endpoint: { address: loopback(port) } }] }],
  },
  ...more,
});
const http2 = {
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any(
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      { explicitHttpConfig: { http2ProtocolOptions: {} } },
    ),
  },
};
/** Forwards everything to the application and reports the load to the server. */
const reporting = (ports: { readonly http: number; readonly app: number; readonly server: number }): object => ({
  node: { id: "sidecar~127.0.0.1~load.default~default.svc.cluster.local", cluster: "load" },
  clusterManager: {
    loadStatsConfig: {
      ...{ apiType: "GRPC", transportApiVersion: "V3" },
      grpcServices: [{ envoyGrpc: { clusterName: "load-server" } }],
    },
  },
  staticResources: {
    clusters: [cluster("app", ports.app), cluster("load-server", ports.server, http2)],
    listeners: [
      {
        ...{ name: "http", address: loopback(ports.http) },
        filterChains: [
          {
            filters: [
              {
                name: "envoy.filters.network.http_connection_manager",
                typedConfig: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
                  statPrefix: "http",
                  routeConfig: {
                    name: "all",
                    virtualHosts: [
                      { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "app" } }] },
                    ],
                  },
                  httpFilters: [
                    {
                      name: "envoy.filters.http.router",
                      typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}),
                    },
                  ],
                }),
              },
            ],
          },
        ],
      },
    ],
  },
});
const callTimes = async (port: number, times: number): Promise<void> => {
  for (let n = 0; n < times; n++) assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
};
const same = (bytes: Buffer): Buffer => bytes;

test("Envoy reports its load to our control plane, which shows and counts it", { timeout: 90_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const cp = stack.use(await startControlPlane());
  const app = stack.use(await startEchoServer("app"));
  const http = await findFreePort("127.0.0.1", 0);
  const server = Number(cp.xds.split(":")[1]);
  stack.use(await startEnvoy(reporting({ http, app: app.port, server })));
  interface Loadz {
    readonly reporters: readonly {
      readonly proxy: string;
      readonly reports: number;
      readonly clusters: readonly {
        readonly cluster: string;
        readonly localities: readonly { readonly zone: string; readonly issued: number; readonly succeeded: number }[];
      }[];
    }[];
  }
  const reporter = async () => ((await cp.api("GET", "/debug/loadz")) as Loadz).reporters[0];
  await eventually("Envoy's load stream", reporter);
  await callTimes(http, 7);
  const localities = await eventually(
    "Envoy's report",
    async () => (await reporter())?.clusters.find(({ cluster: name }) => name === "app")?.localities[0],
    30_000,
  );
  assert.deepEqual([localities.zone, localities.issued, localities.succeeded], ["a", 7, 7]);
  const metrics = await (await fetch(`http://${cp.monitoring}/metrics`)).text();
  assert.match(metrics, /weft_load_requests_total\{cluster="app",result="succeeded"\} 7/);
  const { items } = (await cp.api("GET", "/v1/proxies")) as { items: readonly unknown[] };
  assert.deepEqual(items, []);
});

/** A load reporting server of grpc-js that wants all clusters every second. */
const startLoadServer = async () => {
  const reports: LoadReport[] = [];
  const server = new grpc.Server();
  const stream = { path: streamLoadStatsPath, requestStream: true, responseStream: true } as const;
  const codec = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService(
    { stream: { ...stream, ...codec } },
    {
      stream: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.once("data", () => call.write(Buffer.from(encodeLoadWish({ clusters: "all", intervalMs: 1_000 }))));
        call.on("data", (bytes: Buffer) => reports.push(decodeLoadReport(bytes)));
        call.on("error", () => {});
        call.on("end", () => call.end());
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { reports, port, [Symbol.dispose]: () => server.forceShutdown() };
};

test("our sidecar reports its load to a grpc-js server, per locality", { timeout: 60_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "weft-load-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const app = stack.use(await startEchoServer("app"));
  const server = stack.use(await startLoadServer());
  const http = await findFreePort("127.0.0.1", 0);
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(reporting({ http, app: app.port, server: server.port })));
  const sidecar = stack.use(startWeft(["sidecar", "--bootstrap", file]));
  await sidecar.waitFor(/\bready\b/);
  const first = await eventually("the first message", () => server.reports[0]);
  assert.match(first.node?.id ?? "", /load\.default/);
  assert.ok(first.node?.clientFeatures?.includes("envoy.lrs.supports_send_all_clusters"));
  await eventually("a report", () => server.reports[1]);
  await callTimes(http, 9);
  const issued = (): number =>
    server.reports
      .flatMap(({ clusters }) => clusters)
      .filter((one) => one.cluster === "app")
      .flatMap(({ localities }) => localities)
      .reduce((sum, one) => sum + (one.region === "eu" && one.zone === "a" ? one.succeeded : 0), 0);
  await eventually("nine requests in the reports", () => issued() >= 9 || undefined);
  assert.equal(issued(), 9);
});

test("a grpc-js client asks the sidecar's admin port for its status", { timeout: 60_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const cp = stack.use(await startControlPlane());
  const app = stack.use(await startEchoServer("app"));
  await registerInstance(cp, { service: "catalog", id: "c1", port: app.port, appPort: app.port, mesh: false });
  const sidecar = stack.use(await startSidecar(cp, { name: "web" }));
  const client = new grpc.Client(sidecar.admin, grpc.credentials.createInsecure());
  stack.defer(() => client.close());
  const question = (json: ClientStatusRequestJson): Buffer =>
    Buffer.from(encodeMessage(ClientStatusRequestSchema, json as never));
  const read = (bytes: Buffer) =>
    (decodeMessage(ClientStatusResponseSchema, bytes) as ClientStatusResponseJson).config ?? [];
  const fetchStatus = (json: ClientStatusRequestJson): Promise<ReturnType<typeof read>> =>
    new Promise((resolve, reject) =>
      client.makeUnaryRequest(fetchClientStatusPath, same, same, question(json), (error, value) =>
        error || !value ? reject(error) : resolve(read(value)),
      ),
    );
  const catalog = await eventually("the catalog's cluster", async () => {
    const [config] = await fetchStatus({});
    return config?.genericXdsConfigs?.find(({ name }) => name?.startsWith("outbound|80||catalog."));
  });
  assert.equal(catalog.clientStatus, "ACKED");
  assert.match(catalog.versionInfo ?? "", /^[0-9a-f]{16}$/);
  assert.equal((catalog.xdsConfig as { "@type"?: string } | undefined)?.["@type"], catalog.typeUrl);
  const keys = JSON.stringify(await fetchStatus({}));
  assert.doesNotMatch(keys, /PRIVATE KEY/);

  const call = client.makeBidiStreamRequest(streamClientStatusPath, same, same);
  call.on("error", () => {});
  call.write(question({ excludeResourceContents: true }));
  const [bare] = read(await new Promise<Buffer>((resolve) => call.once("data", resolve)));
  assert.ok((bare?.genericXdsConfigs ?? []).length > 3);
  assert.ok(bare?.genericXdsConfigs?.every(({ xdsConfig }) => xdsConfig === undefined));
  call.end();
  assert.equal((await fetch(`http://${sidecar.admin}/ready`)).status, 200);
});
