import type { Analyzer, Hit } from "./analyzer.ts";

/** The same match stands in two rules, one of which also has others. */
export const duplicateMatch: Analyzer = {
  code: "WF1110",
  level: "info",
  also: ["IST0131"],
  title: "a match is repeated",
  explain: `A match stands twice; only the first counts. It is harmless, and may hide that another condition was
meant.`,
  run: ({ of }) =>
    of("VirtualService").flatMap((object) => {
      const seen = new Map<string, string>();
      const hits: Hit[] = [];
      for (const [rule, { match = [] }] of (object.spec.http ?? []).entries()) {
        for (const [index, { name: _, ...conditions }] of match.entries()) {
          const key = JSON.stringify(conditions);
          const before = seen.get(key);
          if (before === undefined) seen.set(key, `http[${rule}].match[${index}]`);
          else {
            const message = `this match already stands at ${before}, which counts: remove it or change it`;
            hits.push({ object, path: ["spec", "http", rule, "match", index], message });
          }
        }
      }
      return hits;
    }),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: feed}
spec:
  hosts: [feed]
  http:
  - match: [{uri: {prefix: /rss}}, {uri: {prefix: /atom}}]
    route: [{destination: {host: feed}}]
  - match: [{uri: {prefix: /atom}}, {uri: {prefix: /json}}]
    route: [{destination: {host: feed-next}}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: feed}
spec:
  hosts: [feed]
  http:
  - match: [{uri: {prefix: /rss}}, {uri: {prefix: /atom}}]
    route: [{destination: {host: feed}}]
  - match: [{uri: {prefix: /json}}]
    route: [{destination: {host: feed-next}}]
`,
  },
};
