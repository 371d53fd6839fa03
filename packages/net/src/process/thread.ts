/** Worker threads: plain data goes in and out, and a thread that ends says so. */
import { enableCompileCache, getCompileCacheDir } from "node:module";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

export interface Thread {
  /** Structured clone; shared memory stays shared. Lost when the thread has ended. */
  post(message: unknown): void;
  /** Ends the thread wherever it is. Resolves when it has. */
  kill(): Promise<void>;
}

export interface ThreadOptions {
  /** The module it runs. */
  readonly entry: URL;
  readonly data: unknown;
  /** Room for new objects. A small one suits work whose garbage dies at once. */
  readonly youngGenerationMb: number;
  readonly onMessage: (message: unknown) => void;
  /** It has ended by itself or by `kill`; with the error that ended it. Called once. */
  readonly onExit: (error: Error | undefined) => void;
}

export type StartThread = (options: ThreadOptions) => Thread;

interface ThreadData {
  readonly data: unknown;
  readonly compileCache: string | undefined;
}

export const startThread: StartThread = ({ entry, data, youngGenerationMb, onMessage, onExit }) => {
  const workerData: ThreadData = { data, compileCache: getCompileCacheDir() };
  const worker = new Worker(entry, {
    workerData,
    // Those of this process may say that its program is not a file.
    execArgv: ["--disable-warning=ExperimentalWarning"],
    resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
  });
  let error: Error | undefined;
  worker.on("message", onMessage);
  worker.on("error", (thrown) => {
    error = thrown instanceof Error ? thrown : new Error(String(thrown));
  });
  worker.on("exit", () => onExit(error));
  return {
    post: (message) => worker.postMessage(message),
    kill: async () => {
      await worker.terminate();
    },
  };
};

/** This thread as its maker sees it. */
export interface OwnThread {
  readonly data: unknown;
  post(message: unknown): void;
  /** From now on messages are taken, and the thread stays. */
  listen(onMessage: (message: unknown) => void): void;
}

/** `undefined` in the main thread. Call it before other modules are loaded: they then come from the compile cache. */
export const ownThread = (): OwnThread | undefined => {
  const port = parentPort;
  if (isMainThread || port === null) return undefined;
  const { data, compileCache } = workerData as ThreadData;
  if (compileCache !== undefined) enableCompileCache(compileCache);
  return {
    data,
    post: (message) => port.postMessage(message),
    listen: (onMessage) => void port.on("message", onMessage),
  };
};

/** Adds to this thread's `performance.now()` to make it a clock that all threads of the process agree on. */
export const commonClockOffsetMs = (): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6 - performance.now();
};
