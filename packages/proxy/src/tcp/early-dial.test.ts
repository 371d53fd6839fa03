/** A connection made before it was known whether it would be needed is tried again as any other. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { any } from "@weft/xds/resource";
import { cluster, hcm, listener, openPlane, openServer, tcpProxy } from "../runtime/testing/test-plane.ts";

const inspector = (name: string, message: string) => ({
  name: `envoy.filters.listener.${name}`,
  typedConfig: any(`envoy.extensions.filters.listener.${name}.v3.${message}`, {}),
});
const tagged = { filterMetadata: { "envoy.lb": { v: "1" } } };
const tls = {
  name: "tls",
  typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", { commonTlsContext: {} }),
};
const flags = {
  path: "log",
  logFormat: { textFormatSource: { inlineString: "%RESPONSE_FLAGS%\n" } },
};

test("another try is made among the same hosts as the first one", async () => {
  const dialled = Promise.withResolvers<void>();
  let connections = 0;
  await using mute = await openServer((socket) => {
    connections++;
    dialled.resolve();
    socket.resume();
  });
  await using all = openPlane();
  const address = { socketAddress: { address: "127.0.0.1", portValue: mute.port } };
  const accessLog = [{ name: "l", typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", flags) }];
  const raw = tcpProxy({ cluster: "raw", metadataMatch: tagged, maxConnectAttempts: 2, accessLog });
  await all.put(
    cluster("raw", [], {
      ...{ connectTimeout: "0.1s", transportSocket: tls },
      lbSubsetConfig: { fallbackPolicy: "NO_FALLBACK", subsetSelectors: [{ keys: ["v"] }] },
      loadAssignment: {
        clusterName: "raw",
        endpoints: [{ lbEndpoints: [{ endpoint: { address }, metadata: tagged }] }],
      },
    }),
    listener("in", [], {
      listenerFilters: [inspector("tls_inspector", "TlsInspector"), inspector("http_inspector", "HttpInspector")],
      listenerFiltersTimeout: "0s",
      continueOnListenerFiltersTimeout: true,
      filterChains: [
        {
          filterChainMatch: { transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1", "h2c"] },
          filters: [hcm()],
        },
      ],
      defaultFilterChain: { filters: [raw] },
    }),
  );
  const client = connect({ host: "127.0.0.1", port: all.portOf("in") });
  client.on("error", () => {});
  await dialled.promise;
  client.write("neither HTTP nor TLS\r\n");
  client.resume();
  await once(client, "close");
  await all.plane.close();
  assert.deepEqual([connections, all.logLines], [2, ["UF\n"]]);
});
