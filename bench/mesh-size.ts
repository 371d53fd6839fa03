/** Memory of one sidecar whose workload calls 20 services, in a mesh of 20 and in one of 10,000. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { median } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams } from "./peers.ts";
import { pin, rssMbOf, systemCore } from "./process-usage.ts";

const used = 20;
const callsEach = 50;
/** Garbage of the start is collected when there is nothing to do. */
const settleMs = 8_000;
const startsMax = 4;

const serviceEntry = (name: string, port: number): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec:
  hosts: [${name}.mesh.example]
  location: MESH_INTERNAL
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: ${port} } }, { address: 127.0.0.2, ports: { http: ${port} } }]
`;

const mesh = (services: number, port: number): string =>
  Array.from({ length: services }, (_, at) => serviceEntry(`service-${at}`, port)).join("---\n");

/** Its configuration comes when it runs: that many services take longer to read than a start may. */
const openMesh = async (services: number, port: number, above: string): Promise<TestControlPlane> => {
  const cp = await startControlPlane({ args: ["--on-demand-above", above, "--log-level", "error"] });
  const file = join(cp.configFolder, "mesh.yaml");
  writeFileSync(`${file}.new`, mesh(services, port));
  renameSync(`${file}.new`, file);
  const count = async (): Promise<number> => {
    const text = await (await fetch(`http://${cp.monitoring}/metrics`)).text();
    return Number(/^pilot_services (\d+)/m.exec(text)?.[1] ?? 0);
  };
  while ((await count()) < services) await sleep(500);
  // The first one waits until everything is encoded.
  for (let left = startsMax; left > 0; left--)
    try {
      await using _first = await startSidecar(cp, { name: "caller" });
      return cp;
    } catch (error) {
      if (left === 1) throw error;
    }
  return cp;
};

interface Row {
  readonly services: number;
  readonly form: string;
  readonly rssMb: number;
  readonly firstCallMs: number;
}

const measure = async (cp: TestControlPlane, services: number, form: string): Promise<Row> => {
  await using sidecar = await startSidecar(cp, { name: "caller" });
  pin(sidecar.program.pid, systemCore);
  const step = services / used;
  const firstMs: number[] = [];
  for (let round = 0; round < callsEach; round++)
    for (let at = 0; at < used; at++) {
      const startMs = performance.now();
      const { status } = await callHttp(sidecar.outbound, { host: `service-${at * step}.mesh.example` });
      if (status !== 200) throw new Error(`service-${at * step} answered ${status}`);
      if (round === 0) firstMs.push(performance.now() - startMs);
    }
  await sleep(settleMs);
  return { services, form, rssMb: rssMbOf(sidecar.program.pid), firstCallMs: median(firstMs) };
};

/** `weft cp`'s own choice; for comparison, a tenth of the services and all of them given beforehand. */
const cases: readonly (readonly [form: string, above: string, services: number])[] = [
  ["by default", "1000", used],
  ["by default", "1000", 10_000],
  ["given everything", "off", 1_000],
];

export const benchMeshSize = async ({ rounds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  await using stack = new AsyncDisposableStack();
  const [port = 0] = await startUpstreams(workshop, "http1");
  const planes: TestControlPlane[] = [];
  for (const [, above, services] of cases) planes.push(stack.use(await openMesh(services, port, above)));
  const rows: Row[] = [];
  for (let round = 0; round < rounds; round++)
    for (const [at, [form, , services]] of cases.entries())
      rows.push(await measure(planes[at] as TestControlPlane, services, form));
  if (json) return void process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
  process.stdout.write(
    "| form | services | RSS MB | ÷ mesh of 20 | first call of a service, ms |\n|---|---|---|---|---|\n",
  );
  const of = (form: string, size: number): Row[] => rows.filter((row) => row.form === form && row.services === size);
  const base = median(of("by default", used).map(({ rssMb }) => rssMb));
  for (const [form, , services] of cases) {
    const rss = median(of(form, services).map(({ rssMb }) => rssMb));
    const first = median(of(form, services).map(({ firstCallMs }) => firstCallMs));
    process.stdout.write(
      `| ${form} | ${services} | ${rss.toFixed(1)} | ${(rss / base).toFixed(2)} | ${first.toFixed(1)} |\n`,
    );
  }
};
