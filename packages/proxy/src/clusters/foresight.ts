import type { PickHost } from "../balancers/balancer.ts";
import type { Host } from "./host.ts";

export interface Foresight {
  readonly pick: PickHost;
  /** The host that the next pick will give, as far as one can know: it takes no turn from any host. */
  readonly foresee: () => Host | undefined;
}

const noHash = { hash: undefined };

/** Lets a balancer that minds no request be asked ahead of its next pick. */
export const createForesight = (pick: PickHost): Foresight => {
  let next: Host | undefined;
  return {
    pick: (request) => {
      const host = next;
      if (host === undefined || request.hash !== undefined || request.metadataMatch !== undefined) return pick(request);
      next = undefined;
      return usable(host) ? host : pick(request);
    },
    foresee: () => {
      if (next === undefined || !usable(next)) next = pick(noHash);
      return next;
    },
  };
};

const usable = (host: Host): boolean => !host.removed && host.state !== "unhealthy";
