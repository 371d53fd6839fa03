import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { httpManager, staticBootstrap, tcpAddress, upstreamCluster } from "./bootstrap.ts";
import { runWrk } from "./load.ts";
import { compare, printRows, type Row, type System } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { answers, openWorkshop, startUpstreams } from "./peers.ts";
import { bothProxies, startProxy } from "./proxies.ts";

interface Scale {
  readonly name: string;
  readonly listeners: number;
  /** Virtual hosts × routes in each. */
  readonly hosts: number;
  readonly routes: number;
}

const small: Scale = { name: "1 listener × 10 routes", listeners: 1, hosts: 1, routes: 10 };
const large: Scale = { name: "1,000 listeners × 10,000 routes", listeners: 1_000, hosts: 100, routes: 100 };

const routeConfig = ({ hosts, routes }: Scale): object => ({
  name: "bench",
  virtualHosts: Array.from({ length: hosts }, (_, host) => ({
    name: `host-${host}`,
    domains: host === hosts - 1 ? ["*"] : [`service-${host}.example`],
    routes: Array.from({ length: routes }, (_each, route) => ({
      match: { prefix: route === routes - 1 ? "/" : `/part-${route}/` },
      route: { cluster: "upstream", timeout: "15s" },
    })),
  })),
});

/** Every listener has an address of its own in 127.0.0.0/8 and takes its routes from one file. */
const bootstrap = (
  scale: Scale,
  file: string,
  ports: { listen: number; admin: number },
  upstreams: readonly number[],
) =>
  staticBootstrap(
    ports.admin,
    Array.from({ length: scale.listeners }, (_, at) => ({
      name: `listener-${at}`,
      address: {
        socketAddress: { ...tcpAddress(ports.listen).socketAddress, address: `127.0.${at >> 8}.${(at & 255) + 1}` },
      },
      filterChains: [
        {
          filters: [
            httpManager({
              rds: {
                routeConfigName: "bench",
                configSource: { pathConfigSource: { path: file }, resourceApiVersion: "V3" },
              },
            }),
          ],
        },
      ],
    })).filter((_, at) => (at & 255) !== 255),
    [upstreamCluster(upstreams)],
  );

/** Cost of a request that takes the last route, with few and with many listeners and routes. */
export const benchScale = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const rows: Row[] = [];
  for (const scale of [small, large]) {
    const file = join(workshop.folder, `routes-${scale.listeners}.json`);
    const type = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    writeFileSync(file, JSON.stringify({ versionInfo: "1", resources: [{ "@type": type, ...routeConfig(scale) }] }));
    const systems: System[] = [];
    for (const proxy of bothProxies) {
      systems.push(
        await startProxy(
          workshop,
          {
            proxy,
            name: proxy,
            bootstrap: (listen, admin) => bootstrap(scale, file, { listen, admin }, upstreams),
          },
          answers,
        ),
      );
    }
    rows.push(...compare(scale.name, systems, rounds, ({ address }) => runWrk(`http://${address}/items`, 64, seconds)));
  }
  const cost = (bench: string): number =>
    rows.find((row) => row.bench === bench && row.system === "weft")?.cpuPerRequest ?? Number.NaN;
  printRows(rows, json);
  if (!json) process.stdout.write(`\nweft, large ÷ small: ${(cost(large.name) / cost(small.name)).toFixed(2)}\n`);
};
