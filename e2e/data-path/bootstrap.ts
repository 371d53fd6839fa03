/** A bootstrap with a listener for each protocol, each to its own port of the application. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Program, type ProgramOptions, startProgram, weftEntry } from "@weft/testkit/processes";
import type { App } from "./app.ts";

const type = (name: string): string => `type.googleapis.com/envoy.${name}`;
const at = (port: number): object => ({ socket_address: { address: "127.0.0.1", port_value: port } });

const hcm = (cluster: string): object => ({
  name: "hcm",
  typed_config: {
    "@type": type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: cluster,
    upgrade_configs: [{ upgrade_type: "websocket" }],
    stream_idle_timeout: "0s",
    http_filters: [{ name: "router", typed_config: { "@type": type("extensions.filters.http.router.v3.Router") } }],
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster, timeout: "0s" } }] },
      ],
    },
  },
});

const tcpProxy = (cluster: string): object => ({
  name: "tcp",
  typed_config: {
    "@type": type("extensions.filters.network.tcp_proxy.v3.TcpProxy"),
    stat_prefix: cluster,
    cluster,
  },
});

const cluster = (name: string, port: number, http2: boolean): object => ({
  name,
  type: "STATIC",
  connect_timeout: "2s",
  circuit_breakers: { thresholds: [{ max_connections: 20_000, max_requests: 20_000, max_pending_requests: 20_000 }] },
  ...(http2
    ? {
        typed_extension_protocol_options: {
          "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": type("extensions.upstreams.http.v3.HttpProtocolOptions"),
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
      }
    : {}),
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port) } }] }] },
});

export interface Proxy extends AsyncDisposable {
  readonly program: Program;
  readonly admin: string;
  readonly ports: { readonly http1: number; readonly http2: number; readonly tcp: number };
}

export interface ProxyOptions {
  readonly args?: readonly string[];
  readonly openFiles?: number;
  /** How the program is started. */
  readonly program?: ProgramOptions;
}

/** Starts `weft sidecar` before the application; ports are the system's to choose. */
export const startProxy = async (
  app: App,
  { args = [], openFiles, program: options }: ProxyOptions = {},
): Promise<Proxy> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-data-path-"));
  const listener = (name: string, filter: object): object => ({
    name,
    address: at(0),
    filter_chains: [{ filters: [filter] }],
  });
  const bootstrap = {
    node: { id: "data-path", cluster: "data-path" },
    admin: { address: at(0) },
    static_resources: {
      listeners: [listener("http1", hcm("http1")), listener("http2", hcm("http2")), listener("tcp", tcpProxy("tcp"))],
      clusters: [
        cluster("http1", app.ports.http1, false),
        cluster("http2", app.ports.http2, true),
        cluster("tcp", app.ports.tcp, false),
      ],
    },
  };
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(bootstrap));
  const line = ["--disable-warning=ExperimentalWarning", weftEntry, "sidecar", "-c", file, ...args];
  const program =
    openFiles === undefined
      ? startProgram(process.execPath, line, options)
      : startProgram("sh", ["-c", `ulimit -n ${openFiles}; exec "$0" "$@"`, process.execPath, ...line], options);
  const stop = async (): Promise<void> => {
    await program[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  };
  const ready = await program.waitFor(/^ready admin=(\S+).* listeners=(\S+)/).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const portOf = (name: string): number =>
    Number(new RegExp(`${name}=127\\.0\\.0\\.1:(\\d+)`).exec(ready[2] ?? "")?.[1]);
  return {
    program,
    admin: ready[1] ?? "",
    ports: { http1: portOf("http1"), http2: portOf("http2"), tcp: portOf("tcp") },
    [Symbol.asyncDispose]: stop,
  };
};
