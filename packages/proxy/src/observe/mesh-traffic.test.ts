import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { any } from "@weft/xds/resource";
import { appUri, openMesh, webUri } from "../runtime/testing/test-mesh.ts";
import {
  cluster,
  hcm,
  listener,
  openPlane,
  openServer,
  type TestPlane,
  tcpProxy,
} from "../runtime/testing/test-plane.ts";

const stats: FilterJson = { name: "istio.stats", typedConfig: any("stats.PluginConfig", {}) };
const router = {
  name: "envoy.filters.http.router",
  typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}),
};
const log = (format: string) => ({
  accessLog: [
    {
      name: "log",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path: "/dev/stdout",
        logFormat: { textFormatSource: { inlineString: `${format}\n` } },
      },
    },
  ],
});
const upstreamFormat = "%UPSTREAM_PEER_URI_SAN% %UPSTREAM_LOCAL_URI_SAN% %UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS%";

interface Metric {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const seriesOf = ({ stats: store }: TestPlane, name: string): Metric[] =>
  [...store.series()].flatMap((series) =>
    series.name === name && series.type === "counter"
      ? [{ labels: Object.fromEntries(series.labels), value: series.value }]
      : [],
  );

const only = (plane: TestPlane, name: string): Metric => {
  const all = seriesOf(plane, name);
  assert.equal(all.length, 1, `${name}: ${JSON.stringify(all)}`);
  return all[0] ?? assert.fail();
};

test("both sides of an HTTP request count it with both principals, and the log tells the upstream's identities", async () => {
  await using app = await openServer((socket) =>
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
  );
  const filters = (): FilterJson[] => [hcm({ httpFilters: [stats, router], ...log(upstreamFormat) })];
  await using mesh = await openMesh({ appPort: app.port, outFilters: filters(), inFilters: filters() });
  const asked = request({ host: "127.0.0.1", port: mesh.port, agent: false });
  asked.end();
  const [response] = (await once(asked, "response")) as [import("node:http").IncomingMessage];
  response.resume();
  await once(response, "end");
  const source = only(mesh.client, "istio_requests_total");
  assert.deepEqual([source.labels.reporter, source.labels.connection_security_policy], ["source", "unknown"]);
  assert.equal(source.labels.source_principal, webUri);
  assert.equal(source.labels.destination_principal, appUri);
  const destination = only(mesh.server, "istio_requests_total");
  assert.deepEqual(
    [destination.labels.reporter, destination.labels.connection_security_policy],
    ["destination", "mutual_tls"],
  );
  assert.equal(destination.labels.source_principal, webUri);
  assert.equal(destination.labels.destination_principal, appUri);
  const at = mesh.server.portOf("in");
  assert.match(mesh.client.logLines[0] ?? "", new RegExp(`^${appUri} ${webUri} 127.0.0.1:${at} 127.0.0.1:\\d+\n$`));
  assert.match(mesh.server.logLines[0] ?? "", new RegExp(`^- - 127.0.0.1:${app.port} 127.0.0.1:\\d+\n$`));
});

const tcpNames = ["connections_opened", "connections_closed", "received_bytes", "sent_bytes"];

test("a TCP connection is counted on both sides with its bytes, principals and security", async () => {
  await using app = await openServer((socket) => {
    socket.once("data", () => socket.end("pong!"));
  });
  const chain = (name: string): FilterJson[] => [stats, tcpProxy({ cluster: name, ...log(upstreamFormat) })];
  await using mesh = await openMesh({ appPort: app.port, outFilters: chain("outbound"), inFilters: chain("inbound") });
  const socket = connect({ host: "127.0.0.1", port: mesh.port });
  socket.write("ping");
  const [bytes] = await once(socket, "data");
  assert.equal(String(bytes), "pong!");
  socket.destroy();
  while (mesh.server.logLines.length === 0 || mesh.client.logLines.length === 0) await new Promise(setImmediate);
  for (const plane of [mesh.client, mesh.server]) {
    const values = tcpNames.map((name) => only(plane, `istio_tcp_${name}_total`));
    assert.deepEqual(
      values.map(({ value }) => value),
      [1, 1, 4, 5],
    );
    const inbound = plane === mesh.server;
    for (const { labels } of values) {
      assert.deepEqual(
        [labels.reporter, labels.source_principal, labels.destination_principal, labels.request_protocol],
        [inbound ? "destination" : "source", webUri, appUri, "tcp"],
      );
      assert.equal(labels.connection_security_policy, inbound ? "mutual_tls" : "unknown");
    }
  }
  assert.match(mesh.client.logLines[0] ?? "", new RegExp(`^${appUri} ${webUri} `));
});

test("a TCP connection in plaintext has no principals and no security", async () => {
  await using app = await openServer((socket) => socket.end("x"));
  await using all = openPlane();
  await all.put(
    cluster("app", [app.port]),
    listener("in", [stats, tcpProxy({ cluster: "app", ...log("%RESPONSE_FLAGS%") })], { trafficDirection: "INBOUND" }),
  );
  const socket = connect({ host: "127.0.0.1", port: all.portOf("in") });
  socket.resume();
  await once(socket, "close");
  while (all.logLines.length === 0) await new Promise(setImmediate);
  const { labels } = only(all, "istio_tcp_connections_opened_total");
  assert.deepEqual(
    [labels.source_principal, labels.destination_principal, labels.connection_security_policy],
    ["unknown", "unknown", "none"],
  );
});

test("a TCP connection whose upstream cannot be reached is opened and closed once, with its flag", async () => {
  const gone = await openServer(() => {});
  const { port } = gone;
  await gone[Symbol.asyncDispose]();
  await using all = openPlane();
  await all.put(
    cluster("app", [port]),
    listener("out", [stats, tcpProxy({ cluster: "app", ...log("-") })], { trafficDirection: "OUTBOUND" }),
  );
  const socket = connect({ host: "127.0.0.1", port: all.portOf("out") });
  socket.on("error", () => {});
  await once(socket, "close");
  while (all.logLines.length === 0) await new Promise(setImmediate);
  for (const name of tcpNames.slice(0, 2)) {
    const { labels, value } = only(all, `istio_tcp_${name}_total`);
    assert.deepEqual([labels.response_flags, value], ["UF", 1]);
  }
});
