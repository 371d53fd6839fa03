/** Signals and errors of the whole process, for the long-running commands. */
import type { Logger } from "@weft/core/world";

export interface StopSignal extends Disposable {
  /** Resolves with the first SIGTERM or SIGINT. The second one ends the process at once. */
  readonly stopped: Promise<NodeJS.Signals>;
}

const signals = ["SIGTERM", "SIGINT"] as const;

export const onStopSignal = (): StopSignal => {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let count = 0;
  const listen = (signal: NodeJS.Signals): void => {
    count++;
    if (count > 1) process.exit(1);
    resolve(signal);
  };
  for (const signal of signals) process.on(signal, listen);
  return {
    stopped: promise,
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, listen);
    },
  };
};

/** SIGUSR1: log files are to be opened anew. */
export const onReopenSignal = (reopen: () => void): Disposable => {
  process.on("SIGUSR1", reopen);
  return { [Symbol.dispose]: () => void process.off("SIGUSR1", reopen) };
};

/** So many in a minute are no peer's doing: the process ends and whoever started it starts it anew. */
const errorsPerMinuteMax = 100;

/**
 * An error nobody caught belongs to one connection or stream, and must not end the others: it is logged and counted.
 * While starting, and when they do not stop, it ends the process.
 */
export const surviveErrors = (
  log: Logger,
  tools: { readonly started: () => boolean; readonly count: () => void; readonly nowMs: () => number },
): Disposable => {
  let windowStartMs = 0;
  let inWindow = 0;
  const survive = (error: unknown): void => {
    tools.count();
    const nowMs = tools.nowMs();
    if (nowMs - windowStartMs > 60_000) {
      windowStartMs = nowMs;
      inWindow = 0;
    }
    inWindow++;
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error("uncaught error", { code: "WF5900", detail });
    if (!tools.started() || inWindow > errorsPerMinuteMax) process.exit(1);
  };
  process.on("uncaughtException", survive);
  process.on("unhandledRejection", survive);
  return {
    [Symbol.dispose]: () => {
      process.off("uncaughtException", survive);
      process.off("unhandledRejection", survive);
    },
  };
};
