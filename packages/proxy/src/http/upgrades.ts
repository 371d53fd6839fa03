import type { RequestHead } from "@weft/protocols/http/head";
import type { Route } from "../routing/route.ts";
import type { HcmSettings } from "./hcm-settings.ts";

/** What the request wants its connection to become: `websocket`, `connect`; empty for an ordinary request. */
export const upgradeOf = ({ protocol, method }: RequestHead): string =>
  protocol !== "" ? protocol : method === "CONNECT" ? "connect" : "";

/**
 * Whether the route, or for all but CONNECT the listener, takes that upgrade. Without a route there is nothing to refuse:
 * the request is answered 404 like any other.
 */
export const takesUpgrade = (upgrade: string, route: Route | undefined, settings: HcmSettings): boolean => {
  if (upgrade === "" || route === undefined) return true;
  if (route.action.kind === "forward" && route.action.upgrades.has(upgrade)) return true;
  return upgrade !== "connect" && settings.upgrades.has(upgrade);
};
