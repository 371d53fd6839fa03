/** Real sidecars that serve HTTP/2 in every way it comes, with applications of both versions behind them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { createTestCa } from "@weft/proxy/identity/testing/test-ca";
import { type Program, type ProgramOptions, startWeft } from "@weft/testkit/processes";

const type = (name: string): string => `type.googleapis.com/${name}`;
const filters = "envoy.extensions.filters";
const loopback = (port: number) => ({ socketAddress: { address: "127.0.0.1", portValue: port } });
const typed = (name: string, message: string, fields: object = {}) => ({
  name,
  typedConfig: { "@type": type(message), ...fields },
});

const hour = 3_600_000;
const ca = createTestCa(Date.now());
/** A workload's certificate, as a TLS context holds it. */
const certificateOf = (account: string) => {
  const { keyPem, chain } = ca.issue({
    notBeforeMs: Date.now() - hour,
    notAfterMs: Date.now() + hour,
    uri: `spiffe://cluster.local/ns/default/sa/${account}`,
  });
  return { certificateChain: { inlineString: chain.join("") }, privateKey: { inlineString: keyPem } };
};
const tlsSocket = (side: "Downstream" | "Upstream", fields: object) =>
  typed("envoy.transport_sockets.tls", `envoy.extensions.transport_sockets.tls.v3.${side}TlsContext`, fields);
const validationContext = { trustedCa: { inlineString: ca.rootPem } };

/** A listener that serves HTTP by `routes`. */
export interface HttpListener {
  readonly name: string;
  readonly port: number;
  readonly routes: readonly object[];
  /** `server`: any client; `mutual`: with a certificate of the mesh only. */
  readonly tls?: "server" | "mutual";
  readonly hcm?: object;
  /** Filters before the router. */
  readonly httpFilters?: readonly object[];
}

export interface HttpCluster {
  readonly name: string;
  readonly port: number;
  readonly http2?: boolean;
  readonly mutualTls?: boolean;
}

export const httpFilter = (name: string, message: string, fields: object = {}): object =>
  typed(`envoy.filters.http.${name}`, `${filters}.http.${name}.v3.${message}`, fields);

const listenerJson = ({ name, port, routes, tls, hcm = {}, httpFilters = [] }: HttpListener): object => ({
  name,
  address: loopback(port),
  ...(tls === undefined
    ? {}
    : {
        listenerFilters: [
          typed("envoy.filters.listener.tls_inspector", `${filters}.listener.tls_inspector.v3.TlsInspector`),
        ],
      }),
  filterChains: [
    {
      filters: [
        typed(
          "envoy.filters.network.http_connection_manager",
          `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
          {
            statPrefix: name,
            upgradeConfigs: [{ upgradeType: "websocket" }],
            routeConfig: { name, virtualHosts: [{ name, domains: ["*"], routes }] },
            httpFilters: [...httpFilters, httpFilter("router", "Router")],
            ...hcm,
          },
        ),
      ],
      ...(tls === undefined
        ? {}
        : {
            transportSocket: tlsSocket("Downstream", {
              requireClientCertificate: tls === "mutual",
              commonTlsContext: {
                alpnProtocols: ["h2", "http/1.1"],
                tlsCertificates: [certificateOf(name)],
                ...(tls === "mutual" ? { validationContext } : {}),
              },
            }),
          }),
    },
  ],
});

const clusterJson = ({ name, port, http2, mutualTls }: HttpCluster): object => ({
  name,
  type: "STATIC",
  connectTimeout: "2s",
  ...(http2
    ? {
        typedExtensionProtocolOptions: {
          "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": type("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
            explicitHttpConfig: { http2ProtocolOptions: {} },
          },
        },
      }
    : {}),
  ...(mutualTls
    ? {
        transportSocket: tlsSocket("Upstream", {
          sni: "mesh.example",
          commonTlsContext: {
            alpnProtocols: ["h2"],
            tlsCertificates: [certificateOf(name)],
            validationContext: {
              ...validationContext,
              matchTypedSubjectAltNames: [{ sanType: "URI", matcher: { prefix: "spiffe://cluster.local/" } }],
            },
          },
        }),
      }
    : {}),
  loadAssignment: {
    clusterName: name,
    endpoints: [{ lbEndpoints: [{ endpoint: { address: loopback(port) } }] }],
  },
});

export interface RunningSidecar extends AsyncDisposable {
  readonly program: Program;
  readonly admin: string;
  /** The value of a statistic; 0 for one that is not there. */
  stat(name: string): Promise<number>;
  rssBytes(): Promise<number>;
}

export const routeTo = (cluster: string, prefix = "/", fields: object = {}): object => ({
  match: { prefix },
  route: { cluster, timeout: "0s", ...fields },
});

export const freePort = (): Promise<number> => findFreePort("127.0.0.1", 0);

/** Starts `weft sidecar` with these listeners and clusters and waits until it is ready. */
export const startHttpSidecar = async (
  listeners: readonly HttpListener[],
  clusters: readonly HttpCluster[],
  options: ProgramOptions = {},
): Promise<RunningSidecar> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-http2-"));
  const adminPort = await freePort();
  const file = join(folder, "bootstrap.json");
  const bootstrap = {
    node: { id: "http2", cluster: "http2" },
    admin: { address: loopback(adminPort) },
    staticResources: { listeners: listeners.map(listenerJson), clusters: clusters.map(clusterJson) },
  };
  writeFileSync(file, JSON.stringify(bootstrap));
  const program = startWeft(["sidecar", "--bootstrap", file], options);
  const admin = `127.0.0.1:${adminPort}`;
  const stop = async (): Promise<void> => {
    await program[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  };
  await program.waitFor(/\bready\b/).catch(async (error) => {
    await stop();
    throw error;
  });
  return {
    program,
    admin,
    async stat(name) {
      const text = await (await fetch(`http://${admin}/stats`)).text();
      const line = text.split("\n").find((each) => each.startsWith(`${name}: `));
      return line === undefined ? 0 : Number(line.slice(name.length + 2));
    },
    async rssBytes() {
      const memory = (await (await fetch(`http://${admin}/memory`)).json()) as { total_physical_bytes: string };
      return Number(memory.total_physical_bytes);
    },
    [Symbol.asyncDispose]: stop,
  };
};
