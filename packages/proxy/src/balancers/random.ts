import { refuseOthers } from "../compile/fields.ts";
import type { BalancerKind } from "./balancer.ts";

/** Any host alike; weights are not looked at, as in Envoy. */
export const random: BalancerKind = {
  policy: "RANDOM",
  typeName: "envoy.extensions.load_balancing_policies.random.v3.Random",

  configure(raw) {
    refuseOthers(raw, "Random", "", ["localityLbConfig"]);
    return (hosts, tools) => () => hosts[Math.floor(tools.random() * hosts.length)];
  },
};
