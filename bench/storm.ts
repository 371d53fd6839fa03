import { startControlPlane } from "@weft/testkit/control-plane";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, type Workshop } from "./peers.ts";
import { cpuMicrosOf, loadCore, pin, rssMbOf, systemCore } from "./process-usage.ts";
import { median, startLinearCache } from "./push.ts";
import { connectStorm } from "./subscribers.ts";

interface StormSystem {
  readonly name: string;
  readonly pid: number;
  readonly xds: string;
}

interface StormSample {
  readonly cpuPerStream: number;
  readonly tookMs: number;
  readonly kbPerStream: number;
}

const streams = 500;
const clusterCount = 200;
const hosts = Array.from({ length: clusterCount }, (_, i) => `s${i}.default.svc.cluster.local`);
const names = hosts.map((host) => `outbound|80||${host}`);

const serviceEntry = (host: string, index: number): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: s${index}, namespace: default }
spec:
  hosts: [${host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 8080 }]
  endpoints:
${Array.from({ length: 10 }, (_, i) => `  - address: 10.${index}.0.${i + 1}\n`).join("")}`;

const startWeft = async (workshop: Workshop): Promise<StormSystem> => {
  const cp = await startControlPlane({ yaml: hosts.map(serviceEntry).join("---\n") });
  workshop.own(cp.program);
  return { name: "weft", pid: cp.program.pid, xds: cp.xds };
};

const storm = async ({ pid, xds }: StormSystem): Promise<StormSample> => {
  const before = cpuMicrosOf(pid);
  using all = await connectStorm(xds, names, streams);
  const cpuPerStream = (cpuMicrosOf(pid) - before) / streams;
  return { cpuPerStream, tookMs: all.tookMs, kbPerStream: all.bytes / streams / 1000 };
};

/** All streams connect at once and take every cluster and its endpoints: CPU per stream, time until the last has all. */
export const benchStorm = async ({ rounds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const systems = [await startWeft(workshop), await startLinearCache(workshop, names)];
  pin(process.pid, loadCore);
  for (const { pid } of systems) pin(pid, systemCore);
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
