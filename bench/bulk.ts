import { httpBootstrap, tcpBootstrap } from "./bootstrap.ts";
import { runWrk } from "./load.ts";
import { compare, perGigabyte, printRows, type Row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams } from "./peers.ts";
import { startHaproxy, startNginxProxy, startProxies } from "./proxies.ts";

/** Bodies of 1 MB over HTTP/1.1 and over raw TCP: CPU per gigabyte. */
export const benchBulk = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const http = await startProxies(workshop, (listenPort, adminPort) =>
    httpBootstrap({ listenPort, adminPort, upstreams }),
  );
  const others = [await startNginxProxy(workshop, upstreams), await startHaproxy(workshop, upstreams)];
  const tcp = await startProxies(workshop, (listenPort, adminPort) =>
    tcpBootstrap({ listenPort, adminPort, upstreams }),
  );
  const rows: Row[] = [];
  for (const [bench, systems] of [
    ["HTTP/1.1, bodies of 1 MB, 16 connections", [...http, ...others]],
    ["raw TCP, 16 connections", tcp],
  ] as const) {
    rows.push(
      ...compare(bench, systems, rounds, ({ address }) =>
        runWrk(`http://${address}/big`, 16, seconds, { count: "bytes" }),
      ),
    );
  }
  printRows(rows, json, perGigabyte);
};
