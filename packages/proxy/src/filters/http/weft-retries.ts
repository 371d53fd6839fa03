/**
 * Tells hops apart that a failure passes through, for our own sidecar only: it has no configuration. What a proxy knows
 * of the requests through its application is in `retry-chain.ts`.
 */
import type { Exchange } from "../../http/exchange.ts";
import { retriedHeader } from "../../http/retry-chain.ts";
import type { FilterTools, HttpFilter, HttpFilterKind } from "./filter.ts";

/** Where the application is asked. */
const inbound = "weft.retries.inbound";
/** Where the application asks, and at gateways. */
const outbound = "weft.retries.outbound";

const idOf = ({ request }: Exchange): string | undefined => request.headers.get("x-request-id");
/** The id that the application gave: none where this proxy had to. */
const givenId = (exchange: Exchange): string | undefined => (exchange.prepared?.ownId ? undefined : idOf(exchange));

const isRetry = ({ request }: Exchange): boolean => {
  const count = request.headers.get("x-envoy-attempt-count");
  return count !== undefined && count !== "1";
};

const forServer = ({ clock, retryChain }: FilterTools): HttpFilter => ({
  onRequest(exchange) {
    if (!isRetry(exchange)) return undefined;
    const id = idOf(exchange);
    if (id !== undefined) retryChain?.noteRetry(id, clock.nowMs());
    return undefined;
  },
  onResponse(exchange) {
    const { response, startMs } = exchange;
    if (response.status < 500 || !retryChain?.hasFailedBeyond(idOf(exchange), startMs, clock.nowMs())) return;
    response.headers.set(retriedHeader, "true");
  },
});

const forClients = ({ clock, retryChain }: FilterTools): HttpFilter => ({
  onResponse(exchange) {
    const { status, headers } = exchange.response;
    if (status < 500) return;
    headers.remove(retriedHeader);
    retryChain?.noteFailure(givenId(exchange), clock.nowMs());
  },
  onEnd(exchange) {
    // The application did not wait for the answer: to whoever asked it, that is a failure too.
    if (exchange.response.status === 0) retryChain?.noteFailure(givenId(exchange), clock.nowMs());
  },
});

export const weftRetries: HttpFilterKind = {
  name: inbound,
  aliases: [outbound],
  typeName: "weft.Retries",
  configure: () => (tools) => (tools.name === outbound ? forClients(tools) : forServer(tools)),
};
