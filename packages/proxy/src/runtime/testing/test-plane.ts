/** For tests: a data plane on loopback with an application behind it, and resources with the usual parts filled in. */
import { createServer, type Server, type Socket } from "node:net";
import { silentLogger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import { createStats, type StatsStore } from "../../observe/create-stats.ts";
import { createTextOut } from "../../observe/text-out.ts";
import { createDataPlane, type DataPlaneTools } from "../create-data-plane.ts";
import type { DataPlane, ResourceChange } from "../data-plane.ts";

export interface TestPlane extends AsyncDisposable {
  readonly plane: DataPlane;
  readonly stats: StatsStore;
  readonly logLines: string[];
  /** Applies and expects no rejection. */
  readonly put: (...changes: ResourceChange[]) => Promise<void>;
  readonly portOf: (listener: string) => number;
}

export const openPlane = (tools: Partial<DataPlaneTools> = {}): TestPlane => {
  const stats = createStats();
  const logLines: string[] = [];
  const plane = createDataPlane({
    node: { id: "sidecar~127.0.0.1~test.default~default.svc.cluster.local", cluster: "test", metadata: {} },
    stats,
    log: silentLogger,
    clock: realClock,
    random: Math.random,
    setTimer: setRealTimer,
    openLog: () => createTextOut((line) => logLines.push(line)),
    ...tools,
  });
  return {
    plane,
    stats,
    logLines,
    put: async (...changes) => {
      const rejections = plane.apply(changes);
      if (rejections.length > 0) throw new Error(JSON.stringify(rejections));
      await plane.settled();
    },
    portOf: (listener) => {
      const state = plane.listeners().find(({ name }) => name === listener);
      if (state?.address === undefined) throw new Error(`${listener} is not bound: ${JSON.stringify(state)}`);
      return state.address.port;
    },
    [Symbol.asyncDispose]: () => plane.close(),
  };
};

export interface TestServer extends AsyncDisposable {
  readonly port: number;
  readonly server: Server;
  readonly sockets: Set<Socket>;
}

/** A bare TCP server; what it does with a connection is the test's. */
export const openServer = async (onSocket: (socket: Socket) => void): Promise<TestServer> => {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  return {
    port,
    server,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const typed = "envoy.extensions.filters";

export const hcm = (fields: object = {}): FilterJson => ({
  name: "envoy.filters.network.http_connection_manager",
  typedConfig: any(`${typed}.network.http_connection_manager.v3.HttpConnectionManager`, {
    statPrefix: "test",
    rds: { routeConfigName: "routes", configSource: { ads: {} } },
    httpFilters: [{ name: "envoy.filters.http.router", typedConfig: any(`${typed}.http.router.v3.Router`, {}) }],
    ...fields,
  }),
});

export const tcpProxy = (fields: object): FilterJson => ({
  name: "envoy.filters.network.tcp_proxy",
  typedConfig: any(`${typed}.network.tcp_proxy.v3.TcpProxy`, { statPrefix: "test", ...fields }),
});

export const listener = (name: string, filters: FilterJson[], fields: Partial<ListenerJson> = {}): ResourceChange => ({
  kind: "listener",
  name,
  json: {
    name,
    address: { socketAddress: { address: "127.0.0.1", portValue: 0 } },
    filterChains: [{ filters }],
    ...fields,
  },
});

export const routes = (virtualHosts: VirtualHostJson[], name = "routes"): ResourceChange => {
  const json: RouteConfigurationJson = { name, virtualHosts };
  return { kind: "route", name, json };
};

export const toCluster = (cluster: string, action: object = {}): VirtualHostJson => ({
  name: "all",
  domains: ["*"],
  routes: [{ match: { prefix: "/" }, route: { cluster, ...action } }],
});

export const cluster = (name: string, ports: readonly number[], fields: Partial<ClusterJson> = {}): ResourceChange => ({
  kind: "cluster",
  name,
  json: {
    name,
    type: "STATIC",
    connectTimeout: "1s",
    loadAssignment: {
      clusterName: name,
      endpoints: [
        {
          lbEndpoints: ports.map((portValue) => ({
            endpoint: { address: { socketAddress: { address: "127.0.0.1", portValue } } },
          })),
        },
      ],
    },
    ...fields,
  },
});

export const http2Upstream = {
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any(
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      { explicitHttpConfig: { http2ProtocolOptions: {} } },
    ),
  },
} as const;
