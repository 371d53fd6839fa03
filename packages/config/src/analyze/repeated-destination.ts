import type { Analyzer } from "./analyzer.ts";

/** One route names the same destination twice. */
export const repeatedDestination: Analyzer = {
  code: "WF1120",
  level: "warning",
  also: ["KIA1105"],
  title: "a route names a destination twice",
  explain: `The same host, subset and port stand twice in one route; their weights add up. Usually another subset
was meant.`,
  run: ({ of }) =>
    of("VirtualService").flatMap((object) =>
      (object.spec.http ?? []).flatMap(({ route = [] }, rule) => {
        const keys = route.map(
          ({ destination: { host, subset = "", port } }) => `${host}|${subset}|${port?.number ?? ""}`,
        );
        return keys.flatMap((key, index) => {
          const first = keys.indexOf(key);
          if (first === index) return [];
          const message = `this destination already stands as route[${first}]: change its subset, or merge the weights`;
          return [{ object, path: ["spec", "http", rule, "route", index], message }];
        });
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: maps}
spec:
  hosts: [maps]
  http:
  - route:
    - {destination: {host: maps, subset: v1}, weight: 50}
    - {destination: {host: maps, subset: v1}, weight: 50}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: maps}
spec:
  hosts: [maps]
  http:
  - route:
    - {destination: {host: maps, subset: v1}, weight: 50}
    - {destination: {host: maps, subset: v2}, weight: 50}
`,
  },
};
