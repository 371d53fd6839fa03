import type { Descriptor } from "./rate-limit-actions.ts";
import type { TokenBucket } from "./token-bucket.ts";

/** Buckets of one limit at a time; beyond, the one unused longest goes. */
export const keyedBucketsMax = 1000;

/** A bucket for each value of a descriptor's last entry, whose key stands last in `prefix`. */
export class KeyedBuckets {
  private readonly prefix: string;
  private readonly make: (descriptor: Descriptor) => TokenBucket;
  private readonly max: number;
  private readonly buckets = new Map<Descriptor, TokenBucket>();

  constructor(prefix: string, make: (descriptor: Descriptor) => TokenBucket, max = keyedBucketsMax) {
    this.prefix = prefix;
    this.make = make;
    this.max = max;
  }
  /** The bucket of the first descriptor that is meant. */
  of(descriptors: readonly Descriptor[]): TokenBucket | undefined {
    for (const descriptor of descriptors) if (this.means(descriptor)) return this.bucketOf(descriptor);
    return undefined;
  }
  /** After the prefix one value stands, behind its length, and nothing else. */
  private means(descriptor: Descriptor): boolean {
    const { prefix } = this;
    if (!descriptor.startsWith(prefix)) return false;
    const colon = descriptor.indexOf(":", prefix.length);
    return colon > 0 && descriptor.length === colon + 1 + Number(descriptor.slice(prefix.length, colon));
  }
  private bucketOf(descriptor: Descriptor): TokenBucket {
    const known = this.buckets.get(descriptor);
    const bucket = known ?? this.make(descriptor);
    if (known !== undefined) this.buckets.delete(descriptor);
    else if (this.buckets.size >= this.max) {
      const [oldest] = this.buckets.keys();
      if (oldest !== undefined) this.buckets.delete(oldest);
    }
    this.buckets.set(descriptor, bucket);
    return bucket;
  }
}
