/** Where our sidecar answers otherwise than Envoy does, by class, each with its reason. A class not listed is a failure. */
import { decodeRequests } from "@weft/protocols/http1/recorder";
import type { Outcome } from "./lanes.ts";

export interface Trio {
  readonly weft: Outcome;
  readonly envoy: Outcome;
  /** `node:http` asked directly. */
  readonly node: Outcome;
}

/** Of a head that does not come to its end: Envoy looks at the first letter of its method, and at the rest once it is whole. */
const cutShort = "a head cut short: ours refuses the line that is wrong at once, Envoy waits for the rest and says 408";

/** The same where a request before it was answered: Envoy has said nothing of it when the client leaves. */
const cutShortBehind = "Envoy refuses this too; cut short behind another request ours says 400 at once, Envoy waits";

/** What we refuse and Envoy 1.40 takes: by the codec's reason, how Envoy reads it and why we do not. */
const stricter: Readonly<Record<string, string>> = {
  "duplicate-host": "Envoy joins both with a comma, as any field that is repeated; RFC 9112 section 3.2 has it refused",
  "bad-host":
    "Envoy looks at the characters only: an empty host, h,x, [::1 and two ports pass; ours must be a host and a port",
  "missing-host": "Envoy takes the host of an absolute target for a missing Host; RFC 9112 section 3.2 has it refused",
  userinfo: "Envoy passes it on in Host, and cuts it off in an absolute target; RFC 9110 section 4.2.4: an error",
  "bad-target":
    "Envoy takes a line of method and absolute target for a request of HTTP/0.9, and a tab or CR for a space between words",
  "bad-method":
    "behind a request Envoy reads over any CR and LF, and leaves what is no method unanswered when it closes",
  "bad-version": "Envoy takes LF alone for the end of the line, and white space and CR before it",
  "unsupported-version": "Envoy takes any digit, point, digit: HTTP/0.9 and HTTP/2.0 are HTTP/1.0 to it",
  "folded-line":
    "Envoy takes the line break out and keeps the rest, as RFC 9112 section 5.2 allows; we refuse, as it allows too",
  "bare-lf":
    "Envoy takes LF alone for a line end, as RFC 9112 section 2.2 allows; who does not reads other fields than it",
  "bare-cr": "Envoy takes a CR within or behind a value out of it; RFC 9112 section 2.2: invalid, or a space",
  "bad-transfer-encoding":
    "Envoy reads chunks in HTTP/1.0; RFC 9112 section 6.1: the framing is to be taken for faulty",
  "unknown-expectation": "Envoy knows 100-continue and passes on the rest; RFC 9110 section 10.1.1 has 417 for it",
  "bad-connection":
    "Envoy passes over what is no token in Connection, and over an upgrade to h2c; ours refuses the one as the other",
  "bad-chunk-size": "Envoy takes white space behind a size, as RFC 7230 had it be",
  "bad-chunk-end": "Envoy reads over whatever stands between the data of a chunk and the next LF",
  "bad-chunk-extension": "Envoy reads over all between a semicolon and the line's end, an extension without a name too",
  "bad-trailer":
    "Envoy drops every trailer unless it is configured to pass them on; ours refuses those that frame or route",
  "empty-lines":
    "Envoy reads over any CR and LF before a request; ours over one empty line, as RFC 9112 section 2.2 says",
  "bad-header-name": cutShortBehind,
  "bad-header-value": cutShortBehind,
  "bad-content-length": cutShortBehind,
  "duplicate-content-length": cutShortBehind,
  "length-and-transfer-encoding": cutShortBehind,
  "unsupported-transfer-encoding": cutShortBehind,
};

/** Where both refuse, each in its way, and it is not that the head was cut short. */
const otherwise: Readonly<Record<string, string>> = {
  "bad-transfer-encoding":
    "400 for a coding that is not chunked at its end; Envoy has 501 for every coding but chunked",
  "unsupported-transfer-encoding":
    "501 for a coding we do not know; Envoy refuses the method or the lengths before, by 400",
  "unsupported-version": "426 for another version; Envoy takes it, and refuses what else is wrong, or waits",
  "duplicate-host": "400; Envoy has no route for the target, or waits for a body that is cut short",
  "missing-host": "400; Envoy has no route for host and query, or waits for a body that is cut short",
  "bad-host": "400; Envoy has no route for the target, or waits for a body that is cut short",
  userinfo: "400; Envoy waits for a body that is cut short",
  "unknown-expectation": "417; Envoy waits for a body that is cut short, or refuses a field that we take",
  "bad-content-length":
    "400 for a length beyond what a number holds exactly; Envoy takes 64 bits, and waits for the body",
  "duplicate-content-length": "400; Envoy closes without a word",
  "length-and-transfer-encoding": "400; Envoy closes without a word",
  "bad-chunk-size": "400; Envoy takes the size, of 64 bits, and waits for the rest of the body",
  "bad-chunk-end": "400; Envoy reads over it, and waits for the rest of the body",
  "bad-chunk-extension": "400; Envoy reads over it, and waits for the rest of the body",
  "bad-method": "400; Envoy waits for a method's first letter to come to a line, or closes without a word",
};

/** Class to reason. */
export const differences: ReadonlyMap<string, string> = new Map([
  ...Object.entries(stricter).map(([reason, why]) => [`stricter: ${reason}`, why] as const),
  ...Object.keys(stricter).map((reason) => [`answer: ${reason}`, otherwise[reason] ?? cutShort] as const),
  [
    "answer: none",
    "a method in small letters in a head cut short: Envoy has none that begins so, to ours it is a token",
  ],
  [
    "proxy-connection",
    "Envoy hears Proxy-Connection: close as if it were Connection; ours drops a field no standard knows",
  ],
  [
    "absolute query",
    "a target of host and query: Envoy has a path without /, and no route for it; ours puts the / before",
  ],
  ["method", "Envoy has a list of 34 methods, ours passes on any token"],
  [
    "upgrade",
    "an upgrade in HTTP/1.0, or to h2c named twice or in a list, is passed over here; Envoy refuses it by 403",
  ],
  ["options of a host", "RFC 9112 section 3.2.4: without a path it asks for *, which no route has; Envoy asks for /"],
  [
    "upgrade with a body",
    "ours takes a request with a body for no upgrade and waits for the body; Envoy upgrades at once",
  ],
  ["empty line", "half a request behind another: Envoy says 408 for it when the time is up, ours closes"],
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
