import type { Counter, Gauge, Stats } from "../observe/stats.ts";

/** What a cache of names counts, under Envoy's names. */
export interface DnsCacheCounters {
  readonly attempts: Counter;
  readonly successes: Counter;
  readonly failures: Counter;
  /** Among the failures. */
  readonly timeouts: Counter;
  readonly addressChanged: Counter;
  readonly hostAdded: Counter;
  readonly hostRemoved: Counter;
  readonly hostOverflow: Counter;
  readonly pendingOverflow: Counter;
  readonly hosts: Gauge;
}

export const dnsCacheCounters = (stats: Pick<Stats, "counter" | "gauge">, name: string): DnsCacheCounters => {
  const counter = (member: string): Counter => stats.counter(`dns_cache.${name}.${member}`);
  return {
    attempts: counter("dns_query_attempt"),
    successes: counter("dns_query_success"),
    failures: counter("dns_query_failure"),
    timeouts: counter("dns_query_timeout"),
    addressChanged: counter("host_address_changed"),
    hostAdded: counter("host_added"),
    hostRemoved: counter("host_removed"),
    hostOverflow: counter("host_overflow"),
    pendingOverflow: counter("dns_rq_pending_overflow"),
    hosts: stats.gauge(`dns_cache.${name}.num_hosts`),
  };
};
