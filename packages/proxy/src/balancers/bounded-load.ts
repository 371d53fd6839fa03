/**
 * Consistent hashing with bounded loads: a host that has its fair share times a factor is passed over, for one that
 * follows from the hash alone, so that a request keeps its second host too.
 */
import type { Host } from "../clusters/host.ts";
import type { PickHost } from "./balancer.ts";
import { createTwister, type Twister } from "./mersenne-twister.ts";

export interface BoundedLoadOptions {
  readonly hosts: readonly Host[];
  readonly shares: readonly number[];
  /** Percent; at least 100. */
  readonly factor: number;
  /** Requests that the whole cluster serves now. */
  readonly active: () => number;
}

const twoTo32 = 0x1_0000_0000;

/** A number below `k` by whole division, drawn again where that would favour any. */
const below = (next: () => number, k: number): number => {
  let drawn = k;
  while (drawn >= k) drawn = Math.floor(next() / Math.floor(twoTo32 / k));
  return drawn;
};

/** `choose` gives the host of a hash when loads do not matter. */
export const boundLoad = (
  choose: (hash: bigint, attempt: number) => Host | undefined,
  { hosts, shares, factor, active }: BoundedLoadOptions,
): ((hash: bigint, attempt: number) => ReturnType<PickHost>) => {
  // Made when a host is first passed over, and used again.
  let twister: Twister | undefined;
  let order: Uint32Array | undefined;
  const shareOf = new Map(hosts.map((host, index) => [host, shares[index] ?? 0]));
  const overload = (host: Host, share: number): number => {
    const slots = Math.floor(((active() + 1) * factor + 99) / 100);
    return host.activeRequests / Math.max(1, Math.ceil(slots * share));
  };
  const findOther = (hash: bigint, first: Host): Host => {
    twister ??= createTwister();
    order ??= new Uint32Array(hosts.length);
    twister.seed(Number(hash & 0xffff_ffffn));
    const { next } = twister;
    for (let i = 0; i < order.length; i++) order[i] = i;
    let best = first;
    let least = overload(first, shareOf.get(first) ?? 0);
    for (let i = 0; i < order.length; i++) {
      const j = i + below(next, order.length - i);
      const drawn = order[j] as number;
      order[j] = order[i] as number;
      order[i] = drawn;
      const host = hosts[drawn] as Host;
      if (host === first) continue;
      const load = overload(host, shares[drawn] ?? 0);
      if (load <= 1) return host;
      if (load < least) {
        best = host;
        least = load;
      }
    }
    return best;
  };
  return (hash, attempt) => {
    const host = choose(hash, attempt);
    if (host === undefined || overload(host, shareOf.get(host) ?? 0) <= 1) return host;
    return findOther(hash, host);
  };
};
