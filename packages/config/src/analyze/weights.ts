import type { ConfigOf } from "../config-object.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { Analyzer, Hit } from "./analyzer.ts";

/** Weights of a route do not sum to 100, or do nothing. */
export const weights: Analyzer = {
  code: "WF1108",
  level: "warning",
  also: ["KIA1104"],
  title: "weights do not sum to 100, or have no effect",
  explain: `Weights are relative: 1 and 3 send a quarter and three quarters. A sum other than 100 is legal and often
a slip, such as a share forgotten after a change. The weight of a single destination has no effect: it
gets everything. A destination with weight 0 beside others gets nothing.`,
  run: ({ of }) =>
    of("VirtualService").flatMap((object) => routesOf(object).flatMap((route) => routeHits(object, route))),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mail}
spec:
  hosts: [mail]
  http:
  - route:
    - {destination: {host: mail}, weight: 80}
    - {destination: {host: mail-next}, weight: 10}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mail}
spec:
  hosts: [mail]
  http:
  - route:
    - {destination: {host: mail}, weight: 90}
    - {destination: {host: mail-next}, weight: 10}
`,
  },
};

interface WeightedRoute {
  readonly route: readonly { readonly weight?: number }[];
  readonly path: FieldPath;
}

const routesOf = ({ spec }: ConfigOf<"VirtualService">): WeightedRoute[] =>
  (["http", "tls", "tcp"] as const).flatMap((protocol) =>
    (spec[protocol] ?? []).map(({ route = [] }, index) => ({ route, path: ["spec", protocol, index, "route"] })),
  );

const routeHits = (object: ConfigOf<"VirtualService">, { route, path }: WeightedRoute): Hit[] => {
  const [only] = route;
  if (route.length === 1 && only?.weight !== undefined && only.weight !== 100) {
    const message = `weight ${only.weight} has no effect, as this is the only destination: it gets everything`;
    return [{ object, path: [...path, 0, "weight"], message }];
  }
  if (route.length < 2) return [];
  const sum = route.reduce((total, { weight = 0 }) => total + weight, 0);
  const hits: Hit[] = [];
  if (sum !== 100) {
    const shares = route.map(({ weight = 0 }) => `${Math.round((weight / sum) * 1000) / 10} %`).join(", ");
    hits.push({ object, path, message: `the weights sum to ${sum}, not 100; the shares are ${shares}: adjust them` });
  }
  for (const [index, { weight }] of route.entries()) {
    if (weight !== undefined && weight > 0) continue;
    const given = weight === undefined ? "no weight, which counts as 0" : "weight 0";
    const message = `a destination with ${given}, beside others gets no traffic: give it a weight, or remove it`;
    const level = weight === undefined ? "warning" : "info";
    hits.push({ object, path: [...path, index], message, level });
  }
  return hits;
};
