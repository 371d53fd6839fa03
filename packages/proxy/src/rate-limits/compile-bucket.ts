import { ConfigError } from "@weft/core/config-error";
import type { TokenBucketJson } from "@weft/xds/gen/envoy/type/v3/token_bucket";
import { durationMs, member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { BucketMaker, TokenBucket } from "./token-bucket.ts";

/** Envoy takes no shorter intervals. */
const fillMsLeast = 50;

export interface BucketPlan {
  readonly make: (maker: BucketMaker) => TokenBucket;
  readonly perSecond: number;
}

/** How a bucket is made. */
export const compileBucket = (json: TokenBucketJson, at: string): BucketPlan => {
  refuseOthers(json, "TokenBucket", at, ["maxTokens", "tokensPerFill", "fillInterval"]);
  const max = unsigned(json.maxTokens, member(at, "maxTokens")) ?? 0;
  if (max === 0) throw new ConfigError(member(at, "maxTokens"), "must be greater than 0");
  const perFill = unsigned(json.tokensPerFill, member(at, "tokensPerFill")) ?? 1;
  if (perFill === 0) throw new ConfigError(member(at, "tokensPerFill"), "must be greater than 0");
  const intervalAt = member(at, "fillInterval");
  const intervalMs = required(durationMs(json.fillInterval, intervalAt), intervalAt);
  if (intervalMs < fillMsLeast) throw new ConfigError(intervalAt, `must be at least ${fillMsLeast} ms`);
  const perMs = perFill / intervalMs;
  return { make: (maker) => maker(max, perMs), perSecond: perMs * 1000 };
};
