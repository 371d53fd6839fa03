import { request } from "node:http";

/** An answer as it came, for comparing two proxies. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HttpCall {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs?: number;
}

/** One HTTP/1.1 request to H:P on a connection of its own. Rejects where no answer came. */
export const callHttp = (address: string, call: HttpCall = {}): Promise<HttpAnswer> =>
  new Promise((resolve, reject) => {
    const at = address.lastIndexOf(":");
    const [hostname, port] = [address.slice(0, at).replace(/^\[|\]$/g, ""), address.slice(at + 1)];
    const sent = request(
      {
        hostname,
        port: Number(port),
        method: call.method ?? "GET",
        path: call.path ?? "/",
        agent: false,
        headers: { ...(call.host === undefined ? {} : { host: call.host }), ...call.headers },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", reject);
        response.on("end", () => {
          const headers = Object.fromEntries(
            Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
          );
          resolve({ status: response.statusCode ?? 0, headers, body: Buffer.concat(parts).toString("utf8") });
        });
      },
    );
    sent.setTimeout(call.timeoutMs ?? 15_000, () => sent.destroy(new Error("no answer in time")));
    sent.on("error", reject);
    sent.end(call.body);
  });
