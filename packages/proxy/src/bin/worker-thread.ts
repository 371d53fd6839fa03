import { realClock, setRealTimer } from "@weft/net/clock";
import { createLogger } from "@weft/net/logger";
import { giveBackMemory } from "@weft/net/process/give-back-memory";
import { commonClockOffsetMs, type OwnThread } from "@weft/net/process/thread";
import type { ToWorker, WorkerStart } from "../workers/protocol.ts";
import { serveWorker } from "../workers/serve-worker.ts";
import { surviveErrors } from "./process-signals.ts";

/** Serves on this thread until the main one ends it. */
export const startWorkerThread = (thread: OwnThread): void => {
  const start = thread.data as WorkerStart;
  const aheadMs = commonClockOffsetMs() - start.clockOffsetMs;
  const clock = { nowMs: () => performance.now() + aheadMs, wallMs: realClock.wallMs };
  const log = createLogger({
    write: (line) => thread.post({ kind: "log", line }),
    format: start.logFormat,
    level: "info",
    wallMs: clock.wallMs,
  });
  for (const [scope, level] of start.levels) log.setLevel(scope, level);
  const worker = serveWorker(start, {
    post: thread.post,
    log,
    clock,
    random: Math.random,
    setTimer: setRealTimer,
    afterTurn: setImmediate,
  });
  const uncaught = worker.stats.counter("server.uncaught_errors");
  surviveErrors(log, { started: () => true, count: () => uncaught.add(1), nowMs: clock.nowMs });
  giveBackMemory();
  thread.listen((message) => worker.handle(message as ToWorker));
};
