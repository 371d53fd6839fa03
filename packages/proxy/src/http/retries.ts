import type { Clock, Random } from "@weft/core/world";
import type { ResponseHead } from "@weft/protocols/http/head";
import type { MetadataMatch } from "../balancers/balancer.ts";
import { breakers } from "../clusters/circuit-load.ts";
import type { CircuitLimits, Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { AttemptFailure, RetryBudget, RetryPolicy, Route } from "../routing/route.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpTools } from "./hcm-settings.ts";
import { type RetryChain, retriedHeader } from "./retry-chain.ts";
import type { UpstreamBreak } from "./streams.ts";

/** What one request asks of a balancer, again and again. */
export interface MutablePick {
  hash: bigint | undefined;
  attempt: number;
  metadataMatch: MetadataMatch | undefined;
}

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

/** What failed so asked nothing of an application. */
export const neverSent: ReadonlySet<AttemptFailure> = new Set([
  "connect-failure",
  "connect-timeout",
  "refused",
  "reset-before-request",
]);

/** The retry state of one request: what is left, what it holds of the cluster's retry limit, which hosts it met. */
export class Retries {
  /** Why the last retry that was wanted did not happen. */
  refusalFlag = "";
  private readonly random: Random;
  private policy: RetryPolicy | undefined = undefined;
  /** How many more there may be. */
  left = 0;
  private made = 0;
  private askedMs: number | undefined = undefined;
  private holder: Cluster | undefined = undefined;
  private cluster: Cluster | undefined = undefined;
  private budget: RetryBudget | undefined = undefined;
  /** Nobody wrote that there are any. */
  private unwritten = false;
  /** The request is a retry already. */
  private again = false;
  private readonly chain: RetryChain;
  private readonly clock: Clock;
  private readonly hosts: Host[] = [];

  constructor({ random, clock, retryChain }: Pick<HttpTools, "random" | "clock" | "retryChain">) {
    this.random = random;
    this.clock = clock;
    this.chain = retryChain;
  }

  /** The route's budget holds where the cluster has no bound of its own. */
  begin(policy: RetryPolicy | undefined, cluster: Cluster, route: Route, { request, startMs }: Exchange): void {
    this.policy = policy;
    this.budget = route.retryBudget;
    // What the request's own headers ask for is written.
    this.unwritten =
      route.unwrittenRetries === true && route.action.kind === "forward" && route.action.retry === policy;
    this.again = this.unwritten && this.chain.isRetry(request.headers, startMs);
    if (this.budget !== undefined && !this.again) cluster.times.retryShare.count(startMs);
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
  get perTryIdleTimeoutMs(): number {
    return this.policy?.perTryIdleTimeoutMs ?? 0;
  }
  /** The next try's host: one the policy wants, where there is any. */
  pick(cluster: Cluster, request: MutablePick): Host | undefined {
    const { policy } = this;
    if (policy === undefined || !(policy.avoidPreviousHosts || policy.rejectsHost || policy.priorityUpdateAfter))
      return cluster.pick(request);
    const host = this.hosts.length === 0 ? cluster.pick(request) : this.pickAgain(policy, cluster, request);
    if (host !== undefined) this.hosts.push(host);
    return host;
  }
  private pickAgain(policy: RetryPolicy, cluster: Cluster, request: MutablePick): Host | undefined {
    const elsewhere = this.ofOtherPriority(policy, cluster);
    let host = elsewhere ?? cluster.pick(request);
    for (let i = 1; i <= policy.hostSelectionAttempts && host !== undefined && this.declines(policy, host); i++) {
      request.attempt = i;
      host = this.ofOtherPriority(policy, cluster) ?? cluster.pick(request);
    }
    request.attempt = 0;
    if (policy.hostSelectionAttempts === 0 || host === undefined || !policy.avoidPreviousHosts) return host;
    return this.hosts.includes(host) ? this.untriedBeside(host, cluster) : host;
  }
  private declines(policy: RetryPolicy, host: Host): boolean {
    if (policy.avoidPreviousHosts && this.hosts.includes(host)) return true;
    return policy.rejectsHost?.(host) === true;
  }
  /** A host of the lowest priority not met yet, where the policy leaves out those met and there is another. */
  private ofOtherPriority({ priorityUpdateAfter: after }: RetryPolicy, cluster: Cluster): Host | undefined {
    if (after === undefined || this.hosts.length < after) return undefined;
    const counted = this.hosts.slice(0, this.hosts.length - (this.hosts.length % after));
    const met = new Set(counted.map(({ priority }) => priority));
    let lowest = Number.POSITIVE_INFINITY;
    let others: Host[] = [];
    for (const host of cluster.hosts()) {
      if (met.has(host.priority) || host.priority > lowest || host.health !== "healthy" || host.ejected) continue;
      if (host.priority < lowest) others = [];
      lowest = host.priority;
      others.push(host);
    }
    return others[Math.floor(this.random() * others.length)];
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
    if (!canReplay || this.policy?.retryResponse(head.status, head.headers) !== true) return false;
    return !(this.unwritten && head.headers.has(retriedHeader));
  }
  wantsFailure(failure: AttemptFailure, canReplay: boolean): boolean {
    return canReplay && this.policy?.retryFailure(failure) === true;
  }

  /** A slow try runs on beside another one, whatever the policy retries. */
  hedges(byRoute: boolean): boolean {
    return this.policy !== undefined && (this.policy.hedges ?? byRoute);
  }
  /** Keeps how long the answer asks to wait. */
  heed(head: ResponseHead, nowWallMs: number): void {
    this.askedMs = this.policy?.askedPauseMs?.(head.headers, nowWallMs);
  }

  /**
   * Takes one retry, within the policy's number and the cluster's limit; else `refusalFlag` says why not. What was not
   * `sent` asked nothing of anybody, so the route's budget does not count it; nor what has a share of its own.
   */
  take(cluster: Cluster, sent: boolean, counts = sent): boolean {
    this.release();
    if (this.left === 0) {
      cluster.counters.upstreamRqRetryLimitExceeded++;
      this.refusalFlag = "URX";
      return false;
    }
    if (sent && this.again) {
      this.refusalFlag = "";
      return false;
    }
    const budget = boundsRetries(cluster.limits) ? undefined : this.budget;
    const isFree = budget !== undefined && !counts;
    const isOver = counts && budget !== undefined && !this.hasShare(cluster, budget);
    if (isOver || (!isFree && !cluster.load.take(breakers.retries, retriesMax(cluster)))) {
      cluster.counters.upstreamRqRetryOverflow++;
      this.refusalFlag = "UO";
      return false;
    }
    if (!isFree) this.holder = cluster;
    this.left--;
    this.made++;
    cluster.counters.upstreamRqRetry++;
    return true;
  }

  /** What the answer asks for and up to half of it more; else full jitter over an exponentially growing span. */
  backOffMs(): number {
    const { policy, askedMs } = this;
    if (policy === undefined) return 0;
    this.askedMs = undefined;
    if (askedMs !== undefined) return Math.floor(askedMs * (1 + this.random() / 2));
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
    this.askedMs = undefined;
    this.hosts.length = 0;
  }

  private hasShare({ times }: Cluster, { percent, atLeast }: RetryBudget): boolean {
    return times.retryShare.take(this.clock.nowMs(), percent, atLeast);
  }
  private release(): void {
    if (this.holder === undefined) return;
    this.holder.load.give(breakers.retries);
    this.holder = undefined;
  }
}

/** Envoy's number for "no limit" is infinite here. */
const boundsRetries = ({ retryBudget, maxRetries }: CircuitLimits): boolean =>
  retryBudget !== undefined || maxRetries !== Number.POSITIVE_INFINITY;

const retriesMax = ({ limits, load }: Cluster): number => {
  const budget = limits.retryBudget;
  if (budget === undefined) return limits.maxRetries;
  const active = load.requests + load.pendingRequests;
  return Math.max(budget.minConcurrency, Math.floor((active * budget.percent) / 100));
};
