/** An application of every protocol. It does wrong where a request asks it to, so that each client knows what to expect. */
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from "node:net";

export interface App extends AsyncDisposable {
  readonly ports: { readonly http1: number; readonly http2: number; readonly tcp: number };
  /** Body bytes of `/bulk` that were handed to the kernel, by the query of the request. */
  readonly bulkSent: ReadonlyMap<string, number>;
  /** Ends every connection that stands. */
  readonly dropAll: () => void;
}

export const bulkBytes = 100 * 1024 * 1024;
const block = Buffer.alloc(64 * 1024, 7);
const slowMs = 200;

const listening = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

const answer1 = (sent: Map<string, number>) => (request: IncomingMessage, response: ServerResponse) => {
  const { "x-fault": fault } = request.headers;
  if (fault === "reset") {
    request.socket.resetAndDestroy();
    return;
  }
  if (request.url?.startsWith("/bulk")) {
    sendBulk(request.url, response, sent);
    return;
  }
  request.resume();
  request.on("end", () => {
    const status = fault === "503" ? 503 : 200;
    const answer = (): void => void response.writeHead(status).end(`one ${request.url}`);
    if (fault === "slow") setTimeout(answer, slowMs);
    else answer();
  });
};

const sendBulk = (url: string, response: ServerResponse, sent: Map<string, number>): void => {
  let left = bulkBytes;
  response.writeHead(200, { "content-length": bulkBytes });
  const more = (): void => {
    while (left > 0) {
      left -= block.length;
      const free = response.write(block, () => sent.set(url, (sent.get(url) ?? 0) + block.length));
      if (!free) return;
    }
    response.end();
  };
  response.on("drain", more);
  more();
};

const answer2 = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
  stream.on("error", () => {});
  if (headers["x-fault"] === "reset") {
    stream.close(2);
    return;
  }
  if (headers["content-type"]?.startsWith("application/grpc")) {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.pipe(stream);
    return;
  }
  stream.resume();
  const answer = (): void => {
    if (stream.destroyed) return;
    stream.respond({ ":status": headers["x-fault"] === "503" ? 503 : 200 });
    stream.end(`two ${headers[":path"]}`);
  };
  stream.on("end", () => {
    if (headers["x-fault"] === "slow") setTimeout(answer, slowMs);
    else answer();
  });
};

export const startApp = async (): Promise<App> => {
  const sockets = new Set<Socket>();
  const bulkSent = new Map<string, number>();
  const http1 = createHttp1({ keepAliveTimeout: 60_000 }, answer1(bulkSent));
  http1.on("upgrade", (_request: IncomingMessage, socket: Socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    socket.pipe(socket);
  });
  const http2 = createHttp2({ settings: { maxConcurrentStreams: 1000 } });
  http2.on("session", (session) => session.on("error", () => {}));
  http2.on("stream", answer2);
  const tcp = createTcp((socket) => void socket.pipe(socket));
  const servers: readonly Server[] = [http1, http2 as unknown as Server, tcp];
  for (const server of servers) {
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
    });
  }
  const [one = 0, two = 0, three = 0] = await Promise.all(servers.map(listening));
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    ports: { http1: one, http2: two, tcp: three },
    bulkSent,
    dropAll,
    [Symbol.asyncDispose]: async () => {
      dropAll();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
};
