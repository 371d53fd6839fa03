import type { Analyzer } from "./analyzer.ts";
import { policiesOf } from "./policies.ts";

/** Outlier detection may leave out every endpoint. */
export const ejectsEverything: Analyzer = {
  code: "WF1123",
  level: "info",
  also: [],
  title: "outlier detection may eject every endpoint",
  explain: `With \`maxEjectionPercent: 100\` a fault that all endpoints share (a bad release, a broken database)
ejects all of them, and callers get 503 at once instead of some answers. That can be meant.
\`minHealthPercent\` above 0 brings all endpoints back when too few are left.`,
  run: ({ of }) =>
    of("DestinationRule").flatMap((object) =>
      policiesOf(object).flatMap(({ policy: { outlierDetection }, path }) => {
        const { maxEjectionPercent = 10, minHealthPercent = 0 } = outlierDetection ?? {};
        if (maxEjectionPercent < 100 || minHealthPercent > 0) return [];
        const message = "maxEjectionPercent 100 may leave no endpoint at all: lower it, or set minHealthPercent";
        return [{ object, path: [...path, "outlierDetection", "maxEjectionPercent"], message }];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rates}
spec:
  host: rates
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 100}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rates}
spec:
  host: rates
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 50}}
`,
  },
};
