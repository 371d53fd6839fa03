import { formatPosition } from "@weft/core/error";
import type { ConfigOf } from "../config-object.ts";
import type { Analyzer, Hit } from "./analyzer.ts";
import { covers } from "./route-matches.ts";

/** A rule comes after another that takes all its requests. */
export const unreachableRoute: Analyzer = {
  code: "WF1109",
  level: "warning",
  also: ["IST0130"],
  title: "a rule is never reached",
  explain: `Rules are tried in order and the first that matches holds. Every request this rule (or one of its
matches) would take is taken by an earlier one. Move the narrower rule up. The check reasons about sets,
by path, method, headers and query parameters, and reports only what it can prove.`,
  run: ({ of }) => of("VirtualService").flatMap((object) => [...httpHits(object), ...connectionHits(object)]),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: docs}
spec:
  hosts: [docs]
  http:
  - match: [{uri: {prefix: /v1}}]
    route: [{destination: {host: docs}}]
  - match: [{uri: {exact: /v1/search}, method: {exact: GET}}]
    route: [{destination: {host: docs-search}}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: docs}
spec:
  hosts: [docs]
  http:
  - match: [{uri: {exact: /v1/search}, method: {exact: GET}}]
    route: [{destination: {host: docs-search}}]
  - match: [{uri: {prefix: /v1}}]
    route: [{destination: {host: docs}}]
`,
  },
};

const httpHits = (object: ConfigOf<"VirtualService">): Hit[] => {
  const rules = (object.spec.http ?? []).map(({ match }) => (match?.length ? match : [{}]));
  return rules.flatMap((matches, index): Hit[] => {
    const covered = matches.map((match) => {
      const earlier = rules.slice(0, index).findIndex((others) => others.some((other) => covers(other, match)));
      return earlier === -1 ? undefined : earlier;
    });
    const first = covered.find((by) => by !== undefined);
    if (first === undefined) return [];
    if (covered.every((by) => by !== undefined)) {
      const at = formatPosition(object.positionOf(["spec", "http", first]));
      const taker = `rule http[${first}] (${at})`;
      const message = `rule http[${index}] is never reached: ${taker} takes all its requests; move it up`;
      return [{ object, path: ["spec", "http", index], message }];
    }
    return covered.flatMap((by, at) => {
      if (by === undefined || isRepeated(rules[by] ?? [], matches[at] ?? {})) return [];
      const match = `match ${at} of rule http[${index}]`;
      const message = `${match} never decides: rule http[${by}] takes its requests; move the rule up`;
      return [{ object, path: ["spec", "http", index, "match", at], message }];
    });
  });
};

/** An equal match is reported as a repetition, not here. */
const isRepeated = (earlier: readonly object[], match: object): boolean =>
  earlier.some((other) => JSON.stringify(other) === JSON.stringify(match));

const connectionHits = (object: ConfigOf<"VirtualService">): Hit[] => {
  const rules = object.spec.tcp ?? [];
  const open = rules.findIndex(({ match }) => !match?.length || match.some((one) => Object.keys(one).length === 0));
  return open === -1
    ? []
    : rules.slice(open + 1).map((_, after) => {
        const index = open + 1 + after;
        const message = `rule tcp[${index}] is never reached: rule tcp[${open}] takes every connection; move it up`;
        return { object, path: ["spec", "tcp", index], message };
      });
};
