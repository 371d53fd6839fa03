import type { Analyzer } from "./analyzer.ts";

/** Proxies that run keep what they were started with. */
export const proxyConfigRestart: Analyzer = {
  code: "WF1151",
  level: "info",
  also: [],
  title: "a ProxyConfig holds from the next start on",
  explain: `A sidecar reads concurrency and environmentVariables when \`weft run\` starts it, as in Istio: those that run go on with
what they have until they are started again. A sidecar that is started by hand (\`weft sidecar\`) has its own flags and environment.`,
  run: ({ of }) =>
    of("ProxyConfig").flatMap((object) =>
      (["concurrency", "environmentVariables"] as const)
        .filter((field) => object.spec[field] !== undefined)
        .map((field) => ({
          object,
          path: ["spec", field],
          message: `${field} holds for sidecars that start from now on: restart those that run`,
        })),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: threads}
spec: {concurrency: 2}
`,
    good: `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: threads}
spec: {}
`,
  },
};
