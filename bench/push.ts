import { type AdsLoad, startAdsLoad } from "./ads-load.ts";
import { clustersType, endpointNames, type ServedMesh, startLinearCache, startWeftMesh } from "./control-planes.ts";
import { joinCertificate } from "./join-certificate.ts";
import type { Changed } from "./load/ads/messages.ts";
import { median } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop } from "./peers.ts";
import { exactCpuMicrosOf, rssMbOf } from "./process-usage.ts";

interface Case {
  readonly name: string;
  readonly services: number;
  /** Services each stream subscribes to. */
  readonly each: number;
  /** Streams that ask for endpoints; the others have clusters only. */
  readonly subscribers: number;
  /** Over mutual TLS, which LinearCache is not served with. */
  readonly secure?: true;
  readonly run: (load: AdsLoad, system: ServedMesh, weight: number) => Promise<Changed>;
}

interface Round extends Changed {
  readonly cpuMicros: number;
}

interface Row {
  readonly case: string;
  readonly system: string;
  readonly cpuPerPush: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lost: number;
  readonly lateMs: number;
  readonly rssMb: number;
}

const streams = 2000;
const changesPerRound = 10;

const addUp = (a: Changed, b: Changed): Changed => ({
  changes: a.changes + b.changes,
  delivered: a.delivered + b.delivered,
  lost: a.lost + b.lost,
  lastMs: [...a.lastMs, ...b.lastMs],
  lateMs: Math.max(a.lateMs, b.lateMs),
});

const nothing: Changed = { changes: 0, delivered: 0, lost: 0, lastMs: [], lateMs: 0 };

/** One service that streams subscribe to is changed, again when the last stream has it. */
const oneTo = (subscribers: number): Case => ({
  name:
    subscribers === streams ? `1 change → all ${streams} streams` : `1 change → ${subscribers} of ${streams} streams`,
  ...{ services: 1, each: 1, subscribers },
  run: async (load, { change }, weight) => {
    let sum = nothing;
    for (let i = 0; i < changesPerRound; i++) {
      sum = addUp(sum, await load.change({ request: change, service: 0, weight: weight + i }));
    }
    return sum;
  },
});

const someToSome = (seconds: number): Case => ({
  name: "100 changes/s → 100 streams each",
  ...{ services: 1000, each: 50, subscribers: streams },
  run: (load, { change }, weight) => load.changes({ request: change, perSecond: 100, seconds, weight }),
});

const securely = (bench: Case): Case => ({ ...bench, name: `${bench.name}, mTLS`, secure: true });

const runCase = async (bench: Case, rounds: number): Promise<readonly Row[]> => {
  await using workshop = openWorkshop();
  const names = endpointNames(bench.services);
  const weft = await startWeftMesh(workshop, bench.services, 10);
  const tls = bench.secure ? { tls: await joinCertificate(weft.cp) } : {};
  const systems: readonly ServedMesh[] = bench.secure ? [weft] : [weft, await startLinearCache(workshop, weft, names)];
  const loads = new Map<ServedMesh, AdsLoad>();
  using stack = new DisposableStack();
  for (const system of systems) {
    const load = stack.use(startAdsLoad());
    loads.set(system, load);
    const { each, subscribers } = bench;
    const wholeTypes = subscribers < streams ? [clustersType] : [];
    const address = bench.secure ? weft.cp.secure : system.xds;
    await load.open({ address, streams, atOnce: 50, wholeTypes, names, each, subscribers, ...tls });
  }
  const taken = new Map<ServedMesh, Round[]>(systems.map((system) => [system, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [system, load] of loads) {
      const before = exactCpuMicrosOf(system.pid);
      const changed = await bench.run(load, system, 2 + round * changesPerRound);
      if (round > 0) taken.get(system)?.push({ ...changed, cpuMicros: exactCpuMicrosOf(system.pid) - before });
    }
  }
  return systems.map((system) => rowOf(bench.name, system, taken.get(system) ?? []));
};

const rowOf = (name: string, system: ServedMesh, rounds: readonly Round[]): Row => {
  const all = rounds.reduce(addUp, nothing);
  const sorted = [...all.lastMs].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return {
    case: name,
    system: system.name,
    cpuPerPush: median(rounds.map(({ cpuMicros, delivered }) => cpuMicros / Math.max(1, delivered))),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    lost: all.lost,
    lateMs: all.lateMs,
    rssMb: rssMbOf(system.pid),
  };
};

const format = (rows: readonly Row[]): string => {
  const head =
    `| ${streams} delta streams | system | CPU µs/stream-push | ÷ LinearCache | change → last subscriber p50 ms | p99 ms ` +
    "| lost | sent late by, ms | RSS MB |\n|---|---|---|---|---|---|---|---|---|\n";
  const lines = rows.map((row) => {
    const peer = rows.find((other) => other.case === row.case && other.system === "LinearCache");
    const ratio = peer ? (row.cpuPerPush / peer.cpuPerPush).toFixed(2) : "";
    const { lost, p50Ms, p99Ms, lateMs, rssMb } = row;
    return `| ${row.case} | ${row.system} | ${row.cpuPerPush.toFixed(1)} | ${ratio} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} | ${lost} | ${lateMs.toFixed(1)} | ${Math.round(rssMb)} |\n`;
  });
  return head + lines.join("");
};

/**
 * Changes of endpoints on their way to 2,000 delta streams that acknowledge: one to all of them, one to a few, and 100 a
 * second of which each goes to a twentieth, without TLS and with it. CPU is all of the control plane's, for its API and the answers too.
 */
export const benchPush = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  const rows: Row[] = [];
  const some = someToSome(seconds);
  for (const bench of [oneTo(streams), oneTo(100), some, securely(some)]) rows.push(...(await runCase(bench, rounds)));
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : format(rows));
};
