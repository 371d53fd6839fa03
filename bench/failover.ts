import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { startSidecar } from "@weft/testkit/sidecar";
import { type Replica, type Replicas, startReplicas } from "../e2e/ha/replicas.ts";
import { joinCertificate } from "./join-certificate.ts";
import type { Command, FailedOver, Opened } from "./load/failover/messages.ts";
import type { BenchOptions } from "./options.ts";
import { cpuMicrosOf, loadCore, pin, systemCore } from "./process-usage.ts";

const services = 1_000;
const endpointsEach = 10;
/** `subscribedEach` clusters, with their endpoints. */
const cases = [
  { sidecars: 2_000, subscribedEach: 50, secure: false },
  { sidecars: 200, subscribedEach: 50, secure: true },
  { sidecars: 200, subscribedEach: 200, secure: true },
] as const;
const hosts = Array.from({ length: services }, (_, i) => `s${i}.default.svc.cluster.local`);
const names = hosts.map((host) => `outbound|80||${host}`);
const sampleMs = 200;

const serviceEntry = (host: string, index: number): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: s${index}, namespace: default }
spec:
  hosts: [${host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 8080 }]
  endpoints:
${Array.from({ length: endpointsEach }, (_, i) => `  - address: 10.${index >> 8}.${index & 255}.${i + 1}\n`).join("")}`;

interface Load extends Disposable {
  readonly open: (what: Omit<Command & { kind: "open" }, "kind">) => Promise<Opened>;
  /** Calls when it is ready for the loss. */
  readonly failover: (ready: () => void) => Promise<FailedOver>;
}

interface FromLoad {
  readonly opened?: Opened;
  readonly failedOver?: FailedOver;
  readonly failed?: string;
  readonly watching?: true;
}

const startLoad = (): Load => {
  const child: ChildProcess = fork(join(import.meta.dirname, "load/failover/generator.ts"));
  pin(child.pid ?? -1, loadCore);
  const tell = (command: Command, ready: () => void = () => {}): Promise<FromLoad> =>
    new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error("the load generator ended"));
      child.once("exit", ended);
      const listen = (answer: FromLoad): void => {
        if (answer.watching) {
          ready();
          return;
        }
        child.off("exit", ended);
        child.off("message", listen);
        if (answer.failed !== undefined) reject(new Error(`WF9062 the load failed: ${answer.failed}`));
        else resolve(answer);
      };
      child.on("message", listen);
      child.send(command);
    });
  return {
    open: async (what) => (await tell({ kind: "open", ...what })).opened as Opened,
    failover: async (ready) => (await tell({ kind: "failover" }, ready)).failedOver as FailedOver,
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
};

/** CPU of the survivors meanwhile, and the busiest moment of one of them in cores. */
const watchCpu = (pids: readonly number[]) => {
  const before = pids.map(cpuMicrosOf);
  let last = before;
  let busiest = 0;
  const timer = setInterval(() => {
    const now = pids.map(cpuMicrosOf);
    for (const [i, micros] of now.entries()) busiest = Math.max(busiest, (micros - (last[i] ?? 0)) / (sampleMs * 1000));
    last = now;
  }, sampleMs);
  return () => {
    clearInterval(timer);
    return { cpuMs: pids.map((pid, i) => (cpuMicrosOf(pid) - (before[i] ?? 0)) / 1000), busiest };
  };
};

const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

/** A real sidecar alone: from its replica's end until another says that it is there. */
const failoverOfOne = async (
  all: readonly Replica[],
  together: Parameters<typeof startSidecar>[0],
): Promise<number> => {
  const sidecar = await startSidecar(together, { name: "alone" });
  const sawIt = ({ cp }: Replica): boolean => cp.program.lines.some((line) => line.includes("alone.default"));
  const its = all.find(sawIt) as Replica;
  const others = all.filter((one) => one !== its);
  const startedMs = performance.now();
  const found = Promise.any(others.map(({ cp }) => cp.program.waitFor(/proxy connected.*alone\.default/)));
  await its.kill();
  await found;
  const tookMs = performance.now() - startedMs;
  await sidecar[Symbol.asyncDispose]();
  await its.restart();
  pin(its.cp.program.pid, systemCore);
  return tookMs;
};

interface Case {
  readonly sidecars: number;
  readonly subscribedEach: number;
  readonly secure: boolean;
}

const benchCase = async ({ sidecars, subscribedEach, secure }: Case, replicas: Replicas) => {
  const [first, ...others] = replicas.all;
  using load = startLoad();
  const addresses = replicas.all.map(({ cp }) => (secure ? cp.secure : cp.xds));
  const tls = secure ? { tls: await joinCertificate(first.cp) } : {};
  const before = cpuMicrosOf(first.cp.program.pid);
  const opened = await load.open({ addresses, sidecars, names, each: subscribedEach, ...tls });
  const firstSyncCpuMs = (cpuMicrosOf(first.cp.program.pid) - before) / 1000;
  const stopWatching = watchCpu(others.map(({ cp }) => cp.program.pid));
  const result = await load.failover(() => void first.kill());
  const { cpuMs, busiest } = stopWatching();
  await first.restart();
  pin(first.cp.program.pid, systemCore);
  return {
    case: `${sidecars} × ${subscribedEach} clusters, ${secure ? "mTLS" : "plaintext"}`,
    firstSyncMs: Math.round(opened.tookMs),
    firstSyncCpuMs: Math.round(firstSyncCpuMs),
    firstSyncBytesEach: Math.round(opened.bytes / sidecars),
    failoverBytesEach: Math.round(result.bytes / sidecars),
    handshakeBytesEach: Math.round(result.handshakeBytes / sidecars),
    bytesShare: Number((result.bytes / opened.bytes).toFixed(5)),
    bytesShareWithoutHandshake: Number(((result.bytes - result.handshakeBytes) / opened.bytes).toFixed(5)),
    resourcesSentAgain: result.resources,
    p50Ms: Math.round(at(result.inSyncMs, 0.5)),
    p99Ms: Math.round(at(result.inSyncMs, 0.99)),
    lastMs: Math.round(at(result.inSyncMs, 1)),
    connections: result.connections,
    mostInSyncIn100Ms: result.burst,
    survivorCpuMs: cpuMs.map(Math.round).join(" "),
    busiestSurvivorCores: Number(busiest.toFixed(2)),
  };
};

/** A replica with many sidecars is killed: how long until two others have them in sync, and what that costs. */
export const benchFailover = async ({ json }: BenchOptions): Promise<void> => {
  await using replicas = await startReplicas(hosts.map(serviceEntry).join("---\n"));
  for (const { cp } of replicas.all) pin(cp.program.pid, systemCore);
  const oneAloneMs = Math.round(await failoverOfOne(replicas.all, replicas.together));
  const rows = [];
  for (const one of cases) rows.push(await benchCase(one, replicas));
  if (json) process.stdout.write(`${JSON.stringify({ oneAloneMs, rows }, null, 2)}\n`);
  else process.stdout.write(`one alone: ${oneAloneMs} ms\n\n${tableOf(rows)}`);
};

const tableOf = (rows: readonly Readonly<Record<string, string | number>>[]): string =>
  Object.keys(rows[0] ?? {})
    .map((name) => `| ${[name, ...rows.map((row) => row[name])].join(" | ")} |\n`)
    .map((line, at) => (at === 0 ? `${line}|${"---|".repeat(rows.length + 1)}\n` : line))
    .join("");
