/** Chooses between a data plane on this thread and one on several. */
import { availableParallelism } from "node:os";
import type { LogLevel, LogScope } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { LineLogger } from "@weft/net/logger";
import { commonClockOffsetMs, startThread } from "@weft/net/process/thread";
import { listenTcp } from "@weft/net/tcp/accept";
import type { PassedSocket } from "@weft/net/tcp/pass-sockets";
import { probeTcp } from "@weft/net/tcp/probe";
import { machineNames } from "../dns/machine-names.ts";
import type { ProxyNode } from "../filters/http/filter.ts";
import type { StatsStore } from "../observe/create-stats.ts";
import type { OnDemandDesk } from "../on-demand/on-demand.ts";
import type { ConfiguredOverload } from "../overload/overload-settings.ts";
import { overloadShare } from "../overload/process-overload.ts";
import { createDataPlane } from "../runtime/create-data-plane.ts";
import type { DataPlane } from "../runtime/data-plane.ts";
import { type Inherited, inheritingListen } from "../takeover/inherited.ts";
import { createOpenSockets } from "../takeover/open-sockets.ts";
import { createWorkersPlane } from "../workers/workers-plane.ts";

/** More worker threads than this are not started, whatever is asked for. */
const workersMax = 64;

export interface DataPlaneRequest {
  /** Workers; 0 for as many as there are cores. */
  readonly concurrency: number;
  readonly node: ProxyNode;
  readonly stats: StatsStore;
  readonly log: LineLogger;
  readonly logFormat: "text" | "json";
  readonly overload: ConfiguredOverload | undefined;
  readonly memoryLimitBytes: number | undefined;
  readonly onGivenUp: () => void;
  /** Fetches what requests ask for. */
  readonly onDemand: OnDemandDesk;
  /** What the process before listened on. */
  readonly inherited: Inherited | undefined;
}

export interface OpenedDataPlane {
  readonly dataPlane: DataPlane;
  readonly workers: number;
  /** Duplicates of all listening sockets, the caller's to close. */
  readonly sockets: () => Promise<readonly PassedSocket[]>;
  /** Has all threads log at that level. */
  readonly setLevel: (scope: LogScope, level: LogLevel) => void;
}

/**
 * One worker is this thread: a thread of its own would cost some 25 MB for as long as the sidecar lives. What it would
 * save is the share of this thread that decoding takes: a push of 1,000 clusters and 10,000 routes is half a second of
 * computing, in slices between requests.
 */
export const openDataPlane = (request: DataPlaneRequest): OpenedDataPlane => {
  const { node, stats, log, logFormat } = request;
  const workers = countWorkers(request);
  const overload = overloadShare(request.overload, request.memoryLimitBytes, workers);
  const common = { node, stats, log, clock: realClock, random: Math.random, setTimer: setRealTimer, overload };
  const { inherited } = request;
  if (workers === 1) {
    const onError = (error: Error): void => log.error("cannot accept", { code: "WF5004", detail: error.message });
    const open = createOpenSockets(inherited ? inheritingListen(inherited, onError) : listenTcp);
    const dataPlane = createDataPlane({ ...common, listen: open.listen, onDemand: request.onDemand });
    return { dataPlane, workers, setLevel: log.setLevel, sockets: async () => open.duplicates() };
  }
  const dataPlane = createWorkersPlane({
    ...common,
    workers,
    logFormat,
    levels: log.levels,
    writeLine: (line) => process.stderr.write(line),
    clockOffsetMs: commonClockOffsetMs(),
    resolve: machineNames(common),
    onDemand: request.onDemand,
    probe: ({ address, ipv6Only }) => probeTcp(address, ipv6Only),
    inherited,
    startThread,
    entry: new URL("./worker.ts", import.meta.url),
    onGivenUp: request.onGivenUp,
  });
  const setLevel = (scope: LogScope, level: LogLevel): void => {
    log.setLevel(scope, level);
    dataPlane.setLevel(scope, level);
  };
  return { dataPlane, workers, setLevel, sockets: () => dataPlane.sockets() };
};

const countWorkers = ({ concurrency, log }: DataPlaneRequest): number => {
  const wanted = concurrency === 0 ? availableParallelism() : concurrency;
  if (wanted > 1 && process.platform !== "linux") {
    log.warn("one worker serves: several need Linux, where threads can share a port", { code: "WF3111" });
    return 1;
  }
  if (wanted > workersMax) log.warn("fewer workers than asked for", { code: "WF3111", wanted, workers: workersMax });
  return Math.min(wanted, workersMax);
};
