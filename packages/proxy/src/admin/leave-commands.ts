/** What `/drain_listeners` and `/healthcheck/*` do: clients leave, at once or by and by. */
import type { SetTimer } from "@weft/core/world";
import type { DrainScope } from "../http/leaving.ts";
import type { DataPlane } from "../runtime/data-plane.ts";

export interface DrainRequest {
  readonly scope: DrainScope;
  /** Clients are told to leave for the drain time, and only then accepting ends. */
  readonly graceful: boolean;
  /** They are told to leave, and it does not end at all. */
  readonly skipExit: boolean;
}

export interface LeaveCommands extends Disposable {
  readonly healthCheckFailed: boolean;
  failHealthCheck(failed: boolean): void;
  /** To tell clients to leave that are told so already is ignored. */
  drainListeners(request: DrainRequest): void;
}

export const createLeaveCommands = (
  dataPlane: Pick<DataPlane, "drain" | "discourage">,
  { setTimer, drainTimeMs }: { readonly setTimer: SetTimer; readonly drainTimeMs: number },
): LeaveCommands => {
  const timers = new DisposableStack();
  let healthCheckFailed = false;
  let begun: DrainScope | undefined;
  const discourage = (): void =>
    dataPlane.discourage({ healthCheckFailed, draining: begun && { scope: begun, overMs: drainTimeMs } });
  const stop = (scope: DrainScope): void => void dataPlane.drain(drainTimeMs, scope);
  return {
    get healthCheckFailed() {
      return healthCheckFailed;
    },
    failHealthCheck: (failed) => {
      if (failed === healthCheckFailed) return;
      healthCheckFailed = failed;
      discourage();
    },
    drainListeners: ({ scope, graceful, skipExit }) => {
      if (!graceful && !skipExit) {
        stop(scope);
        return;
      }
      if (begun === "all" || begun === scope) return;
      begun = scope;
      discourage();
      if (!skipExit) timers.use(setTimer(() => stop(scope), drainTimeMs));
    },
    [Symbol.dispose]: () => timers.dispose(),
  };
};
