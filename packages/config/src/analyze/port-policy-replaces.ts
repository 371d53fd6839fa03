import type { Analyzer } from "./analyzer.ts";
import { policiesOf } from "./policies.ts";

const blocks = ["loadBalancer", "connectionPool", "outlierDetection", "tls"] as const;
const whole = ["tunnel", "proxyProtocol", "retryBudget"] as const;

/** Settings of a port take the place of all settings around them. */
export const portPolicyReplaces: Analyzer = {
  code: "WF1148",
  level: "info",
  also: [],
  title: "settings of a port replace those around them",
  explain: `An entry of portLevelSettings replaces the whole policy for its port: blocks it does not repeat are not taken from
trafficPolicy but have their defaults there. Repeat the blocks that should hold for the port as well.`,
  run: ({ of }) =>
    of("DestinationRule").flatMap((object) =>
      policiesOf(object).flatMap(({ policy, path }) => {
        if (!("portLevelSettings" in policy)) return [];
        return (policy.portLevelSettings ?? []).flatMap((settings, index) => {
          const lost = [
            ...blocks.filter((name) => policy[name] !== undefined && settings[name] === undefined),
            ...whole.filter((name) => policy[name] !== undefined),
          ];
          if (lost.length === 0) return [];
          const which = `${lost.join(", ")} of trafficPolicy`;
          const message = `${which} does not hold for port ${settings.port?.number}: repeat it here if it should`;
          return [{ object, path: [...path, "portLevelSettings", index], message }];
        });
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: audio}
spec:
  host: audio
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 10}}}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: audio}
spec:
  host: audio
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    portLevelSettings:
    - port: {number: 80}
      loadBalancer: {simple: ROUND_ROBIN}
      connectionPool: {tcp: {maxConnections: 10}}
`,
  },
};
