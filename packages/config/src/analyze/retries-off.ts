import type { Analyzer } from "./analyzer.ts";

/** An empty `retries` turns off what its absence would leave on. */
export const retriesOff: Analyzer = {
  code: "WF1143",
  level: "warning",
  also: [],
  title: "an empty retries block turns retries off",
  explain: `Without \`retries\` a route has the mesh's default: two retries of failures in which the request was not executed.
With the block, \`attempts\` counts, and where it is absent it is 0: \`retries: {}\` turns retries off. Write
\`attempts: 0\` if that is meant, or a number if it is not.`,
  run: ({ of }) =>
    of("VirtualService").flatMap((object) =>
      (object.spec.http ?? []).flatMap(({ retries }, index) => {
        if (!retries || retries.attempts !== undefined) return [];
        const message = "retries without attempts turns retries off: write attempts (0 if that is meant)";
        return [{ object, path: ["spec", "http", index, "retries"], message }];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: news}
spec:
  hosts: [news]
  http: [{retries: {}, route: [{destination: {host: news}}]}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: news}
spec:
  hosts: [news]
  http: [{retries: {attempts: 0}, route: [{destination: {host: news}}]}]
`,
  },
};
