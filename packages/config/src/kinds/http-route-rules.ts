/** Rules for one entry of VirtualService.http. */

import { grpcStatusNames } from "@weft/core/grpc-status";
import { RE2JS } from "re2js";
import type { FieldPath } from "../schema/problem.ts";
import { isRetryCondition } from "./http-words.ts";
import { isHeaderName, type Reporter } from "./rules.ts";
import type { HeaderOperations, HttpMatchRequest, HttpRedirect, HttpRetry, HttpRoute } from "./virtual-service.ts";

export const checkHttpRoute = (route: HttpRoute, path: FieldPath, report: Reporter): void => {
  checkAction(route, path, report);
  for (const [index, match] of (route.match ?? []).entries()) checkMatch(match, [...path, "match", index], report);
  if (route.route) checkWeights(route.route, [...path, "route"], report);
  for (const [index, { headers }] of (route.route ?? []).entries()) {
    checkHeaders(headers?.request, [...path, "route", index, "headers", "request"], report);
    checkHeaders(headers?.response, [...path, "route", index, "headers", "response"], report);
  }
  checkHeaders(route.headers?.request, [...path, "headers", "request"], report);
  checkHeaders(route.headers?.response, [...path, "headers", "response"], report);
  if (route.retries) checkRetries(route.retries, [...path, "retries"], report);
  if (route.redirect) checkRedirect(route.redirect, [...path, "redirect"], report);
  checkFault(route.fault, [...path, "fault"], report);
  checkRewrite(route, [...path, "rewrite"], report);
  checkMirrors(route, path, report);
  checkCors(route, [...path, "corsPolicy"], report);
  const bytes = route.directResponse?.body?.bytes;
  if (bytes !== undefined && !/^[A-Za-z0-9+/]*={0,2}$/.test(bytes)) {
    report.bad([...path, "directResponse", "body", "bytes"], "directResponse.body.bytes is not base64");
  }
};

const checkAction = (route: HttpRoute, path: FieldPath, { missing, both }: Reporter): void => {
  const actions = (["route", "redirect", "directResponse", "delegate"] as const).filter((name) =>
    name === "route" ? (route.route?.length ?? 0) > 0 : route[name] !== undefined,
  );
  const [first, second] = actions;
  if (first === undefined) {
    missing(path, "an http rule needs one of route, redirect, directResponse or delegate");
    return;
  }
  if (second !== undefined) both([...path, second], `an http rule has both ${first} and ${second}: keep one of them`);
  if (first !== "redirect" && first !== "directResponse") return;
  for (const name of ["rewrite", "fault"] as const) {
    if (route[name]) both([...path, name], `an http rule with ${first} cannot have ${name}: remove one of them`);
  }
};

interface Weighted {
  readonly weight?: number;
}

/** Several destinations share by weight; all zero would leave nowhere to go. */
export const checkWeights = (destinations: readonly Weighted[], path: FieldPath, { bad }: Reporter): void => {
  if (destinations.length < 2) return;
  const total = destinations.reduce((sum, { weight = 0 }) => sum + weight, 0);
  if (total === 0) bad(path, "all weights are 0, so nothing would be sent anywhere: give one destination a weight");
  if (total > 4_294_967_295) bad(path, `the weights sum to ${total}; at most 4294967295 is allowed`);
};

const checkMatch = (match: HttpMatchRequest, path: FieldPath, { bad, warn }: Reporter): void => {
  for (const name of ["uri", "scheme", "method", "authority"] as const) {
    const given = match[name];
    if (!given) continue;
    const [kind, value] = Object.entries(given)[0] ?? [];
    if (kind === undefined) bad([...path, name], `match.${name} is empty: write exact, prefix or regex`);
    else if (value === "") bad([...path, name, kind], `match.${name}.${kind} is empty: write what to compare with`);
  }
  if (match.ignoreUriCase && match.uri?.regex !== undefined) {
    warn([...path, "ignoreUriCase"], "ignoreUriCase does nothing with a regex: write (?i) in the expression");
  }
  const uri = match.uri?.exact ?? match.uri?.prefix;
  if (uri && !uri.startsWith("/")) {
    warn([...path, "uri"], `match.uri "${uri}" has no leading "/", so no request can match it: write "/${uri}"`);
  }
  for (const field of ["headers", "withoutHeaders"] as const) {
    for (const name of Object.keys(match[field] ?? {})) {
      const plain = name.replace(/^:/, "").replace(/^@request\.auth\.claims.*$/, "claims");
      if (!isHeaderName(plain)) bad([...path, field, name], `"${name}" is not a header name`);
    }
  }
  for (const name of Object.keys(match.queryParams ?? {})) {
    if (name === "") bad([...path, "queryParams"], "a query parameter needs a name");
  }
};

const checkHeaders = (given: HeaderOperations | undefined, path: FieldPath, { bad, warn }: Reporter): void => {
  const names = [
    ...Object.keys(given?.set ?? {}).map((name) => ({ name, at: [...path, "set", name] })),
    ...Object.keys(given?.add ?? {}).map((name) => ({ name, at: [...path, "add", name] })),
    ...(given?.remove ?? []).map((name, index) => ({ name, at: [...path, "remove", index] })),
  ];
  for (const { name, at } of names) {
    if (!isHeaderName(name.replace(/^:/, ""))) bad(at, `"${name}" is not a header name`);
    else if (name.startsWith(":") && name !== ":authority") {
      warn(at, `"${name}" cannot be changed as a header: use rewrite`);
    }
  }
};

const checkRetries = (retries: HttpRetry, path: FieldPath, { bad }: Reporter): void => {
  const { attempts = 0, perTryTimeout, retryOn, retryRemoteLocalities, backoff } = retries;
  const more = { perTryTimeout, retryOn, retryRemoteLocalities, backoff };
  const set = Object.entries(more).filter(([, value]) => value !== undefined);
  if (attempts === 0 && set.length > 0) {
    const names = set.map(([name]) => name).join(", ");
    bad(path, `retries.attempts is 0 or absent, which turns retries off, yet ${names} is given: write attempts`);
  }
  for (const word of (retryOn ?? "").split(",").map((part) => part.trim())) {
    if (word !== "" && !isRetryCondition(word)) {
      bad([...path, "retryOn"], `retries.retryOn has "${word}", neither a retry condition nor a status code`);
    }
  }
};

const redirectCodes = new Set([301, 302, 303, 307, 308]);

const checkRedirect = (redirect: HttpRedirect, path: FieldPath, { bad, missing }: Reporter): void => {
  const { redirectCode = 301, ...rest } = redirect;
  if (!redirectCodes.has(redirectCode)) {
    bad([...path, "redirectCode"], `redirect.redirectCode is ${redirectCode}; it must be 301, 302, 303, 307 or 308`);
  }
  if (Object.keys(rest).length === 0) {
    missing(path, "redirect needs one of uri, prefixRewrite, authority, port, derivePort or scheme");
  }
};

const checkFault = (fault: HttpRoute["fault"], path: FieldPath, { bad, missing }: Reporter): void => {
  if (!fault) return;
  const { delay, abort } = fault;
  if (!delay && !abort) missing(path, "fault needs delay or abort");
  if (delay?.exponentialDelay !== undefined) {
    bad([...path, "delay", "exponentialDelay"], "fault.delay.exponentialDelay is not supported: write fixedDelay");
  } else if (delay && delay.fixedDelay === undefined) missing([...path, "delay"], "fault.delay needs fixedDelay");
  if (abort?.http2Error !== undefined) {
    bad([...path, "abort", "http2Error"], "fault.abort.http2Error is not supported: write httpStatus or grpcStatus");
  } else if (abort && abort.httpStatus === undefined && abort.grpcStatus === undefined) {
    missing([...path, "abort"], "fault.abort needs httpStatus or grpcStatus");
  }
  if (abort?.grpcStatus !== undefined && !grpcStatusNames.includes(abort.grpcStatus.toUpperCase())) {
    const names = grpcStatusNames.join(", ");
    bad([...path, "abort", "grpcStatus"], `fault.abort.grpcStatus is "${abort.grpcStatus}" (accepted: ${names})`);
  }
};

const checkRewrite = ({ rewrite }: HttpRoute, path: FieldPath, { bad, missing }: Reporter): void => {
  if (!rewrite) return;
  if (Object.keys(rewrite).length === 0) missing(path, "rewrite needs uri, uriRegexRewrite or authority");
  const regex = rewrite.uriRegexRewrite;
  if (!regex) return;
  const groups = RE2JS.compile(regex.match).groupCount();
  for (const [reference, number] of regex.rewrite.matchAll(/\\(\d)/g)) {
    if (Number(number) <= groups) continue;
    const message = `uriRegexRewrite.rewrite names ${reference}, but the expression has ${groups} groups`;
    bad([...path, "uriRegexRewrite", "rewrite"], message);
  }
};

const checkMirrors = (route: HttpRoute, path: FieldPath, { both, warn }: Reporter): void => {
  if (route.mirror && route.mirrors) both([...path, "mirrors"], "an http rule has mirror and mirrors: keep mirrors");
  for (const name of ["mirrorPercentage", "mirrorPercent", "mirror_percent"] as const) {
    if (route[name] !== undefined && !route.mirror) warn([...path, name], `${name} does nothing without mirror`);
  }
};

const checkCors = ({ corsPolicy }: HttpRoute, path: FieldPath, { bad }: Reporter): void => {
  for (const [index, origin] of (corsPolicy?.allowOrigins ?? []).entries()) {
    if (Object.keys(origin).length > 0) continue;
    bad([...path, "allowOrigins", index], "an allowed origin is empty: write exact, prefix or regex");
  }
};
