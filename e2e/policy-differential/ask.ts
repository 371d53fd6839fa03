import { Agent, request } from "node:http";
import type { CaseRequest } from "./make-corpus.ts";

/** What one proxy did with a request, without what differs from run to run by nature. */
export interface Outcome {
  readonly status: number;
  readonly headers: readonly string[];
  /** What the upstream saw of it; a local answer's text where there was none. */
  readonly seen: unknown;
}

export interface Asked {
  readonly outcome: Outcome;
  /** Which upstream answered. */
  readonly upstream: string | undefined;
}

const varying = /^(date|x-request-id|x-envoy-upstream-service-time|x-envoy-expected-rq-timeout-ms|keep-alive)$/;

/** What our sidecar tells peers of itself; a stock Envoy has no such filter. */
const ofOurs = /^x-envoy-peer-metadata/;

interface Echo {
  readonly name: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

const isEcho = (value: unknown): value is Echo => typeof value === "object" && value !== null && "url" in value;

const parse = (body: string): unknown => {
  try {
    return JSON.parse(body);
  } catch {
    // The cluster's or the transport's part of the text is each proxy's own.
    return body.replace(/(reset reason: [a-z ]+).*/, "$1");
  }
};

const comparableHeaders = (list: readonly (readonly [string, string])[], local: boolean): string[] => {
  const lines = list
    .filter(([name]) => !ofOurs.test(name))
    .map(([name, value]) => {
      const some = varying.test(name) || (name === "content-length" && !local);
      // The value is made of the connection's addresses.
      const shown = name === "set-cookie" ? value.replace(/"[0-9a-f]+"/, "(some)") : value;
      return `${name}: ${some ? "(some)" : shown}`;
    })
    .sort();
  // Where each destination's rule asks for the same cookie, Envoy sets it as often; we set it once.
  return lines.filter((line, i) => !line.startsWith("set-cookie:") || line !== lines[i - 1]);
};

/** A way to send requests to one proxy over kept connections. */
export const createAsk = (address: string): Disposable & { ask(call: CaseRequest): Promise<Asked> } => {
  const at = address.lastIndexOf(":");
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const ask = ({ host, method, path, headers }: CaseRequest): Promise<Asked> =>
    new Promise((resolve, reject) => {
      const sent = request(
        {
          host: address.slice(0, at),
          port: Number(address.slice(at + 1)),
          agent,
          method,
          path,
          headers: { host, ...headers },
        },
        (response) => {
          const parts: Buffer[] = [];
          response.on("data", (part: Buffer) => parts.push(part));
          response.on("error", reject);
          response.on("end", () => {
            const body = parse(Buffer.concat(parts).toString("utf8"));
            const echo = isEcho(body) ? body : undefined;
            const raw = response.rawHeaders;
            const pairs = raw.flatMap((name, i) =>
              i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1] ?? ""] as const] : [],
            );
            const seen = echo && {
              method: echo.method,
              url: echo.url,
              headers: comparableHeaders(Object.entries(echo.headers), true),
            };
            resolve({
              outcome: {
                status: response.statusCode ?? 0,
                headers: comparableHeaders(pairs, echo === undefined && method !== "HEAD"),
                seen: seen ?? body,
              },
              upstream: echo?.name,
            });
          });
        },
      );
      sent.setTimeout(10_000, () => sent.destroy(new Error("no answer in time")));
      sent.on("error", reject);
      sent.end();
    });
  return { ask, [Symbol.dispose]: () => agent.destroy() };
};
