import type { RequestHead } from "@weft/protocols/http/head";
import type { Route } from "../routing/route.ts";
import type { HcmSettings } from "./hcm-settings.ts";

/** What the request wants its connection to become: `websocket`, `connect`; empty for an ordinary request. */
export const upgradeOf = ({ protocol, method }: RequestHead): string =>
  protocol !== "" ? protocol : method === "CONNECT" ? "connect" : "";

/**
 * Whether the route takes that upgrade or, where it says nothing of it, for all but CONNECT the listener. Without a route there is nothing to refuse:
 * the request is answered 404 like any other.
 */
export const takesUpgrade = (upgrade: string, route: Route | undefined, settings: HcmSettings): boolean => {
  if (upgrade === "" || route === undefined) return true;
  const own = route.action.kind === "forward" ? route.action.upgrades.get(upgrade) : undefined;
  if (own !== undefined) return own;
  return upgrade !== "connect" && settings.upgrades.has(upgrade);
};
