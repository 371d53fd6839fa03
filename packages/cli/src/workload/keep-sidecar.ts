import { formatError } from "@weft/core/error";
import type { ChildExit } from "@weft/net/process/child";
import type { RunningSidecar } from "./spawn-sidecar.ts";

export interface KeepOptions {
  /** Starts one; rejects when it does not become ready, or when the signal says to stop. */
  readonly spawn: (stopping: AbortSignal) => Promise<RunningSidecar>;
  /** A line for the person at the terminal. */
  readonly say: (line: string) => void;
  /** Resolves after so long, or once the signal says to stop. */
  readonly wait: (ms: number, stopping: AbortSignal) => Promise<void>;
}

export interface KeptSidecar extends AsyncDisposable {
  readonly admin: string;
  /** False between an end and the next one's readiness. */
  readonly isUp: () => boolean;
}

const firstWaitMs = 250;
const longestWaitMs = 30_000;
const stopGraceMs = 10_000;

const how = ({ signal, code }: ChildExit): string => String(signal ?? code);

/** `KeepOptions.wait` by the real clock. */
export const waitUnlessStopped: KeepOptions["wait"] = (ms, stopping) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const stop = (): void => {
      clearTimeout(timer);
      resolve();
    };
    stopping.addEventListener("abort", stop, { once: true });
  });

/** Keeps a sidecar running until disposed: one that ends is followed by another with the same settings. */
export const keepSidecar = async ({ spawn, say, wait }: KeepOptions): Promise<KeptSidecar> => {
  const stopping = new AbortController();
  let current = await spawn(stopping.signal);
  let up = true;
  const { admin } = current;
  /** Tries until there is one; gives nothing when told to stop. */
  const replace = async (): Promise<RunningSidecar | undefined> => {
    for (let waitMs = firstWaitMs; !stopping.signal.aborted; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
      await wait(waitMs, stopping.signal);
      try {
        return await spawn(stopping.signal);
      } catch (error) {
        if (!stopping.signal.aborted) say(formatError(error));
      }
    }
    return undefined;
  };
  const watch = async (): Promise<void> => {
    for (;;) {
      const exit = await current.child.exited;
      up = false;
      if (stopping.signal.aborted) return;
      say(`WF9043 the sidecar ended (${how(exit)}); starting another`);
      const next = await replace();
      if (next === undefined) return;
      current = next;
      up = true;
      if (stopping.signal.aborted) await next.child.stop(stopGraceMs);
      else say("weft: the sidecar is back");
    }
  };
  const watching = watch();
  return {
    admin,
    isUp: () => up,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await current.child.stop(stopGraceMs);
      await watching;
    },
  };
};
