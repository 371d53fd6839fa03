/** What checks make of one host, as a machine without time: results in, flags and the next interval out. */
import { checkFlags } from "../clusters/host.ts";
import type { HealthCheckSettings } from "./check-settings.ts";

export type CheckResult =
  | { readonly kind: "passed"; readonly degraded: boolean }
  /** `answer`: the host answered, and badly; with `retriable` once is not enough. `exclude`: it asks not to be used. */
  | { readonly kind: "failed"; readonly by: CheckFailure; readonly retriable: boolean; readonly exclude: boolean };

export type CheckFailure = "answer" | "network" | "timeout";

/** `pending`: the result contradicts what is held of the host, which more of the same will change. */
export type Transition = "changed" | "pending" | "unchanged";

export interface Verdict {
  readonly flags: number;
  readonly transition: Transition;
  readonly healthy: boolean;
}

type Thresholds = Pick<HealthCheckSettings, "healthyThreshold" | "unhealthyThreshold">;

export class CheckState {
  /** No result yet: the first success counts alone, so that a proxy starts quickly. */
  first = true;
  private readonly thresholds: Thresholds;
  private passes = 0;
  private failures = 0;

  constructor(thresholds: Thresholds) {
    this.thresholds = thresholds;
  }

  /** `flags` are the host's as they are; gives them as they are to be. */
  take(result: CheckResult, flags: number): Verdict {
    const verdict = result.kind === "passed" ? this.pass(result.degraded, flags) : this.fail(result, flags);
    this.first = false;
    if ((flags & checkFlags.pending) === 0) return verdict;
    return { ...verdict, flags: verdict.flags & ~checkFlags.pending, transition: "changed" };
  }

  private pass(degraded: boolean, before: number): Verdict {
    this.failures = 0;
    let flags = before;
    let transition: Transition = "unchanged";
    if ((flags & checkFlags.failed) !== 0) {
      transition = "pending";
      if (this.first || ++this.passes >= this.thresholds.healthyThreshold) {
        this.passes = 0;
        flags &= ~(checkFlags.failed | checkFlags.timeout | checkFlags.excluded);
        transition = "changed";
      }
    }
    const wasDegraded = (flags & checkFlags.degraded) !== 0;
    if (degraded !== wasDegraded) {
      flags = degraded ? flags | checkFlags.degraded : flags & ~checkFlags.degraded;
      if (transition === "unchanged") transition = "changed";
    }
    return { flags, transition, healthy: true };
  }

  private fail({ by, retriable, exclude }: Extract<CheckResult, { kind: "failed" }>, before: number): Verdict {
    this.passes = 0;
    let flags = before;
    let transition: Transition = "unchanged";
    if ((flags & checkFlags.failed) === 0) {
      transition = "pending";
      const atOnce = by === "answer" && !retriable;
      if (atOnce || ++this.failures >= this.thresholds.unhealthyThreshold) {
        this.failures = 0;
        flags |= checkFlags.failed;
        transition = "changed";
      }
    }
    const timedOut = by === "timeout" && (flags & checkFlags.failed) !== 0;
    flags = timedOut ? flags | checkFlags.timeout : flags & ~checkFlags.timeout;
    if (exclude && (flags & checkFlags.failed) !== 0) flags |= checkFlags.excluded;
    return { flags, transition, healthy: false };
  }
}
