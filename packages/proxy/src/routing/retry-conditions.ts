/** What a retry policy retries: Envoy's `retry_on` grammar. */
import type { HeaderList } from "@weft/protocols/http/headers";
import type { AttemptFailure } from "./route.ts";

export type ResponseTest = (status: number, headers: HeaderList) => boolean;

export interface RetryConditions {
  readonly words: ReadonlySet<string>;
  readonly statusCodes: ReadonlySet<number>;
  readonly headerTests: readonly ResponseTest[];
}

const grpcStatusOfWord: ReadonlyMap<string, string> = new Map([
  ["cancelled", "1"],
  ["deadline-exceeded", "4"],
  ["resource-exhausted", "8"],
  ["internal", "13"],
  ["unavailable", "14"],
]);
const gatewayErrors: ReadonlySet<number> = new Set([502, 503, 504]);
const httpWords: ReadonlySet<string> = new Set([
  "5xx",
  "gateway-error",
  "connect-failure",
  "envoy-ratelimited",
  "retriable-4xx",
  "refused-stream",
  "retriable-status-codes",
  "retriable-headers",
  "reset",
  "http3-post-connect-failure",
  "reset-before-request",
]);

/** The words of a list; ones that are not known mean nothing, as in Envoy. */
export const parseRetryOn = (text: string): ReadonlySet<string> =>
  new Set(
    text
      .split(",")
      .map((word) => word.trim())
      .filter((word) => httpWords.has(word) || grpcStatusOfWord.has(word)),
  );

export const retryResponses = ({ words, statusCodes, headerTests }: RetryConditions): ResponseTest => {
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

export const retryFailures = (words: ReadonlySet<string>): ((failure: AttemptFailure) => boolean) => {
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
