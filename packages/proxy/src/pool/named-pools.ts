import type { IdleConnection } from "../overload/idle-closer.ts";
import type { UpstreamTarget } from "./open-upstream.ts";
import type { StreamPool } from "./pool-waiter.ts";

/** Names come from requests: more pools of one host than this are not kept, and the one not asked longest goes. */
export const namedPoolsMax = 256;

/** Pools of one host whose connections asked for a server by the name that requests gave: requests for others use others. */
export class NamedPools {
  private readonly pools = new Map<string, { readonly pool: StreamPool; target: UpstreamTarget }>();

  get connections(): number {
    let sum = 0;
    for (const { pool } of this.pools.values()) sum += pool.connections;
    return sum;
  }

  poolFor(key: string, target: UpstreamTarget, make: () => StreamPool): StreamPool {
    let known = this.pools.get(key);
    if (known === undefined) known = { pool: make(), target };
    else {
      this.pools.delete(key);
      if (known.target.cluster !== target.cluster) {
        known.target = target;
        known.pool.retarget(target);
      }
    }
    this.pools.set(key, known);
    if (this.pools.size > namedPoolsMax) this.dropOldest();
    return known.pool;
  }

  *all(): Generator<StreamPool> {
    for (const { pool } of this.pools.values()) yield pool;
  }
  visitIdle(visit: (connection: IdleConnection) => void): void {
    for (const pool of this.all()) pool.visitIdle(visit);
  }
  drain(): void {
    for (const pool of this.all()) pool.drain();
    this.pools.clear();
  }

  private dropOldest(): void {
    for (const [key, { pool }] of this.pools) {
      this.pools.delete(key);
      pool.drain();
      return;
    }
  }
}
