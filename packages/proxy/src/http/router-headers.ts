import { formatGrpcTimeout } from "@weft/protocols/grpc/timeout";
import type { ResponseHead } from "@weft/protocols/http/head";
import type { Host } from "../clusters/host.ts";
import { isGrpcRequest } from "../matching/grpc.ts";
import { appendForwardedHost } from "../routing/rewrite.ts";
import type { Route, WeightedChoice } from "../routing/route.ts";
import type { HttpExchange } from "./http-exchange.ts";

/** How long the upstream is waited for: in all, for one try (0 for no bound), and what is left of the first. */
export interface Patience {
  readonly timeoutMs: number;
  readonly perTryMs: number;
  readonly leftMs: number;
}

/** What the router tells the upstream: how long it is waited for, and which try this is. */
export const setRouterHeaders = (exchange: HttpExchange, route: Route, patience: Patience): void => {
  setExpectedTimeout(exchange, patience);
  if (route.attemptCount.inRequest) exchange.request.headers.set("x-envoy-attempt-count", "1");
};

/** What the upstream is told of a try that is not the first. */
export const tellAgain = (exchange: HttpExchange, slow: boolean, patience: Patience): void => {
  const { request, route, attempts } = exchange;
  const { attemptCount } = route ?? {};
  setExpectedTimeout(exchange, patience);
  if (attemptCount?.inRequest) request.headers.set("x-envoy-attempt-count", String(attempts));
  if (attemptCount?.timeoutInRequest) request.headers.set("x-envoy-is-timeout-retry", String(slow));
};

/** The host's own name in place of the client's authority, where it has one. */
export const useHostName = ({ request, attempts }: HttpExchange, { hostname }: Host, keepsForwarded: boolean): void => {
  if (hostname === "") return;
  if (attempts === 1) {
    if (keepsForwarded) appendForwardedHost(request.headers, request.authority);
    request.headers.set("x-envoy-original-host", request.authority);
  }
  request.authority = hostname;
};

/** The time of one try, or of the whole request where that ends sooner. 0 would mean no bound, so 1 is the least. */
export const setExpectedTimeout = (exchange: HttpExchange, { timeoutMs, perTryMs, leftMs }: Patience): void => {
  const expected = perTryMs > 0 ? perTryMs : timeoutMs;
  if (expected === 0) return;
  const within = timeoutMs > 0 ? Math.max(1, Math.min(expected, Math.ceil(leftMs))) : expected;
  const action = exchange.route?.action;
  if (action?.kind === "forward" && action.tellsGrpcTimeout === true && isGrpcRequest(exchange.request)) {
    exchange.request.headers.set("grpc-timeout", formatGrpcTimeout(within));
  }
  if (exchange.settings?.suppressEnvoyHeaders === true) return;
  exchange.request.headers.set("x-envoy-expected-rq-timeout-ms", String(within));
};

/** What the router adds to an upstream's answer, and what its route says. */
export const editResponse = (
  exchange: HttpExchange,
  head: ResponseHead,
  choice: WeightedChoice | undefined,
  setCookie: string | undefined,
): void => {
  const { downstream, request, route } = exchange;
  const { headers } = head;
  // Header formats may ask for the status.
  exchange.response = head;
  // The time counts from the request's end: there is none where the answer is earlier.
  if (exchange.requestEnded && exchange.settings?.suppressEnvoyHeaders !== true) {
    headers.set("x-envoy-upstream-service-time", serviceTime(exchange.upstreamMs));
  }
  if (route?.attemptCount.inResponse) headers.set("x-envoy-attempt-count", String(exchange.attempts));
  if (setCookie !== undefined) headers.add("set-cookie", setCookie);
  choice?.editResponse?.(headers, downstream, request, exchange);
  route?.editResponse(headers, downstream, request, exchange);
};

const serviceTimes = Array.from({ length: 256 }, (_, ms) => String(ms));
const serviceTime = (ms: number): string => serviceTimes[ms] ?? String(Math.max(0, ms));
