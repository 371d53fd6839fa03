import type { Analyzer } from "./analyzer.ts";

/** A fault has no percentage, so no request has it. */
export const faultWithoutPercentage: Analyzer = {
  code: "WF1144",
  level: "warning",
  also: [],
  title: "a fault without percentage hits no request",
  explain: `A delay or an abort is made for \`percentage.value\` percent of the requests, and for none where it is absent (a
mirror without a percentage, on the other hand, copies all). Write percentage: {value: 100} to hit all.`,
  run: ({ of }) =>
    of("VirtualService").flatMap((object) =>
      (object.spec.http ?? []).flatMap(({ fault }, index) =>
        (["delay", "abort"] as const).flatMap((name) => {
          const given = fault?.[name];
          const legacy = name === "delay" ? fault?.delay?.percent : undefined;
          if (!given || given.percentage?.value !== undefined || legacy !== undefined) return [];
          const message = `fault.${name} without percentage hits no request: write percentage: {value: 100} for all`;
          return [{ object, path: ["spec", "http", index, "fault", name], message }];
        }),
      ),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rating}
spec:
  hosts: [rating]
  http: [{fault: {abort: {httpStatus: 503}}, route: [{destination: {host: rating}}]}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rating}
spec:
  hosts: [rating]
  http: [{fault: {abort: {httpStatus: 503, percentage: {value: 5}}}, route: [{destination: {host: rating}}]}]
`,
  },
};
