import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { startProgram } from "@weft/testkit/processes";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, type Workshop } from "./peers.ts";
import { cpuMicrosOf, loadCore, pin, rssMbOf, systemCore } from "./process-usage.ts";
import { openSubscribers, type Subscribers } from "./subscribers.ts";

/** A control plane with one service of ten endpoints that can be told to change one of them. */
export interface PushSystem {
  readonly name: string;
  readonly pid: number;
  readonly xds: string;
  /** The name clients subscribe to. */
  readonly resource: string;
  readonly change: (weight: number) => Promise<void>;
}

interface PushSample {
  readonly cpuPerPush: number;
  readonly lastMs: number;
}

const streams = 500;
const changesPerRound = 20;
const service = "bench";
const resource = `outbound|80||${service}.default.svc.cluster.local`;

const startWeft = async (workshop: Workshop): Promise<PushSystem> => {
  const cp = await startControlPlane();
  workshop.own(cp.program);
  const put = (index: number, weight: number): Promise<unknown> =>
    cp.api("PUT", `/v1/registry/${service}/instances/i${index}`, {
      address: `10.0.0.${index + 1}`,
      port: 8080,
      servicePort: 80,
      weight,
      ttlSeconds: 3600,
    });
  for (let i = 0; i < 10; i++) await put(i, 1);
  return {
    name: "weft",
    pid: cp.program.pid,
    xds: cp.xds,
    resource,
    change: async (weight) => void (await put(0, weight)),
  };
};

/** Builds the peer and starts it with an EDS cluster of ten endpoints for each name. */
export const startLinearCache = async (
  workshop: Workshop,
  names: readonly string[],
): Promise<Omit<PushSystem, "resource">> => {
  const folder = join(import.meta.dirname, "linear-cache");
  const binary = join(workshop.folder, "linear-cache");
  const { status, stderr } = spawnSync("go", ["build", "-o", binary, "."], { cwd: folder, encoding: "utf8" });
  if (status !== 0)
    throw new Error(`WF9063 could not build the LinearCache peer: ${stderr}. Next: install Go 1.24 or later`);
  const program = workshop.own(startProgram(binary, names, { env: { GOMAXPROCS: "1" } }));
  const [, xds = "", control = ""] = await program.waitFor(/ready xds=(\S+) control=(\S+)/);
  return {
    name: "LinearCache",
    pid: program.pid,
    xds,
    change: async (weight) => void (await fetch(`http://${control}/change?weight=${weight}`)),
  };
};

const measureRound = async (system: PushSystem, subscribers: Subscribers, firstWeight: number): Promise<PushSample> => {
  const before = cpuMicrosOf(system.pid);
  let slowest = 0;
  for (let i = 0; i < changesPerRound; i++) {
    const wanted = subscribers.received() + streams;
    const startedMs = performance.now();
    await system.change(firstWeight + i);
    await eventually("every stream has the change", () => (subscribers.received() >= wanted ? true : undefined));
    slowest = Math.max(slowest, subscribers.lastAtMs() - startedMs);
  }
  return { cpuPerPush: (cpuMicrosOf(system.pid) - before) / (streams * changesPerRound), lastMs: slowest };
};

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** One endpoint change to 500 delta streams, acknowledged by each: CPU per stream and push, time to the last one. */
export const benchPush = async ({ rounds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const systems = [await startWeft(workshop), { ...(await startLinearCache(workshop, [resource])), resource }];
  pin(process.pid, loadCore);
  const samples = new Map<string, PushSample[]>();
  const open = new Map<string, Subscribers>();
  for (const system of systems) {
    pin(system.pid, systemCore);
    open.set(system.name, await openSubscribers(system.xds, system.resource, streams));
    samples.set(system.name, []);
  }
  for (let round = 0; round <= rounds; round++) {
    for (const system of systems) {
      const taken = await measureRound(system, open.get(system.name) as Subscribers, 2 + round * changesPerRound);
      if (round > 0) samples.get(system.name)?.push(taken);
    }
  }
  const rows = systems.map(({ name, pid }) => {
    const taken = samples.get(name) ?? [];
    return {
      system: name,
      cpuPerPush: median(taken.map((one) => one.cpuPerPush)),
      lastMs: median(taken.map((one) => one.lastMs)),
      rssMb: rssMbOf(pid),
    };
  });
  const peer = rows.find(({ system }) => system === "LinearCache")?.cpuPerPush ?? Number.NaN;
  const lines = rows.map(
    ({ system, cpuPerPush, lastMs, rssMb }) =>
      `| ${system} | ${cpuPerPush.toFixed(1)} | ${(cpuPerPush / peer).toFixed(2)} | ${lastMs.toFixed(1)} | ${Math.round(rssMb)} |\n`,
  );
  const head = `| ${streams} delta streams | CPU µs/stream-push | ÷ LinearCache | slowest change → last stream, ms | RSS MB |\n|---|---|---|---|---|\n`;
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : head + lines.join(""));
  for (const subscribers of open.values()) subscribers.close();
};
