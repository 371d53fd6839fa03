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

/** Text as it comes from a socket: new for every request, so that its hash has to be taken again. */
const fresh = (bytes: Buffer): string => bytes.toString("latin1");
const fullName = (index: number): Buffer => Buffer.from(`service-${index}.default.svc.cluster.local:80`);

interface Workload {
  readonly name: string;
  readonly authorities: (services: number) => readonly Buffer[];
}

/** A workload calls the same few services however many there are; one that calls all in turn finds none in the caches. */
const workloads: readonly Workload[] = [
  { name: "50 services", authorities: () => Array.from({ length: 50 }, (_, i) => fullName(1 + i)) },
  { name: "the host with 100 routes", authorities: () => [Buffer.from("service-0")] },
  {
    name: "all services in turn",
    authorities: (services) => Array.from({ length: services }, (_, i) => fullName((i * 7919) % services)),
  },
];
const paths = Array.from({ length: routesPerHost }, (_, i) => Buffer.from(`/api-${(i * 31) % routesPerHost}/x?q=1`));

interface Subject {
  readonly services: number;
  readonly table: ReturnType<typeof tableOf>;
  readonly authorities: readonly Buffer[];
  readonly taken: number[];
}

/** Nanoseconds a look-up, with the making of the texts. */
const round = ({ table, authorities }: Subject): number => {
  const request = requestOf("", "");
  const from = process.hrtime.bigint();
  for (let i = 0; i < lookups; i++) {
    request.authority = fresh(authorities[i % authorities.length] as Buffer);
    request.path = fresh(paths[i % routesPerHost] as Buffer);
    if (table.match(request, downstream) === undefined) throw new Error("no route");
  }
  return Number(process.hrtime.bigint() - from) / lookups;
};

/** Prints the cost at both sizes, and their ratio, for each workload. */
export const benchRoutes = async ({ rounds, json }: BenchOptions): Promise<void> => {
  const tables = sizes.map((services) => ({ services, table: tableOf(services) }));
  const rows = workloads.map(({ name, authorities }) => {
    const subjects = tables.map((each): Subject => ({ ...each, authorities: authorities(each.services), taken: [] }));
    for (const subject of subjects) round(subject);
    for (let i = 0; i < rounds * 4; i++) for (const subject of subjects) subject.taken.push(round(subject));
    const [few = Number.NaN, many = Number.NaN] = subjects.map(({ taken }) => Math.round(median(taken)));
    return { workload: name, few, many, ratio: many / few };
  });
  const lines = rows.map(
    ({ workload, few, many, ratio }) => `| ${workload} | ${few} | ${many} | ${ratio.toFixed(2)} |\n`,
  );
  const head = "| ns a request | 100 services | 10,000 services | ratio |\n|---|---|---|---|\n";
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : head + lines.join(""));
};
