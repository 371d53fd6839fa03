/** So many new connections in so much time: a bucket of tokens, of which every connection takes one or is closed. */
import { ConfigError } from "@weft/core/config-error";
import type { Clock } from "@weft/core/world";
import type { LocalRateLimitJson } from "@weft/xds/gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit";
import { durationMs, refuseOthers, required, unsigned } from "../../compile/fields.ts";
import type { AllowConnection, ConnectionVerdict } from "./rbac.ts";

export const localRateLimitType = "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit";

export interface LocalRateLimitTools {
  readonly clock: Clock;
  readonly counter: (name: string) => { add(n: number): void };
}

const passed: ConnectionVerdict = { allowed: true, details: "" };
const limited: ConnectionVerdict = { allowed: false, details: "local_ratelimit" };
/** As in Envoy. */
const fillMsMin = 50;

/** Compiles the network filter; throws ConfigError for what it would not honour. */
export const compileLocalRateLimit = (json: LocalRateLimitJson): ((tools: LocalRateLimitTools) => AllowConnection) => {
  refuseOthers(json, "NetworkLocalRateLimit", "", ["statPrefix", "tokenBucket", "runtimeEnabled"]);
  const prefix = required(json.statPrefix, "statPrefix");
  const bucket = required(json.tokenBucket, "tokenBucket");
  const most = required(unsigned(bucket.maxTokens, "tokenBucket.maxTokens") || undefined, "tokenBucket.maxTokens");
  const fill = unsigned(bucket.tokensPerFill, "tokenBucket.tokensPerFill") ?? 1;
  const fillMs = required(durationMs(bucket.fillInterval, "tokenBucket.fillInterval"), "tokenBucket.fillInterval");
  if (fillMs < fillMsMin) throw new ConfigError("tokenBucket.fillInterval", `must be ${fillMsMin} ms at least`);
  const enabled = json.runtimeEnabled?.defaultValue !== false;
  return ({ clock, counter }) => {
    const refused = counter(`local_rate_limit.${prefix}.rate_limited`);
    let tokens = most;
    let filledMs = clock.nowMs();
    return (_downstream, uncounted = false) => {
      if (!enabled) return passed;
      const fills = Math.floor((clock.nowMs() - filledMs) / fillMs);
      if (fills > 0) {
        tokens = Math.min(most, tokens + fills * fill);
        filledMs += fills * fillMs;
      }
      if (uncounted) return tokens > 0 ? passed : limited;
      if (tokens > 0) {
        tokens--;
        return passed;
      }
      refused.add(1);
      return limited;
    };
  };
};
