import type { Pick } from "./pick.ts";
import * as words from "./words.ts";

/** One rule of `http` of a VirtualService. */
export type Rule = Readonly<Record<string, unknown>>;

const stringMatch = (pick: Pick, values: readonly string[]): object => {
  const value = pick.one(values);
  const kind = pick.between(0, 5);
  if (kind === 0) return {};
  if (kind === 1) return { prefix: value === "" ? "a" : value };
  if (kind === 2) return { regex: `${value}.*` };
  return value === "" ? { exact: "alice" } : { exact: value };
};

const uriMatch = (pick: Pick): object => {
  const kind = pick.between(0, 2);
  if (kind === 0) return { exact: pick.one(words.paths) };
  if (kind === 1) return { prefix: pick.one(words.prefixes) };
  return { regex: pick.one(words.regexes) };
};

const named = (names: readonly string[], value: (name: string) => object): object =>
  Object.fromEntries(names.map((name) => [name, value(name)]));

const makeMatch = (pick: Pick): object => ({
  ...(pick.chance(0.7) ? { uri: uriMatch(pick) } : {}),
  ...(pick.chance(0.15) ? { ignoreUriCase: true } : {}),
  ...(pick.chance(0.2) ? { method: { exact: pick.one(words.methods) } } : {}),
  ...(pick.chance(0.05) ? { scheme: { exact: pick.one(["http", "https"]) } } : {}),
  ...(pick.chance(0.05) ? { authority: { prefix: pick.one(["h1", "h"]) } } : {}),
  ...(pick.chance(0.25)
    ? { headers: named(pick.some(words.headerNames, 0.4), () => stringMatch(pick, words.headerValues)) }
    : {}),
  ...(pick.chance(0.1)
    ? { withoutHeaders: named(pick.some(words.headerNames, 0.4), () => stringMatch(pick, words.headerValues)) }
    : {}),
  ...(pick.chance(0.15)
    ? { queryParams: named(pick.some(words.queryNames, 0.6), () => stringMatch(pick, words.queryValues)) }
    : {}),
  ...(pick.chance(0.05) ? { port: pick.one([80, 81]) } : {}),
});

const headerEdits = (pick: Pick): object => {
  const edits = (side: string): object => ({
    ...(pick.chance(0.5) ? { set: { "x-user": `${side}-set` } } : {}),
    ...(pick.chance(0.5) ? { add: { "x-canary": `${side}-added`, "x-new": "new" } } : {}),
    ...(pick.chance(0.4) ? { remove: ["x-empty", "content-type"].slice(0, pick.between(1, 2)) } : {}),
  });
  return {
    ...(pick.chance(0.6) ? { request: edits("request") } : {}),
    ...(pick.chance(0.6) ? { response: edits("response") } : {}),
  };
};

const destinations = (pick: Pick, host: string): object[] => {
  const versions = pick.chance(0.5) ? [pick.one(words.versions)] : pick.some(words.versions, 0.7);
  const chosen = versions.length === 0 ? ["v1"] : versions;
  if (pick.chance(0.1)) return [{ destination: { host } }];
  if (pick.chance(0.04)) return [{ destination: { host, subset: "none" } }];
  if (pick.chance(0.12)) return [{ destination: { host: pick.one(words.brokenHosts) }, headers: headerEdits(pick) }];
  return chosen.map((subset, i) => ({
    destination: { host, subset },
    ...(chosen.length > 1 ? { weight: i === 0 && pick.chance(0.2) ? 0 : pick.one([30, 50, 100]) } : {}),
    ...(pick.chance(0.2) ? { headers: headerEdits(pick) } : {}),
  }));
};

const rewrite = (pick: Pick): object => {
  const kind = pick.between(0, 3);
  if (kind === 0) return { uri: pick.one(["/", "/new", "/new/"]) };
  if (kind === 1) return { authority: "other.example" };
  if (kind === 2) return { uri: "/both", authority: "other.example" };
  return { uriRegexRewrite: { match: pick.one(["/api/v([0-9]+)/(.*)", "^/a", "b$"]), rewrite: "/r\\1" } };
};

const redirect = (pick: Pick): object => ({
  ...(pick.chance(0.6) ? { uri: pick.one(["/there", "/"]) } : {}),
  ...(pick.chance(0.6) ? { authority: "there.example" } : {}),
  ...(pick.chance(0.3) ? { scheme: "https" } : {}),
  ...(pick.chance(0.3) ? { port: 8443 } : {}),
  ...(pick.chance(0.5) ? { redirectCode: pick.one([301, 302, 303, 307, 308]) } : {}),
});

const cors = (pick: Pick): object => ({
  allowOrigins: [pick.one([{ exact: words.origins[0] }, { prefix: "https://" }, { regex: "https?://good.*" }])],
  ...(pick.chance(0.6) ? { allowMethods: ["GET", "POST"] } : {}),
  ...(pick.chance(0.5) ? { allowHeaders: ["x-user"] } : {}),
  ...(pick.chance(0.5) ? { exposeHeaders: ["x-new"] } : {}),
  ...(pick.chance(0.5) ? { maxAge: "24h" } : {}),
  ...(pick.chance(0.5) ? { allowCredentials: pick.chance(0.5) } : {}),
  ...(pick.chance(0.3) ? { unmatchedPreflights: pick.one(["FORWARD", "IGNORE"]) } : {}),
});

const fault = (pick: Pick): object => ({
  abort: {
    ...(pick.chance(0.8) ? { httpStatus: pick.one([418, 500, 503]) } : { grpcStatus: "UNAVAILABLE" }),
    ...(pick.chance(0.7) ? { percentage: { value: pick.one([0, 100]) } } : {}),
  },
});

const retries = (pick: Pick): object =>
  pick.one([
    {},
    { attempts: 0 },
    { attempts: 2, retryOn: "5xx" },
    { attempts: 1, retryOn: "503", perTryTimeout: "2s" },
    { attempts: 3, retryOn: "gateway-error,connect-failure", retryIgnorePreviousHosts: false },
  ]);

const forwardExtras = (pick: Pick, host: string): object => ({
  ...(pick.chance(0.25) ? { rewrite: rewrite(pick) } : {}),
  ...(pick.chance(0.2) ? { timeout: pick.one(["5s", "0s"]) } : {}),
  ...(pick.chance(0.2) ? { retries: retries(pick) } : {}),
  ...(pick.chance(0.1) ? { mirror: { host, subset: "v2" } } : {}),
  ...(pick.chance(0.12) ? { fault: fault(pick) } : {}),
});

/** A rule: what it asks of a request, and what it does with it. */
export const makeRule = (pick: Pick, host: string): Rule => {
  const kind = pick.between(0, 9);
  const action =
    kind === 0
      ? { redirect: redirect(pick) }
      : kind === 1
        ? { directResponse: { status: pick.one([200, 404, 503]), body: { string: "direct" } } }
        : { route: destinations(pick, host), ...forwardExtras(pick, host) };
  const matches = Array.from({ length: pick.between(0, 2) }, () => makeMatch(pick)).filter(
    (match) => Object.keys(match).length > 0,
  );
  return {
    ...(pick.chance(0.5) ? { name: "rule" } : {}),
    ...(matches.length > 0 ? { match: matches } : {}),
    ...action,
    ...(pick.chance(0.15) ? { corsPolicy: cors(pick) } : {}),
    ...(pick.chance(0.25) ? { headers: headerEdits(pick) } : {}),
  };
};
