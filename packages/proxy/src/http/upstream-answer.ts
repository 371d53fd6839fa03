import { countAnswer } from "../clusters/counters.ts";
import type { Exchange, LocalReply } from "./exchange.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { breakFlag } from "./local-reply.ts";
import type { UpstreamBreak } from "./streams.ts";

/** Keeps and counts that an upstream answered, so many milliseconds after it was asked. */
export const noteAnswer = (exchange: Exchange, status: number, tookMs: number): void => {
  const { cluster, host } = exchange;
  exchange.details = "via_upstream";
  exchange.upstreamMs = tookMs;
  if (cluster === undefined) return;
  countAnswer(cluster.counters, status);
  cluster.times.requestTook(tookMs, host);
};

/** Gives an answer of our own in place of the upstream's, or cuts the one that has begun. */
export const answerInstead = (exchange: HttpExchange, reply: LocalReply): void => {
  if (exchange.cluster !== undefined && !exchange.responseStarted) countAnswer(exchange.cluster.counters, reply.status);
  exchange.giveUp(reply);
};

/** Ends an answer that its upstream broke off. */
export const cutShort = (exchange: HttpExchange, how: UpstreamBreak): void => {
  exchange.flag(breakFlag(how));
  exchange.details = `upstream_reset_after_response_started{${how.replaceAll("-", "_")}}`;
  exchange.abort();
};
