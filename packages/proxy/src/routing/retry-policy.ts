/** Retry policies with Envoy's `retry_on` grammar, and what a request's own headers add to them. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import type { RetryPolicyJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { durationMs, member, refuseOthers, unsigned } from "../compile/fields.ts";
import { compileHeaderMatchers, compileResponseHeaderMatcher } from "../matching/header-matcher.ts";
import { hasControlHeaders, unsignedHeader } from "./control-headers.ts";
import type { AttemptFailure, RetryPolicy } from "./route.ts";

const defaultBackOffMs = 25;
const grpcStatusOfWord: ReadonlyMap<string, string> = new Map([
  ["cancelled", "1"],
  ["deadline-exceeded", "4"],
  ["resource-exhausted", "8"],
  ["internal", "13"],
  ["unavailable", "14"],
]);
const gatewayErrors: ReadonlySet<number> = new Set([502, 503, 504]);

type ResponseTest = (status: number, headers: HeaderList) => boolean;

interface Conditions {
  readonly words: ReadonlySet<string>;
  readonly statusCodes: ReadonlySet<number>;
  readonly headerTests: readonly ResponseTest[];
}

/** The words of a `retry_on` list; ones that are not known mean nothing, as in Envoy. */
const parseWords = (text: string): ReadonlySet<string> =>
  new Set(
    text
      .split(",")
      .map((word) => word.trim())
      .filter((word) => word !== ""),
  );

const responseTest = ({ words, statusCodes, headerTests }: Conditions): ResponseTest => {
  const on5xx = words.has("5xx");
  const onGateway = words.has("gateway-error");
  const on4xx = words.has("retriable-4xx");
  const onCodes = words.has("retriable-status-codes");
  const onHeaders = words.has("retriable-headers");
  const onLimited = words.has("envoy-ratelimited");
  const grpc = new Set([...grpcStatusOfWord].filter(([word]) => words.has(word)).map(([, status]) => status));
  return (status, headers) => {
    if (headers.has("x-envoy-ratelimited")) return onLimited;
    if (status >= 500 && on5xx) return true;
    if (onGateway && gatewayErrors.has(status)) return true;
    if (on4xx && status === 409) return true;
    if (onCodes && statusCodes.has(status)) return true;
    if (onHeaders) for (const test of headerTests) if (test(status, headers)) return true;
    if (grpc.size === 0) return false;
    const grpcStatus = headers.get("grpc-status");
    return grpcStatus !== undefined && grpc.has(grpcStatus);
  };
};

const failureTest = (words: ReadonlySet<string>): ((failure: AttemptFailure) => boolean) => {
  const anyReset = words.has("reset") || words.has("5xx") || words.has("gateway-error");
  const beforeRequest = anyReset || words.has("reset-before-request");
  const connect = beforeRequest || words.has("connect-failure");
  const refused = anyReset || words.has("refused-stream");
  return (failure) => {
    switch (failure) {
      case "connect-failure":
      case "connect-timeout":
        return connect;
      case "refused":
        return refused;
      case "reset":
      case "per-try-timeout":
        return anyReset;
      case "reset-before-request":
        return beforeRequest;
      case "overflow":
        return false;
    }
  };
};

const hostPredicates = (json: RetryPolicyJson, at: string): boolean => {
  let previous = false;
  for (const [index, predicate] of (json.retryHostPredicate ?? []).entries()) {
    const type = (predicate.typedConfig as { "@type"?: string } | undefined)?.["@type"] ?? "";
    if (predicate.name !== "envoy.retry_host_predicates.previous_hosts" && !type.endsWith(".PreviousHostsPredicate")) {
      throw new ConfigError(`${at}.retryHostPredicate[${index}]`, `${predicate.name ?? type} is not supported`);
    }
    previous = true;
  }
  return previous;
};

const backOff = (
  json: RetryPolicyJson,
  at: string,
): { readonly backOffBaseMs: number; readonly backOffMaxMs: number } => {
  const back = json.retryBackOff;
  if (!back) return { backOffBaseMs: defaultBackOffMs, backOffMaxMs: defaultBackOffMs * 10 };
  const backAt = member(at, "retryBackOff");
  const base = durationMs(back.baseInterval, member(backAt, "baseInterval"));
  if (base === undefined || base < 1) throw new ConfigError(member(backAt, "baseInterval"), "must be at least 1 ms");
  const most = durationMs(back.maxInterval, member(backAt, "maxInterval")) ?? base * 10;
  if (most < base) throw new ConfigError(member(backAt, "maxInterval"), "must not be below baseInterval");
  return { backOffBaseMs: base, backOffMaxMs: most };
};

/** A policy and how a request's headers change it. */
export interface CompiledRetry {
  readonly policy: RetryPolicy | undefined;
  readonly retryFor: (request: RequestHead) => RetryPolicy | undefined;
}

const onlyHeaders: RetryPolicy = {
  attempts: 1,
  perTryTimeoutMs: undefined,
  backOffBaseMs: defaultBackOffMs,
  backOffMaxMs: defaultBackOffMs * 10,
  avoidPreviousHosts: false,
  hostSelectionAttempts: 1,
  retryResponse: () => false,
  retryFailure: () => false,
};

/** The policy for a request that carries `x-envoy-…` control headers. */
const withHeaders = (base: RetryPolicy, conditions: Conditions, { headers }: RequestHead): RetryPolicy | undefined => {
  const asked = [headers.get("x-envoy-retry-on"), headers.get("x-envoy-retry-grpc-on")].filter(
    (words) => words !== undefined,
  );
  const words = new Set([...conditions.words, ...parseWords(asked.join(","))]);
  const codes = (headers.get("x-envoy-retriable-status-codes") ?? "").split(",").map(Number);
  const names = [...parseWords(headers.get("x-envoy-retriable-header-names") ?? "")].map((name) => name.toLowerCase());
  if (words.size === 0) return undefined;
  const widened: Conditions = {
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
  return {
    ...base,
    attempts: unsignedHeader(headers, "x-envoy-max-retries") ?? base.attempts,
    perTryTimeoutMs: unsignedHeader(headers, "x-envoy-upstream-rq-per-try-timeout-ms") ?? base.perTryTimeoutMs,
    retryResponse: responseTest(widened),
    retryFailure: failureTest(words),
  };
};

/** Compiles a route's or a virtual host's policy; without one a request can still ask for retries by its headers. */
export const compileRetry = (json: RetryPolicyJson | undefined, at: string): CompiledRetry => {
  if (!json) {
    const empty: Conditions = { words: new Set(), statusCodes: new Set(), headerTests: [] };
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
    "retryHostPredicate",
    "hostSelectionRetryMaxAttempts",
    "retriableStatusCodes",
    "retryBackOff",
    "retriableHeaders",
    "retriableRequestHeaders",
  ]);
  const conditions: Conditions = {
    words: parseWords(json.retryOn ?? ""),
    statusCodes: new Set(json.retriableStatusCodes ?? []),
    headerTests: (json.retriableHeaders ?? []).map((matcher, index) =>
      compileResponseHeaderMatcher(matcher, `${at}.retriableHeaders[${index}]`),
    ),
  };
  const policy: RetryPolicy = {
    attempts: unsigned(json.numRetries, member(at, "numRetries")) ?? 1,
    perTryTimeoutMs: durationMs(json.perTryTimeout, member(at, "perTryTimeout")) || undefined,
    ...backOff(json, at),
    avoidPreviousHosts: hostPredicates(json, at),
    hostSelectionAttempts:
      unsigned(json.hostSelectionRetryMaxAttempts, member(at, "hostSelectionRetryMaxAttempts")) ?? 1,
    retryResponse: responseTest(conditions),
    retryFailure: failureTest(conditions.words),
  };
  const applies = compileHeaderMatchers(json.retriableRequestHeaders, member(at, "retriableRequestHeaders"));
  const configured = conditions.words.size === 0 ? undefined : policy;
  return {
    policy: applies ? undefined : configured,
    retryFor: (request) => {
      if (applies && !applies(request)) return undefined;
      return hasControlHeaders(request.headers) ? withHeaders(policy, conditions, request) : configured;
    },
  };
};
