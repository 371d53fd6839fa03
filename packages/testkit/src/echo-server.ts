import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** An upstream that says what it received. */
export interface EchoServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Requests seen so far. */
  readonly count: () => number;
}

const read = async (request: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("latin1");
};

/**
 * Answers with JSON of method, url, headers (sorted) and body, under a name. Paths that begin otherwise do something else:
 * `/status/N` answers N, `/flaky` fails every other request with 503, `/reset` breaks the connection, `/hang` never answers,
 * `/slow/N` answers after N ms, `/chunked` streams, `/close` closes after answering, `/big/N` sends N bytes,
 * `/peer` says in `x-peer` where the connection comes from.
 */
export const startEchoServer = async (name = "echo", listenPort = 0, host = "127.0.0.1"): Promise<EchoServer> => {
  let count = 0;
  let flaky = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    count++;
    const path = request.url ?? "/";
    const [, verb, value = ""] = /^\/(\w+)(?:\/(\w+))?/.exec(path) ?? [];
    if (verb === "reset") return void request.socket.resetAndDestroy();
    if (verb === "hang") return;
    const body = await read(request);
    if (verb === "slow") await new Promise((resolve) => setTimeout(resolve, Number(value)));
    if (verb === "status") response.statusCode = Number(value) || 500;
    if (verb === "flaky" && flaky++ % 2 === 0) response.statusCode = 503;
    if (verb === "close") response.setHeader("connection", "close");
    if (verb === "peer") response.setHeader("x-peer", request.socket.remoteAddress ?? "");
    if (verb === "big") return void response.end(Buffer.alloc(Number(value), "x"));
    if (verb === "headers")
      response.setHeader("x-many", ["a", "b"]).setHeader("server", "echo").setHeader("x-powered-by", "tests");
    response.setHeader("content-type", "application/json");
    const headers = Object.fromEntries(Object.entries(request.headers).sort(([a], [b]) => (a < b ? -1 : 1)));
    const text = JSON.stringify({ name, method: request.method, url: path, headers, body, trailers: request.trailers });
    if (verb === "chunked") {
      response.write(text.slice(0, 10));
      response.addTrailers({ "x-checksum": "1" });
      return void response.end(text.slice(10));
    }
    if (response.statusCode === 204 || response.statusCode === 304) return void response.end();
    response.setHeader("content-length", Buffer.byteLength(text));
    response.end(text);
  };
  const server: Server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(listenPort, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `${host.includes(":") ? `[${host}]` : host}:${port}`,
    port,
    count: () => count,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
