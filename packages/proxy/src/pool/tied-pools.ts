import type { Cluster } from "../clusters/cluster.ts";
import type { DownstreamTies } from "./downstream-ties.ts";
import type { UpstreamTarget } from "./open-upstream.ts";
import type { StreamPool } from "./pool-waiter.ts";

/** One client's requests may give names, each with a pool of its own: it has no more than this, and the first made goes. */
export const tiedPoolsMax = 64;

interface Tied {
  readonly pool: StreamPool;
  cluster: Cluster;
}

/**
 * Pools of a host whose connections were opened in the name of one downstream connection: its requests alone use them,
 * and they close when it has gone. So there are never more of them than `tiedPoolsMax` times downstream connections.
 */
export class TiedPools {
  private readonly byTies = new Map<DownstreamTies, Map<string, Tied>>();

  get connections(): number {
    let sum = 0;
    for (const pool of this.all()) sum += pool.connections;
    return sum;
  }

  poolFor(key: string, ties: DownstreamTies, target: UpstreamTarget, make: () => StreamPool): StreamPool {
    let pools = this.byTies.get(ties);
    if (pools === undefined) {
      pools = new Map();
      this.byTies.set(ties, pools);
      ties.onGone(() => this.forget(ties));
    }
    let tied = pools.get(key);
    if (tied === undefined) {
      tied = { pool: make(), cluster: target.cluster };
      pools.set(key, tied);
      if (pools.size > tiedPoolsMax) dropFirst(pools);
    } else if (tied.cluster !== target.cluster) {
      tied.cluster = target.cluster;
      tied.pool.retarget(target);
    }
    return tied.pool;
  }

  *all(): Generator<StreamPool> {
    for (const pools of this.byTies.values()) for (const { pool } of pools.values()) yield pool;
  }

  drain(): void {
    for (const pool of this.all()) pool.drain();
    this.byTies.clear();
  }

  private forget(ties: DownstreamTies): void {
    const pools = this.byTies.get(ties);
    this.byTies.delete(ties);
    if (pools !== undefined) for (const { pool } of pools.values()) pool.drain();
  }
}

const dropFirst = (pools: Map<string, Tied>): void => {
  for (const [key, { pool }] of pools) {
    pools.delete(key);
    pool.drain();
    return;
  }
};
