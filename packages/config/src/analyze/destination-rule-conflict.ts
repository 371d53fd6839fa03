import { formatPosition } from "@weft/core/error";
import type { Analyzer } from "./analyzer.ts";
import { fullHost } from "./hosts.ts";
import { notSuppressed } from "./suppress.ts";

/** Two DestinationRules of one namespace are for the same host. */
export const destinationRuleConflict: Analyzer = {
  code: "WF1107",
  level: "warning",
  also: ["KIA0201"],
  title: "two DestinationRules are for the same host",
  explain: `Of several DestinationRules for one host in one namespace, the oldest gives the traffic policy and the
others' is dropped. Their subsets are put together; of two subsets with one name the older holds. Merge
them into one rule.`,
  run: ({ of }) => {
    const plain = notSuppressed(of("DestinationRule"), destinationRuleConflict).filter(
      ({ spec }) => !spec.workloadSelector,
    );
    const groups = Map.groupBy(plain, ({ spec, namespace }) => `${namespace}/${fullHost(spec.host, namespace)}`);
    return [...groups.values()].flatMap(([oldest, ...others]) =>
      others.flatMap((object) => {
        const kept = new Set(oldest?.spec.subsets?.map(({ name }) => name));
        const lost = (object.spec.subsets ?? [])
          .filter(({ name }) => kept.has(name))
          .map(({ name }) => `subset ${name}`);
        if (object.spec.trafficPolicy && oldest?.spec.trafficPolicy) lost.unshift("trafficPolicy");
        const at = oldest ? `${oldest.namespace}/${oldest.name} (${formatPosition(oldest.source)})` : "";
        const effect = lost.length === 0 ? "their subsets are put together" : `its ${lost.join(", ")} is dropped`;
        const message = `DestinationRule ${at} is for the same host and older, so ${effect}: merge the two`;
        return [{ object, path: ["spec", "host"], message }];
      }),
    );
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart-pool}
spec:
  host: cart.default.svc.cluster.local
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 10}}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {tcp: {maxConnections: 10}}
`,
  },
};
