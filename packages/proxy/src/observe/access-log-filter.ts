/** Which exchanges an access log writes a line for. */
import { ConfigError } from "@weft/core/config-error";
import type { Clock, Random } from "@weft/core/world";
import type { AccessLogFilterJson, ComparisonFilterJson } from "@weft/xds/gen/envoy/config/accesslog/v3/accesslog";
import { member, oneOf, refuseOthers, required, share, unsigned } from "../compile/fields.ts";
import { compileHeaderMatcher } from "../matching/header-matcher.ts";
import { drawShare } from "../matching/runtime-fraction.ts";
import type { FormatSource } from "./format-operators.ts";
import { grpcStatusName } from "./grpc-status.ts";
import { responseFlags } from "./response-flags.ts";

export type LogFilter = (source: FormatSource) => boolean;

export interface LogFilterTools {
  readonly random: Random;
  readonly clock: Clock;
}

const compare = (json: ComparisonFilterJson | undefined, at: string): ((value: number) => boolean) => {
  const comparison = required(json, at);
  const valueAt = `${at}.value.defaultValue`;
  const limit = unsigned(comparison.value?.defaultValue, valueAt) ?? 0;
  switch (oneOf(comparison.op, ["EQ", "GE", "LE"], "EQ", member(at, "op"))) {
    case "EQ":
      return (value) => value === limit;
    case "GE":
      return (value) => value >= limit;
    case "LE":
      return (value) => value <= limit;
  }
};

const flagFilter = (flags: readonly string[], at: string): LogFilter => {
  const unknown = flags.find((flag) => !responseFlags.has(flag));
  if (unknown !== undefined) throw new ConfigError(at, `"${unknown}" is not a response flag`);
  return ({ outcome }) => {
    if (!outcome || outcome.flags === "") return false;
    return flags.length === 0 || outcome.flags.split(",").some((flag) => flags.includes(flag));
  };
};

const grpcFilter = (json: NonNullable<AccessLogFilterJson["grpcStatusFilter"]>): LogFilter => {
  const wanted = new Set<string>(json.statuses ?? []);
  const excludes = json.exclude === true;
  return ({ outcome }) => {
    const status = outcome?.grpcStatus ?? -1;
    const name = status < 0 ? "UNKNOWN" : grpcStatusName(status, true);
    return wanted.has(name) !== excludes;
  };
};

const kinds = [
  "statusCodeFilter",
  "durationFilter",
  "notHealthCheckFilter",
  "runtimeFilter",
  "andFilter",
  "orFilter",
  "headerFilter",
  "responseFlagFilter",
  "grpcStatusFilter",
] as const;

export const compileLogFilter = (json: AccessLogFilterJson, at: string, tools: LogFilterTools): LogFilter => {
  refuseOthers(json, "AccessLogFilter", at, kinds);
  const several = (list: readonly AccessLogFilterJson[] | undefined, name: string): readonly LogFilter[] =>
    (list ?? []).map((inner, index) => compileLogFilter(inner, `${at}.${name}.filters[${index}]`, tools));
  if (json.statusCodeFilter) {
    const test = compare(json.statusCodeFilter.comparison, `${at}.statusCodeFilter.comparison`);
    return ({ response }) => test(response?.status ?? 0);
  }
  if (json.durationFilter) {
    const test = compare(json.durationFilter.comparison, `${at}.durationFilter.comparison`);
    return ({ startWallMs, nowWallMs }) => test(Math.round(nowWallMs - startWallMs));
  }
  // No filter here answers health checks, so no exchange is one.
  if (json.notHealthCheckFilter) return () => true;
  if (json.runtimeFilter) {
    return drawShare(share(json.runtimeFilter.percentSampled, `${at}.runtimeFilter.percentSampled`), tools.random);
  }
  if (json.andFilter) {
    const filters = several(json.andFilter.filters, "andFilter");
    return (source) => filters.every((filter) => filter(source));
  }
  if (json.orFilter) {
    const filters = several(json.orFilter.filters, "orFilter");
    return (source) => filters.some((filter) => filter(source));
  }
  if (json.headerFilter) {
    const test = compileHeaderMatcher(
      required(json.headerFilter.header, `${at}.headerFilter.header`),
      `${at}.headerFilter.header`,
    );
    return ({ request }) => request !== undefined && test(request);
  }
  if (json.responseFlagFilter) return flagFilter(json.responseFlagFilter.flags ?? [], `${at}.responseFlagFilter.flags`);
  if (json.grpcStatusFilter) return grpcFilter(json.grpcStatusFilter);
  throw new ConfigError(at, "needs a kind of filter");
};
