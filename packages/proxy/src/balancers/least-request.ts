import { ConfigError } from "@weft/core/config-error";
import type { LeastRequestJson } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request";
import type { Host } from "../clusters/host.ts";
import { oneOf, refuseOthers, unsigned } from "../compile/fields.ts";
import type { BalancerKind, BuildBalancer } from "./balancer.ts";
import { createEdf, equalWeights } from "./edf.ts";
import { anyStarting, compileSlowStart, type SlowStart, withSlowStart } from "./slow-start.ts";

/** The best of a few drawn at random: near the best spread for little work, however uneven the requests. */
const chooseAmong =
  (choices: number): BuildBalancer =>
  (hosts, { random }) => {
    const { length } = hosts;
    return () => {
      let best = hosts[Math.floor(random() * length)];
      for (let i = 1; i < choices; i++) {
        const host = hosts[Math.floor(random() * length)];
        if (host && best && host.activeRequests < best.activeRequests) best = host;
      }
      return best;
    };
  };

/** The least loaded of all; among equals one at random. */
const scanAll: BuildBalancer =
  (hosts, { random }) =>
  () => {
    let best: Host | undefined;
    let ties = 0;
    for (const host of hosts) {
      if (!best || host.activeRequests < best.activeRequests) {
        best = host;
        ties = 1;
      } else if (host.activeRequests === best.activeRequests && random() * ++ties < 1) {
        best = host;
      }
    }
    return best;
  };

/** With different weights: in proportion to weight, less what is under way, and less while a host is new. */
const byWeight =
  (bias: number, slowStart: SlowStart | undefined): BuildBalancer =>
  (hosts, tools) => {
    const weigh = ({ weight, activeRequests }: Host): number =>
      bias === 1 ? weight / (activeRequests + 1) : weight / (activeRequests + 1) ** bias;
    const weightOf = withSlowStart(weigh, slowStart, tools);
    const edf = createEdf(
      hosts.length,
      (index) => {
        const host = hosts[index];
        return host ? weightOf(host) : 1;
      },
      tools.random,
    );
    return () => hosts[edf.next()];
  };

export const leastRequest: BalancerKind = {
  policy: "LEAST_REQUEST",
  typeName: "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",

  configure(raw) {
    const json = raw as LeastRequestJson;
    refuseOthers(json, "LeastRequest", "", [
      "choiceCount",
      "activeRequestBias",
      "localityLbConfig",
      "slowStartConfig",
      "enableFullScan",
      "selectionMethod",
    ]);
    const choices = unsigned(json.choiceCount, "choiceCount") ?? 2;
    if (choices < 2) throw new ConfigError("choiceCount", "must be at least 2");
    const bias = json.activeRequestBias?.defaultValue ?? 1;
    if (typeof bias !== "number" || !(bias >= 0)) throw new ConfigError("activeRequestBias", "must not be negative");
    const method = oneOf(json.selectionMethod, ["N_CHOICES", "FULL_SCAN"], "N_CHOICES", "selectionMethod");
    const equal = method === "FULL_SCAN" || json.enableFullScan === true ? scanAll : chooseAmong(choices);
    const slowStart = compileSlowStart(json.slowStartConfig, "slowStartConfig");
    const weighted = byWeight(bias, slowStart);
    return (hosts, tools) => {
      const alike = equalWeights(hosts.map(({ weight }) => weight)) && !anyStarting(hosts, slowStart, tools);
      return (alike ? equal : weighted)(hosts, tools);
    };
  },
};
