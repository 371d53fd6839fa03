/** What interception needs of the machine's routing and addresses, as `ip` commands. Pure: nothing is run here. */
import { type Family, passthroughSource } from "./plan.ts";
import type { InterceptSettings } from "./settings.ts";

/** One thing that is there or is not. */
export interface RoutingStep {
  readonly family: Family;
  readonly what: string;
  /** Arguments of `ip` that print what is there of its kind; a failure means nothing is. */
  readonly show: readonly string[];
  readonly isThere: (shown: string) => boolean;
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

const ruleStep = (family: Family, { mark, routeTable }: InterceptSettings): RoutingStep => {
  const ip = family === "ipv4" ? "-4" : "-6";
  const rule = ["fwmark", String(mark), "lookup", String(routeTable)];
  const line = new RegExp(`\\bfwmark 0x${mark.toString(16)} lookup ${routeTable}\\b`);
  return {
    family,
    what: `rule ${rule.join(" ")}`,
    show: [ip, "rule", "show"],
    isThere: (shown) => line.test(shown),
    add: [ip, "rule", "add", ...rule],
    remove: [ip, "rule", "del", ...rule],
  };
};

const routeStep = (family: Family, { routeTable }: InterceptSettings): RoutingStep => {
  const [ip, all] = family === "ipv4" ? ["-4", "0.0.0.0/0"] : ["-6", "::/0"];
  const route = ["local", all, "dev", "lo", "table", String(routeTable)];
  return {
    family,
    what: `route ${route.join(" ")}`,
    show: [ip, "route", "show", "table", String(routeTable)],
    isThere: (shown) => /^local default dev lo\b/m.test(shown),
    add: [ip, "route", "add", ...route],
    remove: [ip, "route", "del", ...route],
  };
};

/** IPv4 has all of 127.0.0.0/8 on loopback; of IPv6 the pass-through source must be put there. */
const sourceStep: RoutingStep = {
  family: "ipv6",
  what: `address ${passthroughSource.ipv6} dev lo`,
  show: ["-6", "addr", "show", "dev", "lo"],
  isThere: (shown) => shown.includes(`inet6 ${passthroughSource.ipv6} `),
  add: ["-6", "addr", "add", passthroughSource.ipv6, "dev", "lo"],
  remove: ["-6", "addr", "del", passthroughSource.ipv6, "dev", "lo"],
};

/** What is to be there for these settings; `unwanted` is what may be left of others. */
export const planRouting = (
  settings: InterceptSettings,
): { readonly wanted: readonly RoutingStep[]; readonly unwanted: readonly RoutingStep[] } => {
  const families: readonly Family[] = settings.ipv6 ? ["ipv4", "ipv6"] : ["ipv4"];
  const marked = families.flatMap((family) => [ruleStep(family, settings), routeStep(family, settings)]);
  const source = settings.ipv6 ? [sourceStep] : [];
  return settings.mode === "tproxy"
    ? { wanted: [...source, ...marked], unwanted: [] }
    : { wanted: source, unwanted: marked };
};
