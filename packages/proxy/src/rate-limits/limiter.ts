/** A default bucket, and buckets for requests that have certain descriptors. */
import { ConfigError } from "@weft/core/config-error";
import type { LocalRateLimitDescriptorJson } from "@weft/xds/gen/envoy/extensions/common/ratelimit/v3/ratelimit";
import type { TokenBucketJson } from "@weft/xds/gen/envoy/type/v3/token_bucket";
import { member, refuseOthers, required } from "../compile/fields.ts";
import { type BucketPlan, compileBucket } from "./compile-bucket.ts";
import { type Descriptor, descriptorEntry } from "./rate-limit-actions.ts";
import type { TokenBucket } from "./token-bucket.ts";

export interface Limiter {
  /** Takes what the request needs; what was asked last is in `decided`. */
  allows(descriptors: readonly Descriptor[], nowMs: number): boolean;
  /** The bucket that decided: the one that had nothing left, else the one nearest to it. */
  readonly decided: TokenBucket | undefined;
}

export interface LimiterPlan {
  readonly make: () => Limiter;
  readonly describes: boolean;
}

interface Described {
  readonly descriptor: Descriptor;
  readonly plan: BucketPlan;
}

class BucketLimiter implements Limiter {
  decided: TokenBucket | undefined = undefined;
  private readonly own: TokenBucket | undefined;
  private readonly described: readonly { readonly descriptor: Descriptor; readonly bucket: TokenBucket }[];
  private readonly always: boolean;

  constructor(own: TokenBucket | undefined, described: BucketLimiter["described"], always: boolean) {
    this.own = own;
    this.described = described;
    this.always = always;
  }
  allows(descriptors: readonly Descriptor[], nowMs: number): boolean {
    this.decided = undefined;
    let matched = false;
    if (descriptors.length > 0) {
      for (const { descriptor, bucket } of this.described) {
        if (!descriptors.includes(descriptor)) continue;
        matched = true;
        if (!bucket.take(nowMs)) return this.refused(bucket);
        this.nearest(bucket, nowMs);
      }
    }
    const { own } = this;
    if (own === undefined || (matched && !this.always)) return true;
    if (!own.take(nowMs)) return this.refused(own);
    this.nearest(own, nowMs);
    return true;
  }
  private refused(bucket: TokenBucket): false {
    this.decided = bucket;
    return false;
  }
  private nearest(bucket: TokenBucket, nowMs: number): void {
    if (this.decided === undefined || bucket.remaining(nowMs) < this.decided.remaining(nowMs)) this.decided = bucket;
  }
}

export interface LimiterJson {
  readonly tokenBucket?: TokenBucketJson;
  readonly descriptors?: readonly LocalRateLimitDescriptorJson[];
  readonly alwaysConsumeDefaultTokenBucket?: boolean;
}

/** Compiles buckets; the strictest are asked first, so that a request that is refused took little of the others. */
export const compileLimiter = (json: LimiterJson, at: string): LimiterPlan => {
  const own = json.tokenBucket && compileBucket(json.tokenBucket, member(at, "tokenBucket"));
  const described: Described[] = (json.descriptors ?? []).map((each, index) => {
    const here = member(at, `descriptors[${index}]`);
    refuseOthers(each, "LocalRateLimitDescriptor", here, ["entries", "tokenBucket"]);
    const entries = (each.entries ?? []).map(({ key, value }, i) => {
      if (!value) throw new ConfigError(`${here}.entries[${i}].value`, "any value is not supported");
      return descriptorEntry(required(key, `${here}.entries[${i}].key`), value);
    });
    if (entries.length === 0) throw new ConfigError(member(here, "entries"), "is required");
    const bucketAt = member(here, "tokenBucket");
    return { descriptor: entries.join(""), plan: compileBucket(required(each.tokenBucket, bucketAt), bucketAt) };
  });
  const seen = new Set<string>();
  for (const [index, { descriptor }] of described.entries()) {
    if (seen.has(descriptor)) throw new ConfigError(member(at, `descriptors[${index}]`), "is given twice");
    seen.add(descriptor);
  }
  described.sort((a, b) => a.plan.perSecond - b.plan.perSecond);
  const always = json.alwaysConsumeDefaultTokenBucket !== false;
  return {
    describes: described.length > 0,
    make: () =>
      new BucketLimiter(
        own?.make(),
        described.map(({ descriptor, plan }) => ({ descriptor, bucket: plan.make() })),
        always,
      ),
  };
};
