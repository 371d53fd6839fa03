import type { CheckResult } from "./check-state.ts";

/** Checks one host, one check at a time. */
export interface Probe extends Disposable {
  /** Tells the result once, maybe before it returns, unless it is cancelled. */
  start(tell: (result: CheckResult) => void): void;
  /** Gives the check up that is under way. */
  cancel(): void;
}
