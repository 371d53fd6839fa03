import { join } from "node:path";
import { startProgram } from "@weft/testkit/processes";
import { httpBootstrap } from "./bootstrap.ts";
import { runWrk } from "./load.ts";
import type { System } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams } from "./peers.ts";
import { loadCore, pin, rssMbOf } from "./process-usage.ts";
import { startProxies } from "./proxies.ts";

/** A process may have 20,000 open files where we run; these leave room for upstream connections. */
const idleConnections = 9_000;
const settleMs = 5_000;

interface MemoryRow {
  readonly system: string;
  readonly idleMb: number;
  readonly warmMb: number;
  readonly connections: number;
  readonly kbPerConnection: number;
}

const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, settleMs));
const rss = ({ pids }: System): number => pids.reduce((total, pid) => total + rssMbOf(pid), 0);

const measure = async (system: System, seconds: number): Promise<MemoryRow> => {
  await rest();
  const idleMb = rss(system);
  runWrk(`http://${system.address}/items`, 64, seconds);
  await rest();
  const warmMb = rss(system);
  await using holder = startProgram(process.execPath, [
    join(import.meta.dirname, "load/idle.ts"),
    system.address,
    String(idleConnections),
  ]);
  pin(holder.pid, loadCore);
  const [, open] = await holder.waitFor(/^open (\d+)/, 120_000);
  await rest();
  const kbPerConnection = ((rss(system) - warmMb) * 1024) / Number(open);
  return { system: system.name, idleMb, warmMb, connections: Number(open), kbPerConnection };
};

/** Memory: at rest after the start, after load, and what each idle keep-alive connection adds. */
export const benchMemory = async ({ seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const systems = await startProxies(workshop, (listenPort, adminPort) =>
    httpBootstrap({ listenPort, adminPort, upstreams }),
  );
  const rows: MemoryRow[] = [];
  for (const system of systems) rows.push(await measure(system, seconds));
  if (json) return void process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
  const lines = rows.map(
    ({ system, idleMb, warmMb, connections, kbPerConnection }) =>
      `| ${system} | ${idleMb.toFixed(0)} | ${warmMb.toFixed(0)} | ${connections} | ${kbPerConnection.toFixed(1)} |\n`,
  );
  process.stdout.write(
    `| system | RSS MB after start | after load | idle connections | KB each |\n|---|---|---|---|---|\n${lines.join("")}`,
  );
};
