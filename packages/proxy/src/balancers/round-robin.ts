import { refuseOthers } from "../compile/fields.ts";
import type { BalancerKind } from "./balancer.ts";
import { createEdf, equalWeights } from "./edf.ts";

/** In turn; with different weights each host's turns come in proportion, spread evenly. */
export const roundRobin: BalancerKind = {
  policy: "ROUND_ROBIN",
  typeName: "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",

  configure(raw) {
    refuseOthers(raw, "RoundRobin", "", ["localityLbConfig"]);

    return (hosts, { random }) => {
      if (!equalWeights(hosts.map(({ weight }) => weight))) {
        const edf = createEdf(hosts.length, (index) => hosts[index]?.weight ?? 1, random);
        return () => hosts[edf.next()];
      }
      let turn = Math.floor(random() * hosts.length);
      return () => {
        if (turn >= hosts.length) turn = 0;
        return hosts[turn++];
      };
    };
  },
};
