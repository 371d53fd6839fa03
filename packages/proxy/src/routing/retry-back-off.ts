/** How long a retry waits: a random, growing time, or what the answer says of when its server takes requests again. */
import { ConfigError } from "@weft/core/config-error";
import type { HeaderList } from "@weft/protocols/http/headers";
import type { RetryPolicyJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { durationMs, member, oneOf, refuseOthers, required } from "../compile/fields.ts";

export const defaultBackOffMs = 25;
/** What a server may ask at most where the policy does not say. As in Envoy. */
const defaultResetMostMs = 300_000;

/** How long that answer asks to wait; `undefined` where it does not say, or for too long. */
export type AskedPause = (headers: HeaderList, nowWallMs: number) => number | undefined;

export interface BackOff {
  readonly backOffBaseMs: number;
  readonly backOffMaxMs: number;
  readonly askedPauseMs: AskedPause | undefined;
}

const compileAsked = (json: RetryPolicyJson["rateLimitedRetryBackOff"], at: string): AskedPause | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "RateLimitedRetryBackOff", at, ["resetHeaders", "maxInterval"]);
  const mostMs = durationMs(json.maxInterval, member(at, "maxInterval")) ?? defaultResetMostMs;
  if (mostMs <= 0) throw new ConfigError(member(at, "maxInterval"), "must be more than 0");
  const headersAt = member(at, "resetHeaders");
  const resets = required(json.resetHeaders, headersAt).map((reset, index) => ({
    name: required(reset.name, `${headersAt}[${index}].name`).toLowerCase(),
    unix: oneOf(reset.format, ["SECONDS", "UNIX_TIMESTAMP"], "SECONDS", `${headersAt}[${index}].format`) !== "SECONDS",
  }));
  if (resets.length === 0) throw new ConfigError(headersAt, "is required");
  return (headers, nowWallMs) => {
    for (const { name, unix } of resets) {
      const value = headers.get(name);
      if (value === undefined || !/^\d{1,15}$/.test(value)) continue;
      const ms = Number(value) * 1000 - (unix ? Math.floor(nowWallMs / 1000) * 1000 : 0);
      if (ms >= 0 && ms <= mostMs && (!unix || ms > 0)) return ms;
    }
    return undefined;
  };
};

export const compileBackOff = (json: RetryPolicyJson, at: string): BackOff => {
  const askedPauseMs = compileAsked(json.rateLimitedRetryBackOff, member(at, "rateLimitedRetryBackOff"));
  const back = json.retryBackOff;
  if (!back) return { backOffBaseMs: defaultBackOffMs, backOffMaxMs: defaultBackOffMs * 10, askedPauseMs };
  const backAt = member(at, "retryBackOff");
  refuseOthers(back, "RetryBackOff", backAt, ["baseInterval", "maxInterval"]);
  const base = durationMs(back.baseInterval, member(backAt, "baseInterval"));
  if (base === undefined || base < 1) throw new ConfigError(member(backAt, "baseInterval"), "must be at least 1 ms");
  const most = durationMs(back.maxInterval, member(backAt, "maxInterval")) ?? base * 10;
  if (most < base) throw new ConfigError(member(backAt, "maxInterval"), "must not be below baseInterval");
  return { backOffBaseMs: base, backOffMaxMs: most, askedPauseMs };
};
