import { httpBootstrap } from "./bootstrap.ts";
import { runH2load, runWrk } from "./load.ts";
import { compare, printRows, type Row, type System } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams, type Workshop } from "./peers.ts";
import { bothProxies, type ProxyName, startProxy } from "./proxies.ts";
import { createBenchTls } from "./tls.ts";

const tls = createBenchTls();
const nothing = async (): Promise<void> => undefined;

/** A client's and a server's sidecar with mTLS between them; the pair is one system. */
const startPair = async (workshop: Workshop, proxy: ProxyName, upstreams: readonly number[]): Promise<System> => {
  const server = await startProxy(
    workshop,
    {
      proxy,
      name: `${proxy} server`,
      bootstrap: (listenPort, adminPort) =>
        httpBootstrap({ listenPort, adminPort, upstreams, downstreamTls: tls.mutualServer }),
    },
    nothing,
  );
  const inbound = Number(server.address.split(":")[1]);
  const client = await startProxy(workshop, {
    proxy,
    name: `${proxy} client`,
    bootstrap: (listenPort, adminPort) =>
      httpBootstrap({ listenPort, adminPort, upstreams: [inbound], upstreamTls: tls.mutualClient }),
  });
  return { name: proxy, pids: [...client.pids, ...server.pids], address: client.address };
};

/** Ten clients that together send a thousand requests a second. */
const thousandPerSecond = { clients: 10, streams: 1, rate: 100, http1: true } as const;

/** A pair of sidecars with mTLS between them: cost under full load, and the latency it adds at 1,000 requests a second. */
export const benchPair = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const systems: System[] = [];
  for (const proxy of bothProxies) systems.push(await startPair(workshop, proxy, upstreams));
  const rows: Row[] = [
    ...compare("mTLS pair, HTTP/1.1, 64 connections", systems, rounds, ({ address }) =>
      runWrk(`http://${address}/items`, 64, seconds),
    ),
  ];
  const direct: System = { name: "no proxy", pids: [], address: `127.0.0.1:${upstreams[0] ?? 0}` };
  rows.push(
    ...compare("mTLS pair, 1,000 requests/s", [...systems, direct], rounds, ({ address }) =>
      runH2load(`http://${address}/items`, { ...thousandPerSecond, requests: 1000 * seconds }),
    ),
  );
  printRows(rows, json);
};
