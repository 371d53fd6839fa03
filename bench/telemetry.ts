import { join } from "node:path";
import { fileAccessLog, httpBootstrap, istioMetrics } from "./bootstrap.ts";
import { runWrk } from "./load.ts";
import { compare, printRows, type System } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams } from "./peers.ts";
import { type ProxyName, startProxy } from "./proxies.ts";

/** A JSON log with what Istio's has in it, nearly. */
const jsonFormat = {
  start_time: "%START_TIME%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  protocol: "%PROTOCOL%",
  response_code: "%RESPONSE_CODE%",
  response_flags: "%RESPONSE_FLAGS%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  duration: "%DURATION%",
  upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
  user_agent: "%REQ(USER-AGENT)%",
  request_id: "%REQ(X-REQUEST-ID)%",
  authority: "%REQ(:AUTHORITY)%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_cluster: "%UPSTREAM_CLUSTER%",
  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
  route_name: "%ROUTE_NAME%",
};

/** What observing costs: HTTP/1.1, 64 connections, with nothing, metrics, a log of either form, and metrics and log. */
export const benchTelemetry = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const text = fileAccessLog(join(workshop.folder, "text.log"));
  const asJson = {
    name: "envoy.access_loggers.file",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      path: join(workshop.folder, "json.log"),
      logFormat: { jsonFormat },
    },
  };
  const start = (proxy: ProxyName, name: string, shape: object): Promise<System> =>
    startProxy(workshop, {
      proxy,
      name,
      bootstrap: (listenPort, adminPort) => httpBootstrap({ listenPort, adminPort, upstreams, ...shape }),
    });
  const systems = [
    await start("weft", "weft", {}),
    await start("weft", "weft, metrics", { filters: [istioMetrics] }),
    await start("weft", "weft, text log", { accessLog: [text] }),
    await start("weft", "weft, JSON log", { accessLog: [asJson] }),
    await start("weft", "weft, metrics, text log", { filters: [istioMetrics], accessLog: [text] }),
    await start("envoy", "envoy", {}),
    await start("envoy", "envoy, text log", { accessLog: [text] }),
    await start("envoy", "envoy, JSON log", { accessLog: [asJson] }),
  ];
  const rows = compare("telemetry, HTTP/1.1, 64 connections", systems, rounds, ({ address }) =>
    runWrk(`http://${address}/items`, 64, seconds),
  );
  printRows(rows, json);
};
