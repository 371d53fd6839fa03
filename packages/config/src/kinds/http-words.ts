/** Words of HTTP and gRPC that configuration uses. */

/** Conditions under which Envoy's router sends a request again. */
const retryConditions = new Set([
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "envoy-ratelimited",
  "retriable-4xx",
  "refused-stream",
  "retriable-status-codes",
  "retriable-headers",
  "http3-post-connect-failure",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
]);

/** A condition by name, or a status code that is to be retried. */
export const isRetryCondition = (word: string): boolean => retryConditions.has(word) || /^[1-5]\d\d$/.test(word);

/** Methods that HTTP defines (RFC 9110 §9, RFC 5789); others are legal and unusual. */
export const httpMethods: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
]);
