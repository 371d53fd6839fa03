import type { Analyzer } from "./analyzer.ts";
import { policiesOf } from "./policies.ts";

/** Locality failover is asked for without outlier detection. */
export const failoverWithoutOutliers: Analyzer = {
  code: "WF1128",
  level: "warning",
  also: [],
  title: "locality failover needs outlier detection",
  explain: `\`failover\` and \`failoverPriority\` order endpoints by nearness and move on when the near ones are
unhealthy. Only outlier detection tells that, so without it the order is not made and traffic goes to
all localities alike.`,
  run: ({ of }) =>
    of("DestinationRule").flatMap((object) => {
      const shared = object.spec.trafficPolicy?.outlierDetection !== undefined;
      return policiesOf(object).flatMap(({ policy, path }) => {
        const setting = policy.loadBalancer?.localityLbSetting;
        const asked = setting?.failover?.length || setting?.failoverPriority?.length;
        const inherits = shared && !path.includes("portLevelSettings");
        if (!asked || setting?.enabled === false || policy.outlierDetection || inherits) return [];
        const message = "locality failover does nothing without outlierDetection: add outlierDetection beside it";
        return [{ object, path: [...path, "loadBalancer", "localityLbSetting"], message }];
      });
    }),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: geo}
spec:
  host: geo
  trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: north, to: south}]}}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: geo}
spec:
  host: geo
  trafficPolicy:
    loadBalancer: {localityLbSetting: {failover: [{from: north, to: south}]}}
    outlierDetection: {consecutive5xxErrors: 5}
`,
  },
};
