/** Checks the hosts of one cluster, each by itself, and tells the cluster what it finds. */
import type { Logger, Random } from "@weft/core/world";
import type { CompiledCluster } from "../clusters/compile-cluster.ts";
import { checkFlags, type Host } from "../clusters/host.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import { WheelTimer } from "../timers/timer-wheel.ts";
import type { HealthCheckSettings } from "./check-settings.ts";
import { type CheckResult, CheckState } from "./check-state.ts";
import { eventOf } from "./event-log.ts";
import { createHttpProbe } from "./http-probe.ts";
import { nextCheckMs } from "./next-check.ts";
import type { Probe } from "./probe.ts";
import { holdsFor, type ProbeFacts, probeAuthority, probeFacts, probeTarget } from "./probe-target.ts";
import { createTcpProbe } from "./tcp-probe.ts";

export interface HealthCheckerTools {
  readonly pools: PoolTools;
  readonly random: Random;
  readonly log: Logger;
  /** Wall clock, milliseconds, for events. */
  readonly wallMs: () => number;
  /** Puts a line into the file of that path. */
  readonly writeLine: (path: string, line: string) => void;
  /** A host was checked for the first time, and what came of it is known. */
  readonly onFirst?: () => void;
}

export interface HealthChecker extends Disposable {
  /** The cluster's hosts may have changed. */
  sync(): void;
  /** No host waits for the end of its first check. */
  readonly isFirstRoundOver: boolean;
}

const intervalKind = 0;
const timeoutKind = 1;
const timedOut: CheckResult = { kind: "failed", by: "timeout", retriable: false, exclude: false };

const openProbe = (cluster: CompiledCluster, host: Host, settings: HealthCheckSettings, tools: PoolTools): Probe => {
  const target = probeTarget(cluster, host, settings);
  const { probe, reuseConnection: reuse } = settings;
  if (probe.kind === "tcp") return createTcpProbe(probe, { tools, target, reuse });
  const authority = probeAuthority(cluster, host, probe.authority);
  return createHttpProbe(probe, { tools, target, authority, reuse });
};

/** The checks of one host. */
class Session implements Disposable {
  private readonly host: Host;
  private readonly owner: Checker;
  private readonly state: CheckState;
  private readonly probe: Probe;
  private readonly facts: ProbeFacts;
  private readonly intervalTimer: WheelTimer;
  private readonly timeoutTimer: WheelTimer;

  constructor(owner: Checker, host: Host) {
    this.owner = owner;
    this.host = host;
    this.state = new CheckState(owner.settings);
    this.facts = probeFacts(owner.cluster, host, owner.settings);
    this.probe = openProbe(owner.cluster, host, owner.settings, owner.tools.pools);
    const target = { onTimer: (kind: number) => this.onTimer(kind) };
    this.intervalTimer = new WheelTimer(target, intervalKind);
    this.timeoutTimer = new WheelTimer(target, timeoutKind);
  }

  /** Whether it checks the host as it is to be checked now. */
  get holds(): boolean {
    const { cluster, settings } = this.owner;
    return holdsFor(this.facts, cluster, this.host, settings);
  }

  get wasChecked(): boolean {
    return !this.state.first;
  }

  begin(): void {
    const { settings, tools } = this.owner;
    const { initialJitterMs } = settings.intervals;
    if (initialJitterMs === 0) this.check();
    else tools.pools.wheel.arm(this.intervalTimer, 1 + Math.floor(tools.random() * initialJitterMs));
  }

  [Symbol.dispose](): void {
    this.intervalTimer.retire();
    this.timeoutTimer.retire();
    this.probe[Symbol.dispose]();
  }

  private onTimer(kind: number): void {
    if (kind === intervalKind) {
      this.check();
      return;
    }
    this.probe.cancel();
    this.take(timedOut);
  }

  private check(): void {
    const { settings, tools, cluster } = this.owner;
    cluster.counters.healthCheckAttempt++;
    tools.pools.wheel.arm(this.timeoutTimer, settings.timeoutMs);
    this.probe.start((result) => this.take(result));
  }

  private take(result: CheckResult): void {
    const { owner, host, state } = this;
    this.timeoutTimer.disarm();
    const isFirst = state.first;
    const before = host.counts.checked;
    const verdict = state.take(result, before);
    const { cluster, settings, tools } = owner;
    const hasTraffic = cluster.counters.upstreamCxTotal > 0;
    tools.pools.wheel.arm(this.intervalTimer, nextCheckMs(settings.intervals, verdict, hasTraffic, tools.random));
    // May end with this host gone from the cluster, and this session with it.
    owner.found(host, { result, isFirst, before, after: verdict.flags });
  }
}

interface Finding {
  readonly result: CheckResult;
  readonly isFirst: boolean;
  readonly before: number;
  readonly after: number;
}

class Checker implements HealthChecker {
  readonly cluster: CompiledCluster;
  readonly settings: HealthCheckSettings;
  readonly tools: HealthCheckerTools;
  private readonly sessions = new Map<Host, Session>();

  constructor(cluster: CompiledCluster, settings: HealthCheckSettings, tools: HealthCheckerTools) {
    this.cluster = cluster;
    this.settings = settings;
    this.tools = tools;
  }

  get isFirstRoundOver(): boolean {
    for (const { wasChecked } of this.sessions.values()) if (!wasChecked) return false;
    return true;
  }

  sync(): void {
    const current = new Set(this.cluster.hosts().filter(({ check }) => check?.disabled !== true));
    for (const [host, session] of this.sessions) {
      if (current.has(host) && session.holds) continue;
      this.sessions.delete(host);
      session[Symbol.dispose]();
    }
    for (const host of current) {
      if (this.sessions.has(host)) continue;
      const session = new Session(this, host);
      this.sessions.set(host, session);
      session.begin();
    }
    this.count();
  }

  [Symbol.dispose](): void {
    for (const session of this.sessions.values()) session[Symbol.dispose]();
    this.sessions.clear();
    this.count();
  }

  found(host: Host, finding: Finding): void {
    const { cluster } = this;
    const { result, before, after } = finding;
    const { counters } = cluster;
    if (result.kind === "passed") {
      counters.healthCheckSuccess++;
    } else {
      counters.healthCheckFailure++;
      if (result.by !== "answer") counters.healthCheckNetworkFailure++;
    }
    this.write(host, finding);
    if (after !== before) {
      this.tell(host, before, after);
      cluster.setChecked(host, after);
      this.sync();
    }
    if (result.kind === "passed" && (after & checkFlags.failed) === 0) cluster.passedCheck(host);
    if (finding.isFirst) this.tools.onFirst?.();
  }

  private count(): void {
    const { counters } = this.cluster;
    let healthy = 0;
    let degraded = 0;
    for (const { counts } of this.sessions.keys()) {
      if ((counts.checked & checkFlags.failed) === 0) healthy++;
      if ((counts.checked & checkFlags.degraded) !== 0) degraded++;
    }
    counters.healthCheckHealthy = healthy;
    counters.healthCheckDegraded = degraded;
  }

  private tell({ address }: Host, before: number, after: number): void {
    const changed = (before ^ after) & checkFlags.failed;
    if (changed === 0) return;
    const found = (after & checkFlags.failed) === 0 ? "passes" : "fails";
    this.tools.log.info(`a host ${found} its health check`, { cluster: this.cluster.name, host: address });
  }

  private write(host: Host, finding: Finding): void {
    const { eventLog } = this.settings;
    if (eventLog === undefined) return;
    const { cluster, settings, tools } = this;
    for (const event of eventOf(host, finding, settings)) {
      const timestamp = new Date(tools.wallMs()).toISOString();
      tools.writeLine(eventLog, `${JSON.stringify({ ...event, cluster_name: cluster.name, timestamp })}\n`);
    }
  }
}

/** Begins with the hosts there are. */
export const createHealthChecker = (
  cluster: CompiledCluster,
  settings: HealthCheckSettings,
  tools: HealthCheckerTools,
): HealthChecker => {
  const checker = new Checker(cluster, settings, tools);
  checker.sync();
  return checker;
};
