/** Keeps the publisher's index of who wants which endpoints as one stream subscribes and unsubscribes. */
import type { NameSet } from "@weft/xds/name-set";
import type { DeltaRequest, StreamRequest } from "@weft/xds/stream-messages";
import type { Subscribed } from "@weft/xds/type-state";
import type { Subscription } from "./publisher.ts";

export interface EndpointNames {
  /** To be called after each request that may subscribe or unsubscribe, with what the stream is subscribed to then. */
  follow(request: StreamRequest, now: Subscribed): void;
  /** To be called at the stream's end. */
  forget(last: Subscribed): void;
}

/** Whether it may be about names the stream was not subscribed to. */
export const asksForMore = (request: StreamRequest): boolean =>
  request.mode === "sotw" ||
  request.subscribe.length > 0 ||
  request.unsubscribe.length > 0 ||
  // The first request of a type subscribes to all of it without a name.
  request.nonce === "";

export const createEndpointNames = (subscription: Subscription): EndpointNames => {
  let wildcard = false;
  /** What it has together with others. */
  let group: ReadonlySet<string> | undefined;
  /** Of state of the world only, where each request says them all. */
  let before: ReadonlySet<string> = new Set();
  const setWildcard = (now: boolean): void => {
    if (now === wildcard) return;
    wildcard = now;
    if (now) subscription.wantsAll();
    else subscription.unwantsAll();
  };
  const followDelta = ({ subscribe, unsubscribe }: DeltaRequest, names: NameSet): void => {
    const { shared } = names;
    if (group !== undefined && group === shared) return;
    if (group !== undefined) {
      subscription.leaves(group);
      group = undefined;
      for (const name of names) subscription.wants(name);
    } else if (shared !== undefined) {
      // It had none before: a set that was its own is never shared again.
      group = shared;
      subscription.joins(shared);
    } else {
      for (const name of subscribe) if (names.has(name)) subscription.wants(name);
      for (const name of unsubscribe) if (!names.has(name)) subscription.unwants(name);
    }
  };
  return {
    follow(request, now) {
      setWildcard(now.wildcard);
      if (request.mode === "delta") {
        followDelta(request, now.names);
        return;
      }
      const names = new Set(now.names);
      if (before.size === names.size && names.isSubsetOf(before)) return;
      for (const name of before) if (!names.has(name)) subscription.unwants(name);
      for (const name of names) subscription.wants(name);
      before = names;
    },
    forget(last) {
      setWildcard(false);
      if (group) subscription.leaves(group);
      else for (const name of last.names) subscription.unwants(name);
    },
  };
};
