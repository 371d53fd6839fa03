import type { CaseRequest } from "./make-corpus.ts";
import type { Rule } from "./make-rule.ts";
import type { Pick } from "./pick.ts";
import * as words from "./words.ts";

const fromRule = (rule: Rule | undefined): string[] => {
  const matches = (rule?.match ?? []) as readonly { readonly uri?: Readonly<Record<string, string>> }[];
  return matches.flatMap(({ uri }) => [uri?.exact, uri?.prefix]).filter((path) => path !== undefined);
};

/** A request to the host; half of them take their path from a rule. */
export const makeRequest = (pick: Pick, host: string, rules: readonly Rule[]): CaseRequest => {
  const known = rules.flatMap(fromRule);
  const base = known.length > 0 && pick.chance(0.5) ? pick.one(known) : pick.one(words.paths);
  const path = pick.chance(0.1) ? `${base}${base.endsWith("/") ? "" : "/"}more` : base;
  const query = pick.chance(0.25) ? `?${pick.one(words.queryNames)}=${pick.one(words.queryValues)}` : "";
  const headers = Object.fromEntries(
    pick.some(words.headerNames, 0.3).map((name) => [name, pick.one(words.headerValues)]),
  );
  const preflight = pick.chance(0.1);
  const method = preflight ? "OPTIONS" : pick.one(words.methods);
  return {
    host: pick.chance(0.05) ? `${host}:80` : host,
    method,
    path: `${path}${query}`,
    headers: {
      ...headers,
      // Envoy would add it; RFC 9110 section 8.6 would not.
      ...(method === "OPTIONS" ? { "content-length": "0" } : {}),
      ...(preflight || pick.chance(0.1) ? { origin: pick.one(words.origins) } : {}),
      ...(preflight ? { "access-control-request-method": pick.one(["GET", "DELETE"]) } : {}),
      ...(pick.chance(0.05) ? { "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "1" } : {}),
      ...(pick.chance(0.03) ? { "x-envoy-upstream-rq-timeout-ms": "4000" } : {}),
    },
  };
};
