/** Keeps the publisher's index of who wants which endpoints as one stream subscribes and unsubscribes. */
import type { StreamRequest } from "@weft/xds/stream-messages";
import type { Subscription } from "./publisher.ts";

/** What a stream is subscribed to of one type. */
export interface Subscribed {
  readonly wildcard: boolean;
  readonly names: ReadonlySet<string>;
}

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
  /** Of state of the world only, where each request says them all. */
  let before: ReadonlySet<string> = new Set();
  const setWildcard = (now: boolean): void => {
    if (now === wildcard) return;
    wildcard = now;
    if (now) subscription.wantsAll();
    else subscription.unwantsAll();
  };
  return {
    follow(request, now) {
      setWildcard(now.wildcard);
      if (request.mode === "delta") {
        for (const name of request.subscribe) if (now.names.has(name)) subscription.wants(name);
        for (const name of request.unsubscribe) if (!now.names.has(name)) subscription.unwants(name);
        return;
      }
      if (before.size === now.names.size && now.names.isSubsetOf(before)) return;
      for (const name of before) if (!now.names.has(name)) subscription.unwants(name);
      for (const name of now.names) subscription.wants(name);
      before = new Set(now.names);
    },
    forget(last) {
      setWildcard(false);
      for (const name of last.names) subscription.unwants(name);
    },
  };
};
