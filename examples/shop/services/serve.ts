/**
 * What the shop's services share: a small HTTP server and a way to call the others. They know nothing of the mesh but
 * that `WEFT_OUTBOUND` (set by `weft run`) takes requests for any service by name.
 */
// As an import it would load more than is needed here, and the shop is to start quickly.
const { createServer, request } = process.getBuiltinModule("node:http");

export interface Answer {
  readonly status?: number;
  readonly body: unknown;
}
export type Handler = (path: string, headers: ReadonlyMap<string, string>) => Promise<Answer> | Answer;

/** Headers a service hands on, so that a trace and a test user stay together across the shop. */
const handedOn = [
  "x-request-id",
  "traceparent",
  "tracestate",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-sampled",
  "end-user",
];

/** Serves on every port of `PORT` (a number, or several parted by commas) until SIGTERM. */
export const serve = (name: string, handler: Handler): void => {
  const servers = (process.env.PORT ?? "0").split(",").map((port) => {
    const server = createServer(async (incoming, outgoing) => {
      const headers = new Map(Object.entries(incoming.headers).map(([key, value]) => [key, String(value)]));
      headers.set("x-local-port", port);
      const { status = 200, body } = await Promise.resolve(handler(incoming.url ?? "/", headers)).catch((error) => ({
        status: 500,
        body: { error: String(error) },
      }));
      outgoing.writeHead(status, { "content-type": "application/json" });
      outgoing.end(`${JSON.stringify(body)}\n`);
    });
    // The sidecar keeps connections to us longer than Node's default of 5 s; closing first would race with a request.
    server.keepAliveTimeout = 3_600_000;
    return server.listen(Number(port), "127.0.0.1");
  });
  process.stdout.write(`${name} listening\n`);
  // Started by a parent that keeps a channel to us, we end with it, however it ends.
  process.on("disconnect", () => process.exit(0));
  process.on("SIGTERM", () => {
    for (const server of servers) server.close(() => process.exit(0));
    for (const server of servers) server.closeIdleConnections();
  });
};

/** GETs `/path` of another service through the sidecar. */
export const call = (service: string, path: string, headers: ReadonlyMap<string, string>): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const [host, port] = (process.env.WEFT_OUTBOUND ?? "127.0.0.1:15001").split(":");
    const forwarded = Object.fromEntries([...headers].filter(([name]) => handedOn.includes(name)));
    const sent = request({ host, port, path, headers: { ...forwarded, host: service } }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        const status = response.statusCode ?? 502;
        const isJson = (response.headers["content-type"] ?? "").includes("json");
        resolve({ status, body: isJson ? JSON.parse(text) : text });
      });
    });
    sent.on("error", reject);
    sent.end();
  });
