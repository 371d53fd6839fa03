import type { Clock } from "@weft/core/world";
import type { ActiveListener } from "../listeners/active-listener.ts";
import type { Stats } from "../observe/stats.ts";
import { IdleCloser } from "../overload/idle-closer.ts";
import type { IdleHost } from "../pool/pool-tools.ts";

interface IdleConnections {
  readonly clock: Clock;
  readonly stats: Pick<Stats, "counter">;
  readonly listeners: ReadonlyMap<string, Pick<ActiveListener, "visitIdle">>;
  readonly hosts: ReadonlySet<IdleHost>;
}

/** Closes idle connections on both sides of a data plane, where memory runs short. */
export const createIdleCloser = ({ clock, stats, listeners, hosts }: IdleConnections): IdleCloser =>
  new IdleCloser(clock, [
    {
      visit: (each) => {
        for (const listener of listeners.values()) listener.visitIdle(each);
      },
      closed: stats.counter("overload.downstream_cx_idle_closed"),
    },
    {
      visit: (each) => {
        for (const host of hosts) host.visitIdle(each);
      },
      closed: stats.counter("overload.upstream_cx_idle_closed"),
    },
  ]);
