import type { Pick } from "./pick.ts";
import * as words from "./words.ts";

const hashOf = (pick: Pick): object => ({
  ...pick.one([
    { httpHeaderName: words.hashHeader },
    { httpQueryParameterName: "q" },
    { useSourceIp: true },
    { httpCookie: { name: "session", ttl: "0s" } },
  ]),
  ...pick.one([{}, { ringHash: { minimumRingSize: 1024 } }, { maglev: { tableSize: 65537 } }]),
});

/** A traffic policy whose choices can be told from outside: which hosts are chosen, not how often. */
export const makePolicy = (pick: Pick): object => ({
  ...(pick.chance(0.8)
    ? {
        loadBalancer: pick.chance(0.4)
          ? { consistentHash: hashOf(pick) }
          : { simple: pick.one(["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "LEAST_CONN"]) },
      }
    : {}),
  ...(pick.chance(0.3)
    ? {
        connectionPool: {
          http: pick.one([{ maxRequestsPerConnection: 5 }, { http1MaxPendingRequests: 100 }, { maxRetries: 3 }]),
        },
      }
    : {}),
  ...(pick.chance(0.1) ? { outlierDetection: { consecutive5xxErrors: 0, interval: "60s" } } : {}),
});
