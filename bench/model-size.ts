import { setTimeout as delay } from "node:timers/promises";
import { type AdsLoad, startAdsLoad } from "./ads-load.ts";
import { clustersType, endpointNames, listenersType, startWeftMesh, type WeftMesh } from "./control-planes.ts";
import { median } from "./measure.ts";
import { openFullStream } from "./new-service.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop } from "./peers.ts";
import { exactCpuMicrosOf, rssMbOf } from "./process-usage.ts";

interface Row {
  readonly case: string;
  readonly rssMb: number;
  readonly cpuPerChange: number;
}

const services = 10_000;
const each = 10;
const changes = 100;
const settleMs = 10_000;
const newServicesCount = 20;
/** Until what changes run through is compiled. */
const warmUpRounds = 8;
const names = endpointNames(services);

/** CPU of one change among `changes`, one after another, on as many services. */
const perChange = async (mesh: WeftMesh, load: AdsLoad, weight: number): Promise<number> => {
  const before = exactCpuMicrosOf(mesh.pid);
  for (let at = 0; at < changes; at++) {
    const { lost } = await load.change({ request: mesh.change, service: at * 97, weight });
    if (lost > 0) throw new Error(`WF9062 a change of service ${at} did not arrive`);
  }
  return (exactCpuMicrosOf(mesh.pid) - before) / changes;
};

const measure = async (mesh: WeftMesh, load: AdsLoad, rounds: number, first: number): Promise<Omit<Row, "case">> => {
  const taken: number[] = [];
  for (let round = 0; round <= rounds; round++) taken.push(await perChange(mesh, load, first + round));
  return { cpuPerChange: median(taken.slice(1)), rssMb: rssMbOf(mesh.pid) };
};

/** New services, one after another, where one stream has everything. */
const newServices = async (mesh: WeftMesh): Promise<string> => {
  using stream = await openFullStream(mesh, names);
  const added = [];
  for (let at = 0; at < newServicesCount; at++) added.push(await stream.add(at));
  const line = (what: string, cpuMs: number, tookMs: number, blockedMs: number): string =>
    `| ${[what, ...[cpuMs, tookMs, blockedMs].map((ms) => Math.round(ms))].join(" | ")} |\n`;
  const { cpuMicros, tookMs, blockedMs } = stream.opened;
  const took = added.map((one) => one.tookMs);
  return [
    "\n| a stream with everything, not on demand | CPU ms | ms | longest block ms |\n|---|---|---|---|\n",
    line("the first such stream", cpuMicros / 1000, tookMs, blockedMs),
    line(
      `a new service, median of ${added.length}`,
      median(added.map((one) => one.cpuMicros)) / 1000,
      median(took),
      median(added.map((one) => one.blockedMs)),
    ),
    line(
      "the slowest of them",
      Math.max(...added.map((one) => one.cpuMicros)) / 1000,
      Math.max(...took),
      Math.max(...added.map((one) => one.blockedMs)),
    ),
    `\nRSS then ${Math.round(rssMbOf(mesh.pid))} MB\n`,
  ].join("");
};

/**
 * 10,000 services with 100,000 endpoints: memory, and what the change of one endpoint costs, registered through the HTTP
 * API. `registered again` is the API alone: nothing changes.
 */
export const benchModelSize = async ({ rounds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const startedMs = performance.now();
  const mesh = await startWeftMesh(workshop, services, each);
  const startCpuMs = exactCpuMicrosOf(mesh.pid) / 1000;
  const startMs = performance.now() - startedMs;
  await delay(settleMs);
  const loaded = rssMbOf(mesh.pid);
  using load = startAdsLoad();
  const rows: Row[] = [{ case: "loaded", rssMb: loaded, cpuPerChange: Number.NaN }];
  const nobody = { address: mesh.xds, streams: 0, atOnce: 1, wholeTypes: [], names, each: 0 };
  await load.open(nobody);
  for (let weight = 2; weight <= warmUpRounds; weight++) await perChange(mesh, load, weight);
  const again = await perChange(mesh, load, warmUpRounds);
  rows.push({ case: "registered again", rssMb: rssMbOf(mesh.pid), cpuPerChange: again });
  rows.push({ case: "one change, no stream", ...(await measure(mesh, load, rounds, 10)) });
  const wholeTypes = [clustersType, listenersType];
  await load.open({ ...nobody, streams: 1, wholeTypes, each: services });
  rows.push({ case: "one change, a stream with all", ...(await measure(mesh, load, rounds, 100)) });
  await load.closeStreams();
  const added = await newServices(mesh);
  const head = `| ${services} services, ${services * each} endpoints | RSS MB | CPU µs/change |\n|---|---|---|\n`;
  const lines = rows.map(
    (row) =>
      `| ${row.case} | ${Math.round(row.rssMb)} | ${Number.isNaN(row.cpuPerChange) ? "" : Math.round(row.cpuPerChange)} |\n`,
  );
  const started = `\nloaded in ${(startMs / 1000).toFixed(1)} s with ${(startCpuMs / 1000).toFixed(1)} s of CPU\n`;
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : head + lines.join("") + added + started);
};
