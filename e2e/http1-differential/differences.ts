/** Where our sidecar answers otherwise than Envoy does, by class, each with its reason. A class not listed is a failure. */
import { decodeRequests } from "@weft/protocols/http1/recorder";
import type { Outcome } from "./lanes.ts";

export interface Trio {
  readonly weft: Outcome;
  readonly envoy: Outcome;
  /** `node:http` asked directly. */
  readonly node: Outcome;
}

/** What we refuse and Envoy takes: by the codec's reason, why. */
const stricter: Readonly<Record<string, string>> = {
  "duplicate-host": "Envoy joins both with a comma and goes on; which of them a server reads is anybody's guess",
  "bad-host": "Envoy takes nearly any text for an authority; ours must be a name or address and a port",
  "missing-host": "Envoy takes an absolute target without Host in HTTP/1.1, which RFC 9112 section 3.2 has refused",
  userinfo: "RFC 9110 section 4.2.4: userinfo in a target is an error; Envoy passes it on",
  "bad-target": "Envoy passes on targets that RFC 9112 does not know, fragments among them",
  "bad-method": "the preface of HTTP/2 as a request of HTTP/1 is refused here",
  "bad-version": "Envoy takes white space and line ends around the version that are not in the grammar",
  "unsupported-version": "Envoy takes any minor version for HTTP/1.1",
  "folded-line": "Envoy joins folded lines, as RFC 9112 section 5.2 allows a proxy to; we refuse, as it allows too",
  "bare-lf":
    "Envoy takes a line feed alone for a line end, as RFC 9112 section 2.2 allows; it is how requests are smuggled",
  "bare-cr": "Envoy drops or keeps a carriage return alone in places",
  "bad-header-name": "Envoy takes names that are no tokens in places",
  "bad-header-value": "Envoy takes bytes in values that RFC 9110 section 5.5 does not",
  "bad-content-length": "Envoy takes lengths with a sign or more than digits",
  "duplicate-content-length": "Envoy takes equal lengths for one",
  "bad-transfer-encoding": "Envoy takes white space and empty elements in the coding",
  "length-and-transfer-encoding": "Envoy drops the length where chunks are announced as well",
  "unsupported-transfer-encoding": "Envoy passes a coding on that it does not know",
  "unknown-expectation": "RFC 9110 section 10.1.1: 417 is for an expectation that cannot be met; Envoy passes it on",
  "bad-connection": "Connection may not take away what others decide by; Envoy lets it",
  "bad-chunk-size": "Envoy takes white space behind a size",
  "bad-chunk-end": "Envoy takes a line feed alone behind a chunk",
  "bad-chunk-extension": "Envoy reads over extensions of any shape",
  "bad-trailer": "RFC 9110 section 6.5.1: trailers that frame or route are refused here; Envoy drops or keeps them",
  "empty-lines": "one empty line before a request is read over, not several",
};

const otherStatus =
  "both refuse: ours with the status that fits, Envoy with 400, 501, 404 or by closing, or once it timed out";

/** Class to reason. */
export const differences: ReadonlyMap<string, string> = new Map([
  ...Object.entries(stricter).map(([reason, why]) => [`stricter: ${reason}`, why] as const),
  ...Object.keys(stricter).map((reason) => [`answer: ${reason}`, otherStatus] as const),
  ["answer: none", "a head that does not end: Envoy judges a line before it is whole, ours waits for its end"],
  ["proxy-connection", "Envoy closes for Proxy-Connection, a field no standard knows; ours drops it"],
  ["absolute query", "a target of host and query: ours adds the path, Envoy finds no route without one"],
  ["method", "ours passes on any token, Envoy the methods its parser lists"],
  ["upgrade", "an upgrade in HTTP/1.0, or to HTTP/2 in a list, is not heard here; Envoy answers 403"],
  ["options of a host", "RFC 9112 section 3.2.4: without a path it asks for *, which no route has; Envoy asks for /"],
  [
    "upgrade with a body",
    "a request with a body is no upgrade here; Envoy passes the upgrade on without waiting for it",
  ],
  ["empty line", "Envoy waits for a request behind an empty line and answers 408"],
]);

const reasonOf = (text: string): string => {
  const lines = decodeRequests([Buffer.from(text, "latin1")], { upgrades: "any" });
  return lines.find((line) => line.startsWith("error "))?.split(" ")[2] ?? "none";
};

/** The client was told that something is wrong, or told nothing at all. */
const refused = ({ statuses }: Outcome): boolean => (statuses.at(-1) ?? 400) >= 400;

/** The class of the difference between both proxies; nothing when there is none. */
export const classOf = (text: string, { weft, envoy }: Trio): string | undefined => {
  if (JSON.stringify([weft.statuses, weft.node]) === JSON.stringify([envoy.statuses, envoy.node])) return undefined;
  const reason = reasonOf(text);
  if (refused(weft) && refused(envoy) && weft.node.length === envoy.node.length) return `answer: ${reason}`;
  if (refused(weft) && weft.node.length <= envoy.node.length && reason !== "none") return `stricter: ${reason}`;
  return featureOf(text, weft, envoy);
};

/** What about a request that we take is not to Envoy's taste. */
const featureOf = (text: string, weft: Outcome, envoy: Outcome): string => {
  if (/^proxy-connection[ \t]*:/im.test(text)) return "proxy-connection";
  if (/ https?:\/\/[^/ ]*\?/i.test(text)) return "absolute query";
  if (/^OPTIONS https?:\/\/[^/ ]* /i.test(text)) return "options of a host";
  if (weft.statuses.at(-1) === 408 && /^upgrade:/im.test(text)) return "upgrade with a body";
  if (envoy.statuses.at(-1) === 403 && /^upgrade:/im.test(text)) return "upgrade";
  if (weft.raw.some(({ method }) => !knownToEnvoy.has(method))) return "method";
  if (envoy.statuses.length > weft.statuses.length && envoy.statuses.at(-1) === 408) return "empty line";
  return `${weft.statuses} for ${envoy.statuses}`;
};

const knownToEnvoy: ReadonlySet<string> = new Set(
  "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE CONNECT PURGE".split(" "),
);
