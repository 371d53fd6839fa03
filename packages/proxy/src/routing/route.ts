import type { RequestHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { MetadataMatch } from "../balancers/balancer.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { DemandSettings } from "../on-demand/on-demand.ts";
import type { EditHeaders } from "./header-edits.ts";
import type { InternalRedirect } from "./internal-redirect.ts";
import type { MirrorPolicy } from "./mirror-policy.ts";
import type { RouteRateLimits } from "./rate-limit-rules.ts";
import type { AskedPause } from "./retry-back-off.ts";
import type { RetryHosts } from "./retry-hosts.ts";
import type { UpgradePolicy } from "./upgrade-policy.ts";

/**
 * A compiled RouteConfiguration; a request that matched keeps its route whatever is swapped in. Nothing of it changes but
 * by `learn`.
 */
export interface RouteTable {
  readonly name: string;
  /** The first route of the best virtual host that matches, per Envoy's order. `undefined`: no route (404, NR). */
  match(request: RequestHead, downstream: DownstreamInfo): Route | undefined;
  /** Names of the clusters that routes of this table, as it was given, can choose. */
  readonly clusterNames: ReadonlySet<string>;
  /** Where virtual hosts that are not here are fetched from; absent where they are all here. */
  readonly vhds?: DemandSettings | undefined;
  /** A virtual host that is here names that very authority: no other could take it. */
  readonly names: (authority: string) => boolean;
  /** Where it gets virtual hosts one by one. */
  readonly learn?: LearnHost | undefined;
}

/**
 * Compiles one virtual host, which takes the place of the one named `replaces`; throws ConfigError for what cannot be
 * taken. What it gives back changes the table. Neither looks at the other virtual hosts.
 */
export type LearnHost = (
  host: { readonly replaces: string | undefined; readonly json: VirtualHostJson | undefined },
  tools: Pick<CompileTools, "buckets">,
) => () => void;

export interface Route {
  readonly name: string;
  readonly virtualHost: string;
  readonly action: RouteAction;
  /** Applies request header operations of route, virtual host and table, most specific first. */
  readonly editRequest: EditHeaders;
  readonly editResponse: EditHeaders;
  /** `typed_per_filter_config`, route over virtual host over table: what the filter of that name made of it. */
  readonly filterConfig: ReadonlyMap<string, unknown>;
  /** `metadata.filter_metadata`: `istio.config` names the VirtualService. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Send `x-envoy-attempt-count` upstream, downstream, and upstream whether the try before took too long. */
  readonly attemptCount: {
    readonly inRequest: boolean;
    readonly inResponse: boolean;
    readonly timeoutInRequest?: boolean;
  };
  /** Bytes of a request's body that are kept to send it again; the proxy's own bound when absent. */
  readonly bufferBytesMax?: number | undefined;
  /** `metadata.filter_metadata.weft.retryBudget`: holds where the cluster itself bounds no retries. */
  readonly retryBudget?: RetryBudget | undefined;
  /** `metadata.filter_metadata.weft.unwrittenRetries`: nobody wrote its retries, so they are not made of retries. */
  readonly unwrittenRetries?: boolean;
  /** `metadata.filter_metadata.weft.hedging`: for requests without a bound on their tries. */
  readonly hedging?: Hedging | undefined;
  /** What of requests is counted apart; absent where nothing is. */
  readonly rateLimits?: RouteRateLimits | undefined;
  /** Filters that are switched off here, by their names in the chain. */
  readonly filtersOff?: ReadonlySet<string> | undefined;
}

/** Retries of requests that may have been executed are at most that share of the cluster's in ten seconds, or that many. */
export interface RetryBudget {
  readonly percent: number;
  readonly atLeast: number;
}

/** A try that is slower than that percentile of its cluster's has another beside it, within a share of all requests. */
export interface Hedging {
  readonly percentile: number;
  /** Never sooner. */
  readonly minDelayMs: number;
  readonly maxExtraPercent: number;
}

export type RouteAction = ForwardAction | RedirectAction | DirectResponseAction;

export interface ForwardAction {
  readonly kind: "forward";
  /** Requests count against the cluster's limits for priority HIGH. */
  readonly high?: boolean;
  /** Chooses the cluster's name: a constant, by weight with a random draw, or from a header. `random` is in [0, 1). */
  readonly clusterName: (request: RequestHead, random: number) => WeightedChoice;
  /** True where the client asks for an empty answer to what takes too long. */
  readonly rewrite: (request: RequestHead) => boolean;
  /**
   * The configured timeout; `timeoutFor` is what holds for a request. 0 is no timeout. Covers the whole exchange from the
   * end of the request to the end of the response.
   */
  readonly timeoutMs: number;
  /** With what `x-envoy-upstream-rq-timeout-ms` and `grpc-timeout` say. Ask before `rewrite`, which removes them. */
  readonly timeoutFor: (request: RequestHead) => number;
  /** The deadlines of gRPC calls hold, so each try is told in `grpc-timeout` what is left for it. */
  readonly tellsGrpcTimeout?: boolean;
  readonly idleTimeoutMs: number | undefined;
  /** How long the request may take in all, from its start; absent or `undefined` where the listener's bound holds. */
  readonly durationFor?: ((request: RequestHead) => number | undefined) | undefined;
  /** The configured policy; `undefined` also when it depends on the request. */
  readonly retry: RetryPolicy | undefined;
  /** With what `x-envoy-retry-on`, `x-envoy-max-retries` and the like say. Ask before `rewrite`. */
  readonly retryFor: (request: RequestHead) => RetryPolicy | undefined;
  readonly mirrors: readonly MirrorPolicy[];
  /** A try that is too slow is left running beside the next one; the first good answer counts. */
  readonly hedges: boolean;
  readonly internalRedirect: InternalRedirect | undefined;
  /** What a host's metadata must say, where the cluster has subsets. */
  readonly metadataMatch: MetadataMatch | undefined;
  /** The host's own name goes upstream as the authority, the client's as `x-forwarded-host` where that is kept. */
  readonly autoHost: boolean;
  readonly keepsForwardedHost: boolean;
  readonly hash:
    | ((
        request: RequestHead,
        downstream: DownstreamInfo,
      ) => { readonly hash: bigint | undefined; readonly setCookie: string | undefined })
    | undefined;
  /** Answer when the cluster is not there: 503 or 404 or 500. */
  readonly clusterNotFoundStatus: number;
  readonly upgrades: UpgradePolicy["upgrades"];
  readonly endsConnect: UpgradePolicy["endsConnect"];
}

export interface WeightedChoice {
  readonly cluster: string;
  readonly editRequest: EditHeaders | undefined;
  readonly editResponse: EditHeaders | undefined;
}

export interface RedirectAction {
  readonly kind: "redirect";
  readonly status: number;
  readonly location: (request: RequestHead) => string;
}

export interface DirectResponseAction {
  readonly kind: "direct";
  readonly status: number;
  readonly body: Uint8Array;
}

export interface RetryPolicy {
  readonly attempts: number;
  readonly perTryTimeoutMs: number | undefined;
  /** How long a try may rest, from its start to its end. */
  readonly perTryIdleTimeoutMs: number | undefined;
  readonly backOffBaseMs: number;
  readonly backOffMaxMs: number;
  readonly askedPauseMs: AskedPause | undefined;
  readonly avoidPreviousHosts: RetryHosts["avoidPreviousHosts"];
  readonly rejectsHost: RetryHosts["rejectsHost"];
  readonly priorityUpdateAfter: RetryHosts["priorityUpdateAfter"];
  /** The request says itself whether it hedges; its route says so when absent. */
  readonly hedges?: boolean | undefined;
  readonly hostSelectionAttempts: number;
  /** Is a response with this head to be retried? Called before any of it went downstream. */
  readonly retryResponse: (status: number, headers: HeaderList) => boolean;
  readonly retryFailure: (failure: AttemptFailure) => boolean;
}

/**
 * How an attempt failed before a response head came. `refused`: REFUSED_STREAM or GOAWAY below our stream, so not
 * executed.
 */
export type AttemptFailure =
  | "connect-failure"
  | "connect-timeout"
  | "refused"
  | "reset"
  | "reset-before-request"
  | "per-try-timeout"
  | "overflow";
