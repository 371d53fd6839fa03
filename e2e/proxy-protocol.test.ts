/** PROXY protocol headers between our sidecar and a real Envoy, each way and in both versions. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startEchoServer } from "@weft/testkit/echo-server";
import { startEnvoy } from "@weft/testkit/envoy";
import { startWeft } from "@weft/testkit/processes";

const any = (name: string, fields: object = {}) => ({
  typedConfig: { "@type": `type.googleapis.com/envoy.extensions.${name}`, ...fields },
});
const at = (portValue: number) => ({ address: { socketAddress: { address: "127.0.0.1", portValue } } });
const to = (name: string, port: number, fields: object = {}) => ({
  name,
  type: "STATIC",
  connectTimeout: "2s",
  loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: at(port) }] }] },
  ...fields,
});
const telling = (version: string) => ({
  transportSocket: {
    name: "envoy.transport_sockets.upstream_proxy_protocol",
    ...any("transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", {
      config: { version },
      transportSocket: {
        name: "envoy.transport_sockets.raw_buffer",
        ...any("transport_sockets.raw_buffer.v3.RawBuffer"),
      },
    }),
  },
});
/** Says to the upstream whose connection it is. */
const seeing = {
  name: "envoy.filters.network.http_connection_manager",
  ...any("filters.network.http_connection_manager.v3.HttpConnectionManager", {
    statPrefix: "seeing",
    routeConfig: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "echo" } }] }],
      requestHeadersToAdd: [
        { header: { key: "x-seen", value: "%DOWNSTREAM_REMOTE_ADDRESS% to %DOWNSTREAM_LOCAL_ADDRESS%" } },
      ],
    },
    httpFilters: [{ name: "envoy.filters.http.router", ...any("filters.http.router.v3.Router") }],
  }),
};
const passing = (cluster: string) => ({
  name: "envoy.filters.network.tcp_proxy",
  ...any("filters.network.tcp_proxy.v3.TcpProxy", { statPrefix: cluster, cluster }),
});
const reading = {
  listenerFilters: [
    {
      name: "envoy.filters.listener.proxy_protocol",
      ...any("filters.listener.proxy_protocol.v3.ProxyProtocol"),
    },
  ],
};

interface Ports {
  readonly seeing: number;
  readonly v1: number;
  readonly v2: number;
}
const newPorts = async (): Promise<Ports> => {
  const port = (): Promise<number> => findFreePort("127.0.0.1", 0);
  return { seeing: await port(), v1: await port(), v2: await port() };
};
/** A listener that reads headers and says what they told, and one per version that writes them for `next`. */
const resources = (own: Ports, next: Ports, echo: number) => ({
  node: { id: "n", cluster: "c" },
  staticResources: {
    listeners: [
      { name: "seeing", ...at(own.seeing), ...reading, filterChains: [{ filters: [seeing] }] },
      { name: "v1", ...at(own.v1), filterChains: [{ filters: [passing("v1")] }] },
      { name: "v2", ...at(own.v2), filterChains: [{ filters: [passing("v2")] }] },
    ],
    clusters: [to("echo", echo), to("v1", next.seeing, telling("V1")), to("v2", next.seeing, telling("V2"))],
  },
});

test("what one tells the other understands, in both versions and both ways", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "weft-proxy-protocol-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const echo = stack.use(await startEchoServer());
  const [ours, theirs] = [await newPorts(), await newPorts()];
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(resources(ours, theirs, echo.port)));
  stack.use(await startEnvoy(resources(theirs, ours, echo.port)));
  const sidecar = stack.use(startWeft(["sidecar", "--bootstrap", file]));
  await sidecar.waitFor(/\bready\b/);
  for (const [who, ports] of [
    ["our sidecar to Envoy", ours],
    ["Envoy to our sidecar", theirs],
  ] as const) {
    for (const port of [ports.v1, ports.v2]) {
      const socket = connect({ host: "127.0.0.1", port }).setEncoding("utf8");
      await once(socket, "connect");
      socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      let answer = "";
      while (!answer.includes('"trailers"')) answer += String((await once(socket, "data"))[0]);
      const expected = `"x-seen":"127.0.0.1:${socket.localPort} to 127.0.0.1:${port}"`;
      assert.ok(answer.includes(expected), `${who}: ${expected} is not in ${answer}`);
      socket.destroy();
    }
  }
});
