import type { Random } from "@weft/core/world";

export interface GradientSettings {
  readonly minLimit: number;
  readonly maxLimit: number;
  /** From 0 to 100: which of a window's latencies stands for all. */
  readonly percentile: number;
  readonly updateMs: number;
  /** Time between measurements of the best latency, and so many requests for one. */
  readonly measureEveryMs: number;
  readonly measureRequests: number;
  /** Share by which that time is longer, at random, so that instances do not measure together. */
  readonly jitter: number;
  /** Share of the best latency that a latency may be above it. */
  readonly buffer: number;
}

/** Latencies of a window; those beyond take the places of the first. */
const samplesMax = 1000;
const gradientLeast = 0.5;
const gradientMost = 2;
/** After so many windows at the least limit the best latency is measured again: the server may have become slower. */
const windowsAtLeastMax = 5;

/**
 * Envoy's gradient controller: how many requests at once a server answers about as fast as it can. The limit goes down as
 * latencies rise above the best one, which is measured now and then with the least limit. Time is told by its callers.
 */
export class GradientController {
  limit: number;
  inFlight = 0;
  bestMs = 0;
  private readonly settings: GradientSettings;
  private readonly random: Random;
  private readonly samples: number[] = [];
  private taken = 0;
  private measuring = true;
  private measuringSinceMs = Number.NEGATIVE_INFINITY;
  private limitBefore: number;
  private nextUpdateMs = 0;
  private nextMeasureMs = 0;
  private windowsAtLeast = 0;

  constructor(settings: GradientSettings, random: Random) {
    this.settings = settings;
    this.random = random;
    this.limit = settings.minLimit;
    this.limitBefore = settings.minLimit;
  }

  /** Whether one more request may be under way; each that may is given back. */
  take(nowMs: number): boolean {
    this.advance(nowMs);
    if (this.inFlight >= this.limit) return false;
    this.inFlight++;
    return true;
  }

  /** The request is over. `answered`: how long that took says something of the server. */
  give(startMs: number, nowMs: number, answered: boolean): void {
    this.inFlight--;
    // What began before a measurement ran beside too many others.
    if (answered && (!this.measuring || startMs >= this.measuringSinceMs)) {
      this.samples[this.taken % samplesMax] = Math.max(0, nowMs - startMs);
      this.taken++;
    }
    this.advance(nowMs);
  }

  private advance(nowMs: number): void {
    const { settings } = this;
    if (this.measuring) {
      if (this.taken >= settings.measureRequests) this.measured(nowMs);
    } else if (nowMs >= this.nextMeasureMs) this.measure(nowMs);
    else if (nowMs >= this.nextUpdateMs) this.update(nowMs);
  }

  private measure(nowMs: number): void {
    this.measuring = true;
    this.measuringSinceMs = nowMs;
    this.limitBefore = this.limit;
    this.limit = this.settings.minLimit;
    this.windowsAtLeast = 0;
    this.forget();
  }

  private measured(nowMs: number): void {
    const { measureEveryMs, jitter, updateMs } = this.settings;
    this.bestMs = this.typical();
    this.measuring = false;
    this.limit = this.limitBefore;
    this.nextMeasureMs = nowMs + measureEveryMs * (1 + jitter * this.random());
    this.nextUpdateMs = nowMs + updateMs;
    this.forget();
  }

  private update(nowMs: number): void {
    const { minLimit, maxLimit, updateMs, buffer } = this.settings;
    this.nextUpdateMs = nowMs + updateMs;
    if (this.taken === 0) return;
    const typicalMs = this.typical();
    this.forget();
    const ratio = typicalMs > 0 ? (this.bestMs * (1 + buffer)) / typicalMs : gradientMost;
    const gradient = Math.min(gradientMost, Math.max(gradientLeast, ratio));
    const kept = this.limit * gradient;
    // Room to find out that more is possible.
    this.limit = Math.min(maxLimit, Math.max(minLimit, Math.floor(kept + Math.sqrt(kept))));
    this.windowsAtLeast = this.limit === minLimit ? this.windowsAtLeast + 1 : 0;
    if (this.windowsAtLeast >= windowsAtLeastMax) this.measure(nowMs);
  }

  private typical(): number {
    const sorted = this.samples.slice(0, Math.min(this.taken, samplesMax)).sort((a, b) => a - b);
    const index = Math.ceil((sorted.length * this.settings.percentile) / 100) - 1;
    return sorted[Math.max(0, index)] ?? 0;
  }

  private forget(): void {
    this.taken = 0;
    this.samples.length = 0;
  }
}
