/** Upgrades that a route takes: WebSocket and the like, and CONNECT. */
import { ConfigError } from "@weft/core/config-error";
import type { RouteActionJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { member, refuseOthers, required } from "../compile/fields.ts";

export interface UpgradePolicy {
  /** In lower case; false: not here, whatever the listener says. */
  readonly upgrades: ReadonlyMap<string, boolean>;
  /** CONNECT ends here, and upstream gets the bytes it carries; else it is passed on as it is. */
  readonly endsConnect: boolean;
}

const none: UpgradePolicy = { upgrades: new Map(), endsConnect: false };

export const compileUpgradePolicy = (list: RouteActionJson["upgradeConfigs"], at: string): UpgradePolicy => {
  if (!list || list.length === 0) return none;
  const upgrades = new Map<string, boolean>();
  let endsConnect = false;
  for (const [index, json] of list.entries()) {
    const here = `${at}[${index}]`;
    refuseOthers(json, "UpgradeConfig", here, ["upgradeType", "enabled", "connectConfig"]);
    const type = required(json.upgradeType, member(here, "upgradeType")).toLowerCase();
    if (upgrades.has(type)) throw new ConfigError(member(here, "upgradeType"), `${type} is given twice`);
    upgrades.set(type, json.enabled !== false);
    if (!json.connectConfig) continue;
    if (type !== "connect") throw new ConfigError(member(here, "connectConfig"), "is for CONNECT only");
    refuseOthers(json.connectConfig, "ConnectConfig", member(here, "connectConfig"), []);
    endsConnect = true;
  }
  return { upgrades, endsConnect };
};
