/** Request headers by which a client steers the proxy: read by the router, never sent on. */
import type { HeaderList } from "@weft/protocols/http/headers";

const controls: ReadonlySet<string> = new Set([
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-max-retries",
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-retriable-status-codes",
  "x-envoy-retriable-header-names",
  "x-envoy-hedge-on-per-try-timeout",
]);

const isControl = (name: string): boolean => name.startsWith("x-envoy-") && controls.has(name);

export const hasControlHeaders = (headers: HeaderList): boolean => {
  for (let i = 0; i < headers.size; i++) if (isControl(headers.nameAt(i))) return true;
  return false;
};

/** True where the client asks for an empty answer to what takes too long. */
export const removeControlHeaders = (headers: HeaderList): boolean => {
  const emptyOnTimeout = headers.has("x-envoy-upstream-rq-timeout-alt-response");
  for (let i = headers.size - 1; i >= 0; i--) if (isControl(headers.nameAt(i))) headers.remove(headers.nameAt(i));
  return emptyOnTimeout;
};

/** A header's value as an unsigned integer; `undefined` when absent or not one. */
export const unsignedHeader = (headers: HeaderList, name: string): number | undefined => {
  const value = headers.get(name);
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
};
