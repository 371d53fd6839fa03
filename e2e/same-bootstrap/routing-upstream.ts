/** An upstream for routing: says what it received, fails as often as it is told, and remembers what it saw. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface RoutingUpstream extends AsyncDisposable {
  readonly port: number;
  /** What came with that value of `x-case`, one JSON text for each request. */
  readonly seen: (name: string) => readonly string[];
}

const read = async (request: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("latin1");
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * `/fail/STATUS/TIMES`: so many requests of a case get that status (0: the connection breaks), later ones 200.
 * `/late/MS/TIMES`: so many answers come late. `/stall/MS`: the head, and the body late. `/status/N`, anything else: an
 * echo. `x-answer: name=value&name=value` adds fields to answers that fail.
 */
export const startRoutingUpstream = async (name: string): Promise<RoutingUpstream> => {
  const seen = new Map<string, string[]>();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await read(request);
    const { method, url = "/" } = request;
    const headers = Object.fromEntries(Object.entries(request.headers).sort(([a], [b]) => (a < b ? -1 : 1)));
    const text = JSON.stringify({ name, method, url, headers, body });
    const key = String(request.headers["x-case"] ?? "");
    const before = seen.get(key) ?? [];
    seen.set(key, [...before, text]);
    const [, verb, first = "", second = "1"] = /^\/(\w+)(?:\/(\w+))?(?:\/(\w+))?/.exec(url) ?? [];
    const fails = before.length < Number(second);
    if (verb === "late" && fails) await pause(Number(first));
    if (verb === "fail" && fails) {
      if (first === "0") return void request.socket.resetAndDestroy();
      for (const [field, value] of new URLSearchParams(String(request.headers["x-answer"] ?? "")))
        response.setHeader(field, value);
      response.statusCode = Number(first);
    }
    if (verb === "status") {
      response.statusCode = Number(first);
      for (const [field, value] of new URLSearchParams(String(request.headers["x-answer"] ?? "")))
        response.setHeader(field, value);
    }
    response.setHeader("content-type", "application/json");
    response.setHeader("content-length", Buffer.byteLength(text));
    if (verb === "stall") {
      response.flushHeaders();
      await pause(Number(first));
    }
    response.end(text);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen: (key) => seen.get(key) ?? [],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
