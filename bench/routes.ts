/** What it costs to find a request's route: among 100 and among 10,000 services, each host with 100 routes. */
import { HeaderList } from "@weft/protocols/http/headers";
import { compileRouteTable } from "@weft/proxy/routing/route-table";
import { median } from "./measure.ts";
import type { BenchOptions } from "./options.ts";

const sizes = [100, 10_000] as const;
const routesPerHost = 100;
const lookups = 20_000;

const virtualHost = (index: number): object => ({
  name: `service-${index}.default.svc.cluster.local:80`,
  domains: [
    `service-${index}.default.svc.cluster.local`,
    `service-${index}`,
    `service-${index}.default`,
    `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
  ],
  routes:
    // One host has them all; the others the one that services have without rules.
    index === 0
      ? Array.from({ length: routesPerHost }, (_, route) => ({
          match: { prefix: `/api-${route}` },
          route: { cluster: `c-${route}` },
        }))
      : [{ match: { prefix: "/" }, route: { cluster: `outbound|80||service-${index}` } }],
});

const tableOf = (services: number) =>
  compileRouteTable(
    {
      name: "80",
      ignorePortInHostMatching: true,
      virtualHosts: Array.from({ length: services }, (_, index) => virtualHost(index)) as never,
    },
    { random: () => 0.5, clock: { nowMs: () => 0, wallMs: () => 0 } } as never,
  );

const downstream = { tls: undefined } as never;
const requestOf = (authority: string, path: string) => {
  const headers = new HeaderList();
  headers.add("user-agent", "bench");
  return { method: "GET", scheme: "http", authority, path, protocol: "", headers };
};

/**
 * The same requests at both sizes, as a workload calls the same few services however many there are: half of them over
 * 50 services, half over the routes of the one host.
 */
const requests = Array.from({ length: 512 }, (_, i) =>
  i % 2 === 0
    ? requestOf(`service-${1 + ((i * 7) % 50)}.default.svc.cluster.local:80`, "/any/path?q=1")
    : requestOf("service-0", `/api-${(i * 31) % routesPerHost}/x`),
);

/** Nanoseconds a look-up. */
const round = (table: ReturnType<typeof tableOf>): number => {
  const from = process.hrtime.bigint();
  for (let i = 0; i < lookups; i++) {
    const request = requests[i & 511];
    if (request === undefined || table.match(request, downstream) === undefined) throw new Error("no route");
  }
  return Number(process.hrtime.bigint() - from) / lookups;
};

/** Prints the cost at both sizes, and their ratio. */
export const benchRoutes = async ({ rounds, json }: BenchOptions): Promise<void> => {
  const tables = sizes.map((services) => ({ services, table: tableOf(services), taken: [] as number[] }));
  for (const { table } of tables) round(table);
  for (let i = 0; i < rounds * 4; i++) for (const { table, taken } of tables) taken.push(round(table));
  const rows = tables.map(({ services, taken }) => ({ services, nanoseconds: Math.round(median(taken)) }));
  const [few, many] = rows;
  const ratio = (many?.nanoseconds ?? 0) / (few?.nanoseconds ?? 1);
  process.stdout.write(
    json
      ? `${JSON.stringify({ rows, ratio }, null, 2)}\n`
      : `| services | ns a request |\n|---|---|\n${rows.map(({ services, nanoseconds }) => `| ${services} | ${nanoseconds} |\n`).join("")}ratio ${ratio.toFixed(2)}\n`,
  );
};
