import type { Analyzer } from "./analyzer.ts";
import { policiesOf } from "./policies.ts";

/** A bound on gateway errors is never reached, as every gateway error is also a 5xx. */
export const gatewayErrors: Analyzer = {
  code: "WF1150",
  level: "warning",
  also: [],
  title: "consecutiveGatewayErrors never decides",
  explain: `Every 502, 503 and 504 counts as a gateway error and as a 5xx. If consecutive5xxErrors (5 where it is absent) is not
above consecutiveGatewayErrors, an endpoint is ejected for its 5xx answers before the gateway errors can count. Lower
consecutiveGatewayErrors, or turn the other off with 0.`,
  run: ({ of }) =>
    of("DestinationRule").flatMap((object) =>
      policiesOf(object).flatMap(({ policy: { outlierDetection }, path }) => {
        const { consecutive5xxErrors: any = 5, consecutiveGatewayErrors: gateway = 0 } = outlierDetection ?? {};
        if (any === 0 || gateway < any) return [];
        const message = `consecutiveGatewayErrors ${gateway} never decides, as consecutive5xxErrors is ${any}: lower it, or set consecutive5xxErrors to 0`;
        return [{ object, path: [...path, "outlierDetection", "consecutiveGatewayErrors"], message }];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: maps}
spec:
  host: maps
  trafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 7}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: maps}
spec:
  host: maps
  trafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 7, consecutive5xxErrors: 0}}
`,
  },
};
