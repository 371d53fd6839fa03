import { join } from "node:path";
import { fileAccessLog, httpBootstrap, istioMetrics } from "./bootstrap.ts";
import { runWrk, untilServes } from "./load.ts";
import { compare, printRows, type Row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams } from "./peers.ts";
import { startCaddy, startHaproxy, startNginxProxy, startProxies, startProxy } from "./proxies.ts";
import { createBenchTls } from "./tls.ts";

/** HTTP/1.1 to HTTP/1.1, small answers: 64 and 256 keep-alive connections, telemetry off and on, and TLS in. */
export const benchHttp1 = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const proxies = await startProxies(workshop, (listenPort, adminPort) =>
    httpBootstrap({ listenPort, adminPort, upstreams }),
  );
  const metered = await startProxy(workshop, {
    proxy: "weft",
    name: "weft, Istio metrics",
    bootstrap: (listenPort, adminPort) => httpBootstrap({ listenPort, adminPort, upstreams, filters: [istioMetrics] }),
  });
  const logged = await startProxy(workshop, {
    proxy: "weft",
    name: "weft, Istio metrics, access log",
    bootstrap: (listenPort, adminPort) =>
      httpBootstrap({
        listenPort,
        adminPort,
        upstreams,
        filters: [istioMetrics],
        accessLog: [fileAccessLog(join(workshop.folder, "access.log"))],
      }),
  });
  const others = [
    await startNginxProxy(workshop, upstreams),
    await startHaproxy(workshop, upstreams),
    await startCaddy(workshop, upstreams),
  ];
  const rows: Row[] = [];
  for (const connections of [64, 256]) {
    const bench = `HTTP/1.1, ${connections} connections`;
    const systems = connections === 64 ? [...proxies, metered, logged, ...others] : [...proxies, metered, ...others];
    rows.push(
      ...compare(bench, systems, rounds, ({ address }) => runWrk(`http://${address}/items`, connections, seconds)),
    );
  }
  const { server } = createBenchTls();
  const overTls = await startProxies(
    workshop,
    (listenPort, adminPort) => httpBootstrap({ listenPort, adminPort, upstreams, downstreamTls: server }),
    (address) => untilServes(`https://${address}/items`, { http1: true }),
  );
  rows.push(
    ...compare("HTTP/1.1 over TLS 1.3, 64 connections", overTls, rounds, ({ address }) =>
      runWrk(`https://${address}/items`, 64, seconds),
    ),
  );
  printRows(rows, json);
};
