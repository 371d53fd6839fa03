import { startAdsLoad } from "./ads-load.ts";
import { clustersType, endpointNames, type ServedMesh, startLinearCache, startWeftMesh } from "./control-planes.ts";
import { median } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop } from "./peers.ts";
import { exactCpuMicrosOf, rssMbOf } from "./process-usage.ts";

interface StormSample {
  readonly cpuPerStream: number;
  readonly tookMs: number;
  readonly kbPerStream: number;
}

const streams = 2000;
const clusterCount = 200;
const names = endpointNames(clusterCount);

const storm = async ({ pid, xds }: ServedMesh): Promise<StormSample> => {
  using load = startAdsLoad();
  const before = exactCpuMicrosOf(pid);
  const open = { address: xds, streams, atOnce: streams, wholeTypes: [clustersType], names, each: names.length };
  const { tookMs, bytes } = await load.open(open);
  return { cpuPerStream: (exactCpuMicrosOf(pid) - before) / streams, tookMs, kbPerStream: bytes / streams / 1000 };
};

/** All streams connect at once and take every cluster and its endpoints: CPU per stream, time until the last has all. */
export const benchStorm = async ({ rounds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const weft = await startWeftMesh(workshop, clusterCount, 10);
  const systems = [weft, await startLinearCache(workshop, weft, names)];
  const samples = new Map<string, StormSample[]>(systems.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const system of systems) {
      const taken = await storm(system);
      if (round > 0) samples.get(system.name)?.push(taken);
    }
  }
  const rows = systems.map(({ name, pid }) => {
    const taken = samples.get(name) ?? [];
    return {
      system: name,
      cpuPerStream: median(taken.map((one) => one.cpuPerStream)),
      lastMs: median(taken.map((one) => one.tookMs)),
      kbPerStream: median(taken.map((one) => one.kbPerStream)),
      rssMb: rssMbOf(pid),
    };
  });
  const peer = rows.find(({ system }) => system === "LinearCache")?.cpuPerStream ?? Number.NaN;
  const lines = rows.map(
    ({ system, cpuPerStream, lastMs, kbPerStream, rssMb }) =>
      `| ${system} | ${Math.round(cpuPerStream)} | ${(cpuPerStream / peer).toFixed(2)} | ${Math.round(lastMs)} | ${kbPerStream.toFixed(0)} | ${Math.round(rssMb)} |\n`,
  );
  const head = `| ${streams} streams at once, ${clusterCount} clusters | CPU µs/stream | ÷ LinearCache | all have all, ms | KB/stream | RSS MB |\n|---|---|---|---|---|---|\n`;
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : head + lines.join(""));
};
