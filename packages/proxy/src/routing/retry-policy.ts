/** Retry policies with Envoy's `retry_on` grammar, and what a request's own headers add to them. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { RetryPolicyJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { durationMs, member, refuseOthers, unsigned } from "../compile/fields.ts";
import { compileHeaderMatcher, compileResponseHeaderMatcher } from "../matching/header-matcher.ts";
import { hasControlHeaders, unsignedHeader } from "./control-headers.ts";
import { compileBackOff, defaultBackOffMs } from "./retry-back-off.ts";
import {
  parseRetryOn,
  type ResponseTest,
  type RetryConditions,
  retryFailures,
  retryResponses,
} from "./retry-conditions.ts";
import { compileRetryHosts } from "./retry-hosts.ts";
import type { RetryPolicy } from "./route.ts";

/** A policy and how a request's headers change it. */
export interface CompiledRetry {
  readonly policy: RetryPolicy | undefined;
  readonly retryFor: (request: RequestHead) => RetryPolicy | undefined;
}

const onlyHeaders: RetryPolicy = {
  attempts: 1,
  perTryTimeoutMs: undefined,
  perTryIdleTimeoutMs: undefined,
  backOffBaseMs: defaultBackOffMs,
  backOffMaxMs: defaultBackOffMs * 10,
  askedPauseMs: undefined,
  avoidPreviousHosts: false,
  rejectsHost: undefined,
  priorityUpdateAfter: undefined,
  hostSelectionAttempts: 1,
  retryResponse: () => false,
  retryFailure: () => false,
};

/** The policy for a request that carries `x-envoy-…` control headers. */
const withHeaders = (
  base: RetryPolicy,
  conditions: RetryConditions,
  { headers }: RequestHead,
): RetryPolicy | undefined => {
  const asked = [headers.get("x-envoy-retry-on"), headers.get("x-envoy-retry-grpc-on")].filter(
    (words) => words !== undefined,
  );
  const words = new Set([...conditions.words, ...parseRetryOn(asked.join(","))]);
  const codes = (headers.get("x-envoy-retriable-status-codes") ?? "").split(",").map(Number);
  const names = (headers.get("x-envoy-retriable-header-names") ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  if (words.size === 0) return undefined;
  const widened: RetryConditions = {
    words,
    statusCodes: new Set([...conditions.statusCodes, ...codes.filter((code) => code >= 100 && code <= 599)]),
    headerTests: [
      ...conditions.headerTests,
      ...names.map(
        (name): ResponseTest =>
          (_, list) =>
            list.has(name),
      ),
    ],
  };
  const hedges = headers.get("x-envoy-hedge-on-per-try-timeout");
  return {
    ...base,
    hedges: hedges === "true" || (hedges === "false" ? false : undefined),
    attempts: unsignedHeader(headers, "x-envoy-max-retries") ?? base.attempts,
    perTryTimeoutMs: unsignedHeader(headers, "x-envoy-upstream-rq-per-try-timeout-ms") ?? base.perTryTimeoutMs,
    retryResponse: retryResponses(widened),
    retryFailure: retryFailures(words),
  };
};

/** Any of the matchers will do; `undefined` where there are none. */
const anyOf = (
  list: RetryPolicyJson["retriableRequestHeaders"],
  at: string,
): ((request: RequestHead) => boolean) | undefined => {
  if (!list || list.length === 0) return undefined;
  const tests = list.map((json, index) => compileHeaderMatcher(json, `${at}[${index}]`));
  return (request) => tests.some((test) => test(request));
};

export type CompileRetry = (json: RetryPolicyJson | undefined, at: string) => CompiledRetry;

/** Different policies that one table keeps to give again; the rest are compiled each time. */
const policiesKeptMax = 1024;

/** Gives equal policies as one: nearly all routes of a mesh have the same, and a copy for each is most of their memory. */
export const sharedRetries = (): CompileRetry => {
  const known = new Map<string, CompiledRetry>();
  return (json, at) => {
    const text = json === undefined ? "" : JSON.stringify(json);
    const found = known.get(text);
    if (found !== undefined) return found;
    const compiled = compileRetry(json, at);
    if (known.size < policiesKeptMax) known.set(text, compiled);
    return compiled;
  };
};

/** Compiles a route's or a virtual host's policy; without one a request can still ask for retries by its headers. */
export const compileRetry: CompileRetry = (json, at) => {
  if (!json) {
    const empty: RetryConditions = { words: new Set(), statusCodes: new Set(), headerTests: [] };
    return {
      policy: undefined,
      retryFor: (request) =>
        hasControlHeaders(request.headers) ? withHeaders(onlyHeaders, empty, request) : undefined,
    };
  }
  refuseOthers(json, "RetryPolicy", at, [
    "retryOn",
    "numRetries",
    "perTryTimeout",
    "perTryIdleTimeout",
    "retryPriority",
    "retryOptionsPredicates",
    "retryHostPredicate",
    "hostSelectionRetryMaxAttempts",
    "retriableStatusCodes",
    "retryBackOff",
    "rateLimitedRetryBackOff",
    "retriableHeaders",
    "retriableRequestHeaders",
  ]);
  const conditions: RetryConditions = {
    words: parseRetryOn(json.retryOn ?? ""),
    statusCodes: new Set(json.retriableStatusCodes ?? []),
    headerTests: (json.retriableHeaders ?? []).map((matcher, index) =>
      compileResponseHeaderMatcher(matcher, `${at}.retriableHeaders[${index}]`),
    ),
  };
  const policy: RetryPolicy = {
    attempts: unsigned(json.numRetries, member(at, "numRetries")) ?? 1,
    perTryTimeoutMs: durationMs(json.perTryTimeout, member(at, "perTryTimeout")) || undefined,
    perTryIdleTimeoutMs: durationMs(json.perTryIdleTimeout, member(at, "perTryIdleTimeout")) || undefined,
    ...compileBackOff(json, at),
    ...compileRetryHosts(json, at),
    hostSelectionAttempts:
      unsigned(json.hostSelectionRetryMaxAttempts, member(at, "hostSelectionRetryMaxAttempts")) ?? 1,
    retryResponse: retryResponses(conditions),
    retryFailure: retryFailures(conditions.words),
  };
  // They choose connections of Envoy's own making, such as those without HTTP/3; ours come of no such choice.
  for (const [index, { name }] of (json.retryOptionsPredicates ?? []).entries())
    throw new ConfigError(`${at}.retryOptionsPredicates[${index}]`, `${name} is not supported`);
  const applies = anyOf(json.retriableRequestHeaders, member(at, "retriableRequestHeaders"));
  const configured = conditions.words.size === 0 ? undefined : policy;
  return {
    policy: applies ? undefined : configured,
    retryFor: (request) => {
      if (applies && !applies(request)) return undefined;
      return hasControlHeaders(request.headers) ? withHeaders(policy, conditions, request) : configured;
    },
  };
};
