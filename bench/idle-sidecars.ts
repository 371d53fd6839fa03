import { setTimeout as delay } from "node:timers/promises";
import { startAdsLoad } from "./ads-load.ts";
import { clustersType, endpointNames, listenersType, startWeftMesh } from "./control-planes.ts";
import { joinCertificate } from "./join-certificate.ts";
import { median } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop } from "./peers.ts";
import { exactCpuMicrosOf, rssMbOf } from "./process-usage.ts";

interface Idle {
  readonly case: string;
  readonly beforeMb: number;
  readonly openMb: number;
  readonly kbPerStream: number;
  /** CPU of the whole control plane while nothing happens. */
  readonly idlePercent: number;
}

const streams = 2000;
const services = 20;
/** Until what connecting left behind is collected. */
const settleMs = 8_000;
const warmUp = 100;

const measure = async (secure: boolean, seconds: number): Promise<Idle> => {
  await using workshop = openWorkshop();
  const { cp, pid, xds } = await startWeftMesh(workshop, services, 10);
  const names = endpointNames(services);
  const tls = secure ? { tls: await joinCertificate(cp) } : {};
  const wholeTypes = [clustersType, listenersType];
  const open = { ...{ address: secure ? cp.secure : xds, wholeTypes, names, each: services, atOnce: 20 }, ...tls };
  using load = startAdsLoad();
  await load.open({ ...open, streams: warmUp });
  await load.closeStreams();
  await delay(settleMs);
  const beforeMb = rssMbOf(pid);
  await load.open({ ...open, streams });
  await delay(settleMs);
  const startedMs = performance.now();
  const cpuBefore = exactCpuMicrosOf(pid);
  await delay(seconds * 1000);
  const idlePercent = (exactCpuMicrosOf(pid) - cpuBefore) / 10 / (performance.now() - startedMs);
  const openMb = rssMbOf(pid);
  const kbPerStream = ((openMb - beforeMb) * 1024) / streams;
  return { case: secure ? "mTLS" : "plaintext", beforeMb, openMb, kbPerStream, idlePercent };
};

const oneOf = (rounds: readonly Idle[]): Idle => ({
  case: rounds[0]?.case ?? "",
  beforeMb: median(rounds.map(({ beforeMb }) => beforeMb)),
  openMb: median(rounds.map(({ openMb }) => openMb)),
  kbPerStream: median(rounds.map(({ kbPerStream }) => kbPerStream)),
  idlePercent: median(rounds.map(({ idlePercent }) => idlePercent)),
});

/** Sidecars that are connected and told nothing: memory of each on the control plane, in a mesh of 20 services. */
export const benchIdleSidecars = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  const taken: Record<"plain" | "secure", Idle[]> = { plain: [], secure: [] };
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    taken.plain.push(await measure(false, seconds));
    taken.secure.push(await measure(true, seconds));
  }
  const rows = [oneOf(taken.plain), oneOf(taken.secure)];
  const head = `| ${streams} idle sidecars | RSS before, MB | with them, MB | KB/sidecar | idle CPU % |\n|---|---|---|---|---|\n`;
  const lines = rows.map(
    (row) =>
      `| ${row.case} | ${Math.round(row.beforeMb)} | ${Math.round(row.openMb)} | ${row.kbPerStream.toFixed(1)} | ${row.idlePercent.toFixed(2)} |\n`,
  );
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : head + lines.join(""));
};
