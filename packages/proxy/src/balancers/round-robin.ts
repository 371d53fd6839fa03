import type { RoundRobinJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin";
import { refuseOthers } from "../compile/fields.ts";
import type { BalancerKind } from "./balancer.ts";
import { createEdf, equalWeights } from "./edf.ts";
import { anyStarting, compileSlowStart, withSlowStart } from "./slow-start.ts";

/** In turn; with different weights each host's turns come in proportion, spread evenly. */
export const roundRobin: BalancerKind = {
  policy: "ROUND_ROBIN",
  typeName: "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",

  configure(raw) {
    const json = raw as RoundRobinJson;
    refuseOthers(json, "RoundRobin", "", ["localityLbConfig", "slowStartConfig"]);
    const slowStart = compileSlowStart(json.slowStartConfig, "slowStartConfig");

    return (hosts, tools) => {
      const { random } = tools;
      if (!equalWeights(hosts.map(({ weight }) => weight)) || anyStarting(hosts, slowStart, tools)) {
        const weightOf = withSlowStart(({ weight }) => weight, slowStart, tools);
        const edf = createEdf(
          hosts.length,
          (index) => {
            const host = hosts[index];
            return host ? weightOf(host) : 1;
          },
          random,
        );
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
