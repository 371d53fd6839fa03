import type { Random } from "@weft/core/world";
import type { ResponseHead } from "@weft/protocols/http/head";
import type { PickRequest } from "../balancers/balancer.ts";
import { breakers } from "../clusters/circuit-load.ts";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { AttemptFailure, RetryPolicy } from "../routing/route.ts";
import type { UpstreamBreak } from "./streams.ts";

/** How a route's retry policy calls that break. */
export const failureOf = (how: UpstreamBreak, headSent: boolean): AttemptFailure => {
  switch (how) {
    case "connection-termination":
    case "remote-reset":
    case "protocol-error":
      return headSent ? "reset" : "reset-before-request";
    default:
      return how;
  }
};

/** The retry state of one request: what is left, what it holds of the cluster's retry limit, which hosts it met. */
export class Retries {
  /** Why the last retry that was wanted did not happen. */
  refusalFlag = "";
  private readonly random: Random;
  private policy: RetryPolicy | undefined = undefined;
  private left = 0;
  private made = 0;
  private holder: Cluster | undefined = undefined;
  private cluster: Cluster | undefined = undefined;
  private readonly hosts: Host[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  begin(policy: RetryPolicy | undefined, cluster: Cluster): void {
    this.policy = policy;
    this.left = policy?.attempts ?? 0;
    this.made = 0;
    this.cluster = cluster;
    this.refusalFlag = "";
  }

  /** A retry was made. */
  get any(): boolean {
    return this.made > 0;
  }
  get perTryTimeoutMs(): number {
    return this.policy?.perTryTimeoutMs ?? 0;
  }
  /** The next try's host: none met before, where the policy wants others and there are any. */
  pick(cluster: Cluster, request: PickRequest): Host | undefined {
    let host = cluster.pick(request);
    const { avoidPreviousHosts = false, hostSelectionAttempts = 0 } = this.policy ?? {};
    if (!avoidPreviousHosts || hostSelectionAttempts === 0) return host;
    for (let i = 0; i < hostSelectionAttempts && host !== undefined && this.hosts.includes(host); i++) {
      host = cluster.pick(request);
    }
    if (host !== undefined && this.hosts.includes(host)) host = this.untriedBeside(host, cluster);
    if (host !== undefined) this.hosts.push(host);
    return host;
  }
  /**
   * A host as good as that one and not tried yet; else that one. A balancer that prefers the least busy keeps offering
   * the host that refuses everything.
   */
  private untriedBeside(host: Host, cluster: Cluster): Host {
    const { health, ejected, priority } = host;
    const others = cluster
      .hosts()
      .filter(
        (other) =>
          !this.hosts.includes(other) &&
          other.health === health &&
          other.ejected === ejected &&
          other.priority === priority,
      );
    return others[Math.floor(this.random() * others.length)] ?? host;
  }

  wantsResponse(head: ResponseHead, canReplay: boolean): boolean {
    return canReplay && this.policy?.retryResponse(head.status, head.headers) === true;
  }
  wantsFailure(failure: AttemptFailure, canReplay: boolean): boolean {
    return canReplay && this.policy?.retryFailure(failure) === true;
  }

  /** Takes one retry, within the policy's number and the cluster's limit; else `refusalFlag` says why not. */
  take(cluster: Cluster): boolean {
    this.release();
    if (this.left === 0) {
      cluster.counters.upstreamRqRetryLimitExceeded++;
      this.refusalFlag = "URX";
      return false;
    }
    if (!cluster.load.take(breakers.retries, retriesMax(cluster))) {
      cluster.counters.upstreamRqRetryOverflow++;
      this.refusalFlag = "UO";
      return false;
    }
    this.left--;
    this.made++;
    this.holder = cluster;
    cluster.counters.upstreamRqRetry++;
    return true;
  }

  /** Full jitter over an exponentially growing span, as Envoy does. */
  backOffMs(): number {
    const { policy } = this;
    if (policy === undefined) return 0;
    const span = Math.min(policy.backOffMaxMs, policy.backOffBaseMs * 2 ** (this.made - 1));
    return Math.floor(this.random() * span);
  }

  /** The final response is there. */
  settle(success: boolean): void {
    if (this.made > 0 && success && this.cluster !== undefined) this.cluster.counters.upstreamRqRetrySuccess++;
  }

  end(): void {
    this.release();
    this.policy = undefined;
    this.cluster = undefined;
    this.hosts.length = 0;
  }

  private release(): void {
    if (this.holder === undefined) return;
    this.holder.load.give(breakers.retries);
    this.holder = undefined;
  }
}

const retriesMax = ({ limits, load }: Cluster): number => {
  const budget = limits.retryBudget;
  if (budget === undefined) return limits.maxRetries;
  const active = load.requests + load.pendingRequests;
  return Math.max(budget.minConcurrency, Math.floor((active * budget.percent) / 100));
};
