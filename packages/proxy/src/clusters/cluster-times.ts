import type { Histogram } from "../observe/stats.ts";
import { HedgePace } from "./hedge-pace.ts";
import type { Host } from "./host.ts";
import { RetryShare } from "./retry-share.ts";

type MakeHistogram = (name: string) => Histogram;

/** The histograms of one cluster under Envoy's names, each made when its first value comes. */
export class ClusterTimes {
  private readonly statName: string;
  private readonly make: MakeHistogram | undefined;
  /** Told how long each host took, where the balancer minds that. */
  observer: ((host: Host, ms: number) => void) | undefined = undefined;
  private request: Histogram | undefined = undefined;
  private connect: Histogram | undefined = undefined;
  private length: Histogram | undefined = undefined;
  private pace: HedgePace | undefined = undefined;
  private share: RetryShare | undefined = undefined;

  /** Without `make` nothing is recorded. */
  constructor(statName: string, make: MakeHistogram | undefined) {
    this.statName = statName;
    this.make = make;
  }

  /** From the request's last byte sent to the answer's head, milliseconds. */
  requestTook(ms: number, host?: Host): void {
    if (this.observer !== undefined && host !== undefined) this.observer(host, ms);
    this.request ??= this.histogram("upstream_rq_time");
    this.request?.record(ms);
  }
  /** What is slow for this cluster; it comes to be where a route hedges, and learns anew when the cluster changes. */
  get hedgePace(): HedgePace {
    this.pace ??= new HedgePace();
    return this.pace;
  }
  /** Bounds retries nobody wrote; it comes to be where a route has such. */
  get retryShare(): RetryShare {
    this.share ??= new RetryShare();
    return this.share;
  }
  connectTook(ms: number): void {
    this.connect ??= this.histogram("upstream_cx_connect_ms");
    this.connect?.record(ms);
  }
  /** A connection that stood is gone. */
  connectionLasted(ms: number): void {
    this.length ??= this.histogram("upstream_cx_length_ms");
    this.length?.record(ms);
  }

  private histogram(name: string): Histogram | undefined {
    return this.make?.(`cluster.${this.statName}.${name}`);
  }
}
