import { join } from "node:path";
import { startProgram } from "@weft/testkit/processes";
import { httpBootstrap } from "./bootstrap.ts";
import { runH2load } from "./load.ts";
import { compare, printRows, type Row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams } from "./peers.ts";
import { loadCore, pin } from "./process-usage.ts";
import { startProxies } from "./proxies.ts";

const readers = 100;
/** Ten clients that together send a thousand requests a second. */
const thousandPerSecond = { clients: 10, streams: 1, rate: 100, http1: true } as const;

/** What a thousand requests a second see of others that hardly read 100 MB each: latency and memory, without and with them. */
export const benchSlowReaders = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const systems = await startProxies(workshop, (listenPort, adminPort) =>
    httpBootstrap({ listenPort, adminPort, upstreams }),
  );
  const measure = (bench: string): readonly Row[] =>
    compare(bench, systems, rounds, ({ address }) =>
      runH2load(`http://${address}/items`, { ...thousandPerSecond, requests: 1000 * seconds }),
    );
  const rows: Row[] = [...measure("1,000 requests/s alone")];
  for (const { address } of systems) {
    const holder = workshop.own(
      startProgram(process.execPath, [join(import.meta.dirname, "load/stalled.ts"), address, "/huge", String(readers)]),
    );
    pin(holder.pid, loadCore);
    await holder.waitFor(/^stalled/, 60_000);
  }
  rows.push(...measure(`beside ${readers} slow readers of 100 MB`));
  printRows(rows, json);
};
