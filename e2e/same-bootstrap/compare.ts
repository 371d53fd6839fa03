/** What of two answers must be the same: all but what differs from run to run by nature, of which presence counts. */
import type { Http2Answer } from "./http2-call.ts";

const varying = /^(date|x-request-id|x-envoy-upstream-service-time|x-case)$/;
const timeLeft = "x-envoy-expected-rq-timeout-ms";

/** `name: value` with the value masked where it varies. */
const maskField = (field: string): string => {
  const name = field.slice(0, field.indexOf(":", 1));
  return varying.test(name) ? `${name}: (some)` : field;
};

export const maskFields = (fields: readonly string[]): readonly string[] => fields.map(maskField).sort();

/** The JSON of an echo with what varies masked; any other text without the errno of a failed socket. */
export const maskBody = (body: string): unknown => {
  try {
    const seen = JSON.parse(body) as { headers?: Record<string, string> };
    const { headers = {} } = seen;
    // What is left of the timeout at a second attempt differs by what the first one took.
    const left = Number(headers[timeLeft]);
    if (left > 0) headers[timeLeft] = coarseTime(left);
    for (const name of Object.keys(headers)) if (varying.test(name)) headers[name] = "(some)";
    return seen;
  } catch {
    return body.replace(/(reset reason: [a-z ]+).*/, "$1");
  }
};

/** In milliseconds; the first attempt of a long timeout takes a machine that is busy more than a little. */
export const coarseTime = (ms: number): string => {
  const step = ms > 2_000 ? 1_000 : 100;
  return String(Math.ceil(ms / step) * step);
};

/** A length of a body whose text carries an errno varies with it. */
const maskLength = (head: readonly string[], body: string): readonly string[] =>
  head.map((field) =>
    body.includes("reset reason") || body.startsWith("{")
      ? field.replace(/^(content-length): .*/, "$1: (some)")
      : field,
  );

export const maskAnswer = ({ interim, head, body, trailers, reset, goaway }: Http2Answer): object => ({
  interim: interim.map(maskFields),
  head: maskFields(maskLength(head, body)).map((field) => field.replace(/a{1000,}/, "(many a)")),
  body: maskBody(body),
  trailers: maskFields(trailers),
  // No error: an answer that came before its request was whole, which depends on what is read first.
  reset: reset.replace("NO_ERROR", ""),
  goaway: goaway.replace("NO_ERROR", ""),
});

const withTrailers = (body: string, trailers: readonly string[]): string =>
  trailers.length > 0 || /"trailers":\{"/.test(body) ? " with trailers" : "";

/** What became of a request in a few words. */
export const summary = ({ head, body, trailers, reset, goaway, closed }: Http2Answer): string => {
  if (goaway !== "" && goaway !== "NO_ERROR") return `goaway ${goaway}`;
  if (reset !== "") return `reset ${reset}`;
  const [status] = head;
  if (status === undefined) return closed ? "closed" : "nothing";
  return status.replace(":status: ", "") + withTrailers(body, trailers);
};
