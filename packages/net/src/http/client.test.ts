import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { createHttpClient, type HttpCall } from "./client.ts";

const listening = (server: Server): Promise<AsyncDisposable & { readonly port: number }> =>
  new Promise((resolve) => {
    const sockets = new Set<Socket>();
    server.on("connection", (socket) => sockets.add(socket));
    server.listen(0, "127.0.0.1", () =>
      resolve({
        port: (server.address() as AddressInfo).port,
        [Symbol.asyncDispose]: () => {
          for (const socket of sockets) socket.destroy();
          return new Promise((closed) => server.close(() => closed()));
        },
      }),
    );
  });
const serve = (listener: RequestListener) => listening(createServer(listener));
const clientOf = (port: number, connectionsMax = 4) => createHttpClient({ host: "127.0.0.1", port, connectionsMax });
const get = (path: string, more: Partial<HttpCall> = {}): HttpCall => ({
  ...{ method: "GET", path, timeoutMs: 5_000, bodyBytesMax: 1_000 },
  ...more,
});

test("an answer is given whole, with its status, whatever that is", async () => {
  await using server = await serve((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      response.writeHead(418, { "x-said": String(request.headers["x-asked"]) });
      response.end(`${request.method} ${request.url} ${Buffer.concat(parts)}`);
    });
  });
  using client = clientOf(server.port);
  const headers = { "x-asked": "yes" };
  const answer = await client.call(get("/a?b=c", { method: "PUT", body: "é", headers }));
  assert.equal(answer.status, 418);
  assert.equal(answer.headers["x-said"], "yes");
  assert.equal(answer.body.toString(), "PUT /a?b=c é");
});

test("a connection is used again, and no more are made than may be", async () => {
  const sockets = new Set<unknown>();
  await using server = await serve((request, response) => {
    sockets.add(request.socket);
    response.end();
  });
  using client = clientOf(server.port, 2);
  await Promise.all(Array.from({ length: 10 }, () => client.call(get("/"))));
  await client.call(get("/"));
  assert.ok(sockets.size <= 2);
});

test("an answer that takes too long is given up, whether it has begun or not", async () => {
  await using server = await serve((request, response) => {
    if (request.url === "/begun") response.write("x");
  });
  using client = clientOf(server.port);
  for (const path of ["/silent", "/begun"])
    await assert.rejects(client.call(get(path, { timeoutMs: 50 })), /no answer within 0.05 s/);
});

test("an answer that is too long is given up, with its length said or without", async () => {
  await using server = await serve((request, response) => {
    if (request.url === "/said") response.setHeader("content-length", 2_000);
    response.write("x".repeat(1_500));
    response.end("x".repeat(500));
  });
  using client = clientOf(server.port);
  for (const path of ["/said", "/chunks"]) await assert.rejects(client.call(get(path)), /more than 1000 bytes/);
});

test("what is no HTTP, an answer cut short, and a port where nobody is are said", async () => {
  await using nonsense = await listening(createTcpServer((socket) => void socket.end("SSH-2.0-x\r\n\r\n")));
  const cutShort = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab";
  await using cut = await listening(createTcpServer((socket) => void socket.end(cutShort)));
  await assert.rejects(clientOf(nonsense.port).call(get("/")), /Parse Error/);
  await assert.rejects(clientOf(cut.port).call(get("/")), /aborted|ended within/);
  const { port } = cut;
  await cut[Symbol.asyncDispose]();
  await assert.rejects(clientOf(port).call(get("/")), /ECONNREFUSED/);
});

test("a call that is no longer wanted ends, and one of a closed client too", async () => {
  await using server = await serve(() => {});
  const client = clientOf(server.port);
  const stop = new AbortController();
  const call = client.call(get("/", { signal: stop.signal }));
  stop.abort();
  await assert.rejects(call, /abort/i);
  const other = client.call(get("/"));
  client[Symbol.dispose]();
  await assert.rejects(other, /hang up|closed|aborted/);
});
