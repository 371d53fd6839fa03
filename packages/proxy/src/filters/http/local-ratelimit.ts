/** Answers 429 to what goes over a rate: of all requests, of one connection's, or of those that are alike. */
import { ConfigError } from "@weft/core/config-error";
import { HeaderList } from "@weft/protocols/http/headers";
import type { RateLimitJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { LocalRateLimitJson } from "@weft/xds/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit";
import { oneOf, refuseOthers, required, unsigned } from "../../compile/fields.ts";
import type { CompileTools } from "../../compile/tools.ts";
import type { DownstreamInfo, Exchange, LocalReply } from "../../http/exchange.ts";
import { drawShare, runtimeShare } from "../../matching/runtime-fraction.ts";
import { compileLimiter, type Limiter } from "../../rate-limits/limiter.ts";
import { compileRateLimits, type Descriptor, type RateLimitRule } from "../../rate-limits/rate-limit-actions.ts";
import { type BucketMaker, localBucket } from "../../rate-limits/token-bucket.ts";
import { compileHeaderEdits, type EditHeaders } from "../../routing/header-edits.ts";
import { errorStatus } from "./error-status.ts";
import type { FilterTools, HttpFilterKind } from "./filter.ts";

export const localRateLimitName = "envoy.filters.http.local_ratelimit";

type Json = LocalRateLimitJson & { readonly rateLimits?: readonly RateLimitJson[] };

interface Limit {
  readonly statPrefix: string;
  readonly enabled: () => boolean;
  readonly enforced: () => boolean;
  /** `undefined` where nothing is limited. */
  readonly limiterOf: ((downstream: DownstreamInfo) => Limiter) | undefined;
  readonly rulesOf: ((exchange: Exchange) => readonly RateLimitRule[]) | undefined;
  readonly stage: number;
  readonly tells: boolean;
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly editRequest: EditHeaders;
  readonly editReply: EditHeaders;
}

const resourceExhausted = 8;

/** One for all, of buckets that all threads take from, or one for each connection. */
const shareLimiter = (
  make: (maker: BucketMaker) => Limiter,
  perConnection: boolean,
  buckets: BucketMaker = localBucket,
): ((downstream: DownstreamInfo) => Limiter) => {
  if (!perConnection) {
    const only = make(buckets);
    return () => only;
  }
  const byConnection = new WeakMap<DownstreamInfo, Limiter>();
  return (downstream) => {
    let limiter = byConnection.get(downstream);
    if (!limiter) {
      limiter = make(localBucket);
      byConnection.set(downstream, limiter);
    }
    return limiter;
  };
};

/** Rules of the filter's own where it has any; else those of route and virtual host. */
const compileRules = (json: Json): Limit["rulesOf"] => {
  const own = compileRateLimits(json.rateLimits, "rateLimits");
  if (own.length > 0) return () => own;
  const option = oneOf(json.vhRateLimits, ["OVERRIDE", "INCLUDE", "IGNORE"], "OVERRIDE", "vhRateLimits");
  return ({ route }) => {
    const limits = route?.rateLimits;
    if (limits === undefined) return [];
    if (limits.includesHost || option === "INCLUDE") return limits.both;
    return option === "IGNORE" || limits.route.length > 0 ? limits.route : limits.virtualHost;
  };
};

const fields = [
  "statPrefix",
  "status",
  "tokenBucket",
  "filterEnabled",
  "filterEnforced",
  "requestHeadersToAddWhenNotEnforced",
  "responseHeadersToAdd",
  "descriptors",
  "stage",
  "localRateLimitPerDownstreamConnection",
  "enableXRatelimitHeaders",
  "vhRateLimits",
  "alwaysConsumeDefaultTokenBucket",
  "rateLimitedAsResourceExhausted",
  "rateLimits",
] as const;

/** Envoy takes what is no error for its own 429. */
const statusOf = (json: Json): number => errorStatus(json.status?.code) ?? 429;

const shareOf = (json: Json["filterEnabled"], at: string, { random }: CompileTools): (() => boolean) =>
  json ? drawShare(runtimeShare(json, at), random) : () => false;

const compileLimit = (json: Json, tools: CompileTools, perRoute: boolean): Limit => {
  refuseOthers(json, "LocalRateLimit", "", fields);
  if (perRoute && !json.tokenBucket) throw new ConfigError("tokenBucket", "is required");
  const { clock } = tools;
  const plan = compileLimiter(json, "");
  const edits = (add: Json["responseHeadersToAdd"], direction: "request" | "response", at: string) =>
    compileHeaderEdits({ add, remove: undefined, direction, clock, at });
  return {
    statPrefix: json.tokenBucket ? required(json.statPrefix, "statPrefix") : (json.statPrefix ?? ""),
    enabled: shareOf(json.filterEnabled, "filterEnabled", tools),
    enforced: shareOf(json.filterEnforced, "filterEnforced", tools),
    limiterOf:
      json.tokenBucket || plan.describes
        ? shareLimiter(plan.make, json.localRateLimitPerDownstreamConnection === true, tools.buckets)
        : undefined,
    rulesOf: plan.describes ? compileRules(json) : undefined,
    stage: unsigned(json.stage, "stage") ?? 0,
    tells: json.enableXRatelimitHeaders === "DRAFT_VERSION_03",
    status: statusOf(json),
    grpcStatus: json.rateLimitedAsResourceExhausted ? resourceExhausted : undefined,
    editRequest: edits(json.requestHeadersToAddWhenNotEnforced, "request", "requestHeadersToAddWhenNotEnforced"),
    editReply: edits(json.responseHeadersToAdd, "response", "responseHeadersToAdd"),
  };
};

const noDescriptors: readonly Descriptor[] = [];

const describe = (limit: Limit, exchange: Exchange, ownCluster: string): readonly Descriptor[] => {
  if (limit.rulesOf === undefined) return noDescriptors;
  const found: Descriptor[] = [];
  for (const rule of limit.rulesOf(exchange)) {
    const descriptor = rule.stage === limit.stage ? rule.describe(exchange, ownCluster) : undefined;
    if (descriptor !== undefined) found.push(descriptor);
  }
  return found;
};

const refusal = (limit: Limit, { downstream, request }: Exchange, object: string | undefined): LocalReply => {
  const edited = new HeaderList();
  limit.editReply(edited, downstream, request);
  const headers: (readonly [string, string])[] = [];
  for (let i = 0; i < edited.size; i++) headers.push([edited.nameAt(i), edited.valueAt(i)]);
  const { status, grpcStatus } = limit;
  return {
    status,
    flags: "RL",
    details: "local_rate_limited",
    body: "local_rate_limited",
    headers,
    ...(object === undefined ? {} : { object }),
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
  };
};

type Tell = (headers: HeaderList) => void;

const build = (own: Limit, { counter, clock, node, name = localRateLimitName }: FilterTools) => {
  const countersOf = new WeakMap<Limit, ReturnType<typeof makeCounters>>();
  const makeCounters = ({ statPrefix }: Limit) => {
    const at = `${statPrefix}.http_local_rate_limit.`;
    return {
      enabled: counter(`${at}enabled`),
      ok: counter(`${at}ok`),
      limited: counter(`${at}rate_limited`),
      enforced: counter(`${at}enforced`),
    };
  };
  // The control plane names filters by their objects.
  const [, kind, ofObject] = /^weft\.(LocalRateLimit)\/(.+)$/.exec(name) ?? [];
  const object = kind === undefined ? undefined : `${kind} ${ofObject}`;
  const told = new Map<Exchange, Tell>();
  const remember = (limiter: Limiter, exchange: Exchange, nowMs: number): void => {
    const bucket = limiter.decided;
    if (bucket === undefined) return;
    const values = [bucket.max, bucket.remaining(nowMs), bucket.resetSeconds(nowMs)].map(String);
    told.set(exchange, (headers) => {
      headers.add("x-ratelimit-limit", values[0] ?? "");
      headers.add("x-ratelimit-remaining", values[1] ?? "");
      headers.add("x-ratelimit-reset", values[2] ?? "");
    });
  };
  return {
    onRequest(exchange: Exchange) {
      // A request whose redirect is followed comes here again, by another route.
      if (told.size > 0) told.delete(exchange);
      const limit = (exchange.route?.filterConfig.get(name) as Limit | undefined) ?? own;
      if (limit.limiterOf === undefined || !limit.enabled()) return undefined;
      let counters = countersOf.get(limit);
      if (!counters) {
        counters = makeCounters(limit);
        countersOf.set(limit, counters);
      }
      counters.enabled.add(1);
      const nowMs = clock.nowMs();
      const limiter = limit.limiterOf(exchange.downstream);
      const allowed = limiter.allows(describe(limit, exchange, node.cluster), nowMs);
      if (limit.tells) remember(limiter, exchange, nowMs);
      if (allowed) {
        counters.ok.add(1);
        return undefined;
      }
      counters.limited.add(1);
      if (!limit.enforced()) {
        limit.editRequest(exchange.request.headers, exchange.downstream, exchange.request);
        return undefined;
      }
      counters.enforced.add(1);
      return refusal(limit, exchange, object);
    },
    onResponse(exchange: Exchange) {
      if (told.size > 0) told.get(exchange)?.(exchange.response.headers);
    },
    onEnd(exchange: Exchange) {
      if (told.size > 0) told.delete(exchange);
    },
  };
};

export const localRateLimit: HttpFilterKind = {
  name: localRateLimitName,
  typeName: "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
  configure(raw) {
    return (tools) => build(compileLimit(raw as Json, tools, false), tools);
  },
  configureRoute: (raw, tools) => compileLimit(raw as Json, tools, true),
};
