/** Keeps the model told of what proxies find failed: reports come in crowds, and go stale without a word. */
import type { Source } from "@weft/core/collection";
import type { Clock, SetTimer } from "@weft/core/world";
import type { MeshModel } from "../model/mesh-model.ts";
import type { ReportedHealth } from "../model/service.ts";
import type { LoadTable } from "./load-table.ts";
import { checkedPorts, reportedHealth, reportedHealthLimits } from "./reported-health.ts";
import type { SharedHealth } from "./shared-health.ts";

export interface HealthFeedOptions {
  readonly table: LoadTable;
  readonly model: Pick<MeshModel, "visibleServices" | "endpoints">;
  readonly reported: Source<ReportedHealth>;
  /** Has what was written settled and pushed. */
  readonly commitSoon: () => void;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  /** Where other control planes have to agree; absent: this one decides alone. */
  readonly shared?: SharedHealth | undefined;
}

/** Reports that come within this time are judged together. */
const gatherMs = 500;

/** Follows the table until disposed. */
export const feedReportedHealth = (options: HealthFeedOptions): Disposable => {
  const { table, model, reported, clock, setTimer, shared } = options;
  let timer: Disposable | undefined;
  let isSoon = false;

  const wait = (delayMs: number): void => {
    timer?.[Symbol.dispose]();
    timer = setTimer(judge, delayMs);
  };
  const judge = (): void => {
    timer = undefined;
    isSoon = false;
    const nowMs = clock.wallMs();
    const views = table.list();
    const now = shared ? shared.judge(checkedPorts(views, model, nowMs), model) : reportedHealth(views, model, nowMs);
    const before = [...reported.values()];
    if (now.length > 0 || before.length > 0) {
      reported.reset(now);
      options.commitSoon();
    }
    if (now.length > 0 || shared?.isBusy()) wait(reportedHealthLimits.reportLifeMs);
  };
  const soon = (): void => {
    if (isSoon) return;
    isSoon = true;
    wait(gatherMs);
  };
  table.onChecks(soon);
  const following = shared?.follow(soon);
  // What others say is there already when this one starts.
  if (shared) soon();
  return {
    [Symbol.dispose]: () => {
      following?.[Symbol.dispose]();
      timer?.[Symbol.dispose]();
    },
  };
};
