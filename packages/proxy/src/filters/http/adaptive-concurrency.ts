/** Takes as many requests at once as the server answers well, and turns others away at once. */
import { ConfigError } from "@weft/core/config-error";
import type { AdaptiveConcurrencyJson } from "@weft/xds/gen/envoy/extensions/filters/http/adaptive_concurrency/v3/adaptive_concurrency";
import { durationMs, refuseOthers, required, unsigned } from "../../compile/fields.ts";
import type { Exchange, LocalReply } from "../../http/exchange.ts";
import { GradientController, type GradientSettings } from "../../rate-limits/gradient-controller.ts";
import { errorStatus } from "./error-status.ts";
import type { HttpFilterKind } from "./filter.ts";

const at = "gradientControllerConfig";
const inLimit = `${at}.concurrencyLimitParams`;
const inRtt = `${at}.minRttCalcParams`;

const positive = (value: number | undefined, field: string): number | undefined => {
  if (value !== undefined && value <= 0) throw new ConfigError(field, "must be greater than 0");
  return value;
};

const share = (json: { readonly value?: unknown } | undefined, otherwise: number, field: string): number => {
  const value = json?.value ?? (json ? 0 : otherwise);
  if (typeof value !== "number" || value < 0 || value > 100) throw new ConfigError(field, "must be from 0 to 100");
  return value;
};

const compileSettings = (json: AdaptiveConcurrencyJson): GradientSettings => {
  const config = required(json.gradientControllerConfig, at);
  const limit = required(config.concurrencyLimitParams, inLimit);
  const rtt = required(config.minRttCalcParams, inRtt);
  refuseOthers(config, "GradientControllerConfig", at, [
    "sampleAggregatePercentile",
    "concurrencyLimitParams",
    "minRttCalcParams",
  ]);
  refuseOthers(limit, "ConcurrencyLimitCalculationParams", inLimit, [
    "maxConcurrencyLimit",
    "concurrencyUpdateInterval",
  ]);
  refuseOthers(rtt, "MinimumRTTCalculationParams", inRtt, [
    "interval",
    "requestCount",
    "jitter",
    "minConcurrency",
    "buffer",
  ]);
  const updateAt = `${inLimit}.concurrencyUpdateInterval`;
  const everyAt = `${inRtt}.interval`;
  const count = (value: number | undefined, otherwise: number, field: string): number =>
    positive(unsigned(value, field), field) ?? otherwise;
  const minLimit = count(rtt.minConcurrency, 3, `${inRtt}.minConcurrency`);
  return {
    minLimit,
    maxLimit: Math.max(minLimit, count(limit.maxConcurrencyLimit, 1000, `${inLimit}.maxConcurrencyLimit`)),
    percentile: share(config.sampleAggregatePercentile, 50, `${at}.sampleAggregatePercentile`),
    updateMs: required(positive(durationMs(limit.concurrencyUpdateInterval, updateAt), updateAt), updateAt),
    measureEveryMs: required(positive(durationMs(rtt.interval, everyAt), everyAt), everyAt),
    measureRequests: count(rtt.requestCount, 50, `${inRtt}.requestCount`),
    jitter: share(rtt.jitter, 15, `${inRtt}.jitter`) / 100,
    buffer: share(rtt.buffer, 25, `${inRtt}.buffer`) / 100,
  };
};

const refusal = ({ concurrencyLimitExceededStatus: json }: AdaptiveConcurrencyJson): LocalReply => {
  return {
    // As in Envoy what is no error stands for 503.
    status: errorStatus(json?.code) ?? 503,
    flags: "UO",
    details: "reached_concurrency_limit",
    body: "reached concurrency limit",
    object: "MeshDefaults",
  };
};

/** The client going away says nothing of the server. */
const answered = ({ details, response }: Exchange): boolean => details === "via_upstream" && response.status > 0;

export const adaptiveConcurrency: HttpFilterKind = {
  name: "envoy.filters.http.adaptive_concurrency",
  typeName: "envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
  configure(raw) {
    const json = raw as AdaptiveConcurrencyJson;
    refuseOthers(json, "AdaptiveConcurrency", "", [at, "enabled", "concurrencyLimitExceededStatus"]);
    const settings = compileSettings(json);
    const reply = refusal(json);
    if (json.enabled?.defaultValue === false || (json.enabled && json.enabled.defaultValue === undefined))
      return () => ({});
    return ({ clock, random, counter, statPrefix }) => {
      const controller = new GradientController(settings, random);
      const blocked = counter(`${statPrefix}.adaptive_concurrency.gradient_controller.rq_blocked`);
      const taken = new Set<Exchange>();
      return {
        onRequest(exchange) {
          // A request whose redirect is followed comes here again.
          if (taken.has(exchange)) return undefined;
          if (!controller.take(clock.nowMs())) {
            blocked.add(1);
            return reply;
          }
          taken.add(exchange);
          return undefined;
        },
        onEnd(exchange) {
          if (taken.delete(exchange)) controller.give(exchange.startMs, clock.nowMs(), answered(exchange));
        },
      };
    };
  },
};
