/** A default bucket, and buckets for requests that have certain descriptors. */
import { ConfigError } from "@weft/core/config-error";
import type { LocalRateLimitDescriptorJson } from "@weft/xds/gen/envoy/extensions/common/ratelimit/v3/ratelimit";
import type { TokenBucketJson } from "@weft/xds/gen/envoy/type/v3/token_bucket";
import { member, refuseOthers, required } from "../compile/fields.ts";
import { type BucketPlan, compileBucket } from "./compile-bucket.ts";
import { KeyedBuckets } from "./keyed-buckets.ts";
import { type Descriptor, descriptorEntry, descriptorKey } from "./rate-limit-actions.ts";
import { type BucketMaker, localBucket, type TokenBucket } from "./token-bucket.ts";

export interface Limiter {
  /** Takes what the request needs; what was asked last is in `decided`. */
  allows(descriptors: readonly Descriptor[], nowMs: number): boolean;
  /** The bucket that decided: the one that had nothing left, else the one nearest to it. */
  readonly decided: TokenBucket | undefined;
}

export interface LimiterPlan {
  /** Of this thread alone, unless told how to make its buckets. */
  readonly make: (maker?: BucketMaker) => Limiter;
  readonly describes: boolean;
}

interface Described {
  readonly descriptor: Descriptor;
  readonly plan: BucketPlan;
  /** The last entry has any value: each has a bucket. */
  readonly keyed: boolean;
}

interface DescribedBucket {
  readonly descriptor: Descriptor;
  readonly bucket: TokenBucket | KeyedBuckets;
}

const bucketFor = (
  { descriptor, bucket }: DescribedBucket,
  descriptors: readonly Descriptor[],
): TokenBucket | undefined => {
  if (bucket instanceof KeyedBuckets) return bucket.of(descriptors);
  return descriptors.includes(descriptor) ? bucket : undefined;
};

class BucketLimiter implements Limiter {
  decided: TokenBucket | undefined = undefined;
  private readonly own: TokenBucket | undefined;
  private readonly described: readonly DescribedBucket[];
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
      for (const each of this.described) {
        const bucket = bucketFor(each, descriptors);
        if (bucket === undefined) continue;
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
    const given = each.entries ?? [];
    const keyed = given.length > 0 && !given.at(-1)?.value;
    const entries = given.map(({ key, value }, i) => {
      const name = required(key, `${here}.entries[${i}].key`);
      if (value) return descriptorEntry(name, value);
      if (i < given.length - 1)
        throw new ConfigError(`${here}.entries[${i}].value`, "any value is supported in the last entry only");
      return descriptorKey(name);
    });
    if (entries.length === 0) throw new ConfigError(member(here, "entries"), "is required");
    const bucketAt = member(here, "tokenBucket");
    return { descriptor: entries.join(""), plan: compileBucket(required(each.tokenBucket, bucketAt), bucketAt), keyed };
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
    make: (maker = localBucket) =>
      new BucketLimiter(
        own?.make(maker),
        described.map(({ descriptor, plan, keyed }) => {
          const bucket = plan.make(maker);
          return { descriptor, bucket: keyed ? new KeyedBuckets(descriptor, (each) => bucket.alike(each)) : bucket };
        }),
        always,
      ),
  };
};
