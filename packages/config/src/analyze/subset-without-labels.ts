import type { Analyzer } from "./analyzer.ts";

/** A subset has no labels, so it is the whole service. */
export const subsetWithoutLabels: Analyzer = {
  code: "WF1126",
  level: "warning",
  also: ["KIA0209"],
  title: "a subset has no labels",
  explain: `A subset without labels holds every endpoint of the service. It can carry a policy of its own, and is
more often a label forgotten.`,
  run: ({ of }) =>
    of("DestinationRule").flatMap((object) =>
      (object.spec.subsets ?? []).flatMap(({ name, labels = {}, trafficPolicy }, index) => {
        if (Object.keys(labels).length > 0) return [];
        const message = `subset "${name}" has no labels, so it is the whole service: add the labels of its endpoints`;
        const level = trafficPolicy ? "info" : "warning";
        return [{ object, path: ["spec", "subsets", index], message, level } as const];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: tax}
spec: {host: tax, subsets: [{name: canary}]}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: tax}
spec: {host: tax, subsets: [{name: canary, labels: {track: canary}}]}
`,
  },
};
