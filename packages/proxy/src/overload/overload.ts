import type { Clock, Random, SetTimer } from "@weft/core/world";
import type { Counter, Gauge, Stats } from "../observe/stats.ts";
import { loopDelaySamples } from "./limits.ts";
import type { OverloadAction, OverloadResource, OverloadSettings, OverloadTrigger } from "./overload-settings.ts";
import type { ShrinkTurn } from "./shrink-turn.ts";

/** What this thread holds of memory, and what it may. */
export interface MemoryReading {
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly heapLimitBytes: number;
  /** What is left to this thread of the process's limit; `undefined` where there is none. */
  readonly limitBytes: number | undefined;
}

export interface OverloadTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly setTimer: SetTimer;
  readonly stats: Stats;
  readonly memory: () => MemoryReading;
  /** How many threads write the same gauges, which add up: each writes its part of the average. */
  readonly threads: number;
  /** Collects garbage, while the requests of this thread wait. */
  readonly shrink: () => void;
  /** When that may be. */
  readonly shrinkTurn: ShrinkTurn;
  /** Closes some idle connections; `strength` is from 0 to 1. */
  readonly closeIdle: (strength: number) => void;
}

interface Watched {
  readonly resource: OverloadResource;
  readonly gauge: Gauge;
  pressure: number;
}

interface Action {
  readonly name: OverloadAction;
  readonly triggers: readonly OverloadTrigger[];
  readonly active: Gauge;
  readonly scale: Gauge;
  /** 0 for off, 1 for fully on, between them a probability. */
  value: number;
}

/**
 * How close this thread is to what it may use, and what it refuses for that. Requests ask it, so asking costs one
 * comparison while all is well.
 */
export class Overload implements Disposable {
  connections = 0;
  readonly connectionsMax: number;
  private requests = 0;
  private keepAlive = 0;
  private newConnections = 0;
  private readonly tools: OverloadTools;
  private readonly refreshMs: number;
  private readonly watched: readonly Watched[];
  private readonly actions: readonly Action[];
  private readonly overflow: Counter;
  private readonly connectionsActive: Gauge;
  private readonly delays: number[] = [];
  private timer: Disposable | undefined = undefined;
  private dueMs = 0;

  constructor(settings: OverloadSettings, tools: OverloadTools) {
    const { stats } = tools;
    this.tools = tools;
    this.refreshMs = settings.refreshMs;
    this.connectionsMax = settings.connectionsMax;
    this.overflow = stats.counter("overload.downstream_cx_overflow");
    this.connectionsActive = stats.gauge("overload.downstream_cx_active");
    this.watched = settings.resources.map((resource) => ({
      resource,
      gauge: stats.gauge(`overload.${resource.name}.pressure`),
      pressure: 0,
    }));
    this.actions = [...settings.triggers].map(([name, triggers]) => ({
      name,
      triggers,
      active: stats.gauge(`overload.${name}.active`),
      scale: stats.gauge(`overload.${name}.scale_percent`),
      value: 0,
    }));
    if (this.watched.length > 0) this.arm();
  }

  /** A new request is to be turned away. */
  shedsRequest(): boolean {
    return this.requests > 0 && this.drawn(this.requests);
  }
  /** A connection is to end after this request. */
  endsKeepAlive(): boolean {
    return this.keepAlive > 0 && this.drawn(this.keepAlive);
  }
  /** A new connection is to be closed at once. */
  refusesConnection(): boolean {
    const refused =
      this.connections >= this.connectionsMax || (this.newConnections > 0 && this.drawn(this.newConnections));
    if (refused) this.overflow.add(1);
    return refused;
  }
  entered(): void {
    this.connections++;
    this.connectionsActive.add(1);
  }
  left(): void {
    this.connections--;
    this.connectionsActive.add(-1);
  }

  /** Measures, and starts and ends actions by it. */
  refresh(): void {
    const memory = this.tools.memory();
    for (const each of this.watched) {
      each.pressure = this.pressureOf(each.resource, memory);
      each.gauge.set(Math.round((each.pressure * 100) / this.tools.threads));
    }
    for (const action of this.actions) {
      action.value = Math.max(0, ...action.triggers.map((trigger) => this.reached(trigger)));
      action.active.set(action.value >= 1 ? 1 : 0);
      action.scale.set(Math.round((action.value * 100) / this.tools.threads));
    }
    this.requests = this.valueOf("envoy.overload_actions.stop_accepting_requests");
    this.keepAlive = this.valueOf("envoy.overload_actions.disable_http_keepalive");
    this.newConnections = Math.max(
      this.valueOf("envoy.overload_actions.stop_accepting_connections"),
      this.valueOf("envoy.overload_actions.reject_incoming_connections"),
    );
    const { clock, shrink, shrinkTurn, closeIdle } = this.tools;
    const idle = this.valueOf("envoy.overload_actions.reduce_timeouts");
    if (idle > 0) closeIdle(idle);
    if (this.valueOf("envoy.overload_actions.shrink_heap") >= 1) shrinkTurn.take(() => clock.nowMs(), shrink);
  }

  [Symbol.dispose](): void {
    this.timer?.[Symbol.dispose]();
    this.timer = undefined;
  }

  private arm(): void {
    this.dueMs = this.tools.clock.nowMs() + this.refreshMs;
    this.timer = this.tools.setTimer(() => {
      this.delays.push(Math.max(0, this.tools.clock.nowMs() - this.dueMs));
      if (this.delays.length > loopDelaySamples) this.delays.shift();
      this.refresh();
      this.arm();
    }, this.refreshMs);
  }

  private drawn(value: number): boolean {
    return value >= 1 || this.tools.random() < value;
  }
  private valueOf(name: OverloadAction): number {
    return this.actions.find((action) => action.name === name)?.value ?? 0;
  }
  private reached({ resource, from, to }: OverloadTrigger): number {
    const pressure = this.watched.find((each) => each.resource.name === resource)?.pressure ?? 0;
    if (pressure >= to) return 1;
    return pressure <= from ? 0 : (pressure - from) / (to - from);
  }

  private pressureOf(resource: OverloadResource, memory: MemoryReading): number {
    if (resource.kind === "loopDelay") {
      if (this.delays.length < loopDelaySamples) return 0;
      return Math.min(...this.delays) / resource.limitMs;
    }
    const { heapBytes, externalBytes, heapLimitBytes } = memory;
    const ofHeap = heapBytes / heapLimitBytes;
    if (resource.limitBytes !== undefined) return Math.max(ofHeap, (heapBytes + externalBytes) / resource.limitBytes);
    if (memory.limitBytes === undefined) return ofHeap;
    return Math.max(ofHeap, (heapBytes + externalBytes) / memory.limitBytes);
  }
}
