/** So many new connections in so much time: a bucket of tokens, of which every connection takes one or is closed. */
import type { Clock } from "@weft/core/world";
import type { LocalRateLimitJson } from "@weft/xds/gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit";
import { refuseOthers, required } from "../../compile/fields.ts";
import { compileBucket } from "../../rate-limits/compile-bucket.ts";
import { type BucketMaker, localBucket } from "../../rate-limits/token-bucket.ts";
import type { AllowConnection, ConnectionVerdict } from "./rbac.ts";

export const localRateLimitType = "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit";

export interface LocalRateLimitTools {
  readonly clock: Clock;
  readonly counter: (name: string) => { add(n: number): void };
  /** Makes what all threads take from; this thread's own when absent. */
  readonly buckets?: BucketMaker | undefined;
}

const passed: ConnectionVerdict = { allowed: true, details: "" };
const limited: ConnectionVerdict = { allowed: false, details: "local_ratelimit" };

/** Compiles the network filter; throws ConfigError for what it would not honour. */
export const compileLocalRateLimit = (json: LocalRateLimitJson): ((tools: LocalRateLimitTools) => AllowConnection) => {
  refuseOthers(json, "NetworkLocalRateLimit", "", ["statPrefix", "tokenBucket", "runtimeEnabled"]);
  const prefix = required(json.statPrefix, "statPrefix");
  const plan = compileBucket(required(json.tokenBucket, "tokenBucket"), "tokenBucket");
  const enabled = json.runtimeEnabled?.defaultValue !== false;
  return ({ clock, counter, buckets = localBucket }) => {
    const refused = counter(`local_rate_limit.${prefix}.rate_limited`);
    const bucket = plan.make(buckets);
    return (_downstream, uncounted = false) => {
      if (!enabled) return passed;
      if (uncounted) return bucket.remaining(clock.nowMs()) > 0 ? passed : limited;
      if (bucket.take(clock.nowMs())) return passed;
      refused.add(1);
      return limited;
    };
  };
};
