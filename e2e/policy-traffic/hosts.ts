/** Upstreams at every loopback address: each says who it is and what it was sent, and does what the test told it. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";

export interface Hosts extends AsyncDisposable {
  readonly port: number;
  /** The same by HTTP/2 without TLS. */
  readonly http2Port: number;
  /** Statuses of hosts that do not answer 200, by address; `reset` breaks the connection. */
  readonly statuses: Map<string, number | "reset">;
  /** Requests answered, and connections taken, by address. */
  readonly requests: Map<string, number>;
  readonly connections: Map<string, number>;
  /** Connections that are open now, by address. */
  readonly open: (address: string) => number;
  /** Requests to `/held`, or at one address to `/held/ADDRESS`, that wait. */
  readonly held: () => number;
  /** Answers those that wait. */
  readonly release: () => void;
}

const add = (counts: Map<string, number>, name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1);

export const startHosts = async (): Promise<Hosts> => {
  const statuses = new Map<string, number | "reset">();
  const requests = new Map<string, number>();
  const connections = new Map<string, number>();
  const waiting = new Set<() => void>();
  const answer = (request: Pick<IncomingMessage, "socket" | "url" | "headers">, response: ServerResponse): void => {
    const { localAddress = "" } = request.socket;
    add(requests, localAddress);
    const status = statuses.get(localAddress) ?? 200;
    if (status === "reset") return void request.socket.destroy();
    const end = (): void => {
      response.writeHead(status, { "x-host": localAddress, "content-type": "application/json" });
      response.end(JSON.stringify({ url: request.url, headers: request.headers }));
    };
    if (request.url === "/held" || request.url === `/held/${localAddress}`) {
      waiting.add(end);
      request.socket.once("close", () => waiting.delete(end));
    } else end();
  };
  const sockets = new Set<Socket>();
  const plain = createServer({ keepAliveTimeout: 600_000 }, answer);
  const http2 = createHttp2Server((request, response) =>
    // The parts of both that are used here are the same.
    answer(request as unknown as IncomingMessage, response as unknown as ServerResponse),
  );
  const ports: number[] = [];
  for (const server of [plain, http2]) {
    server.on("connection", (socket: Socket) => {
      add(connections, socket.localAddress ?? "");
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    ports.push((server.address() as AddressInfo).port);
  }
  const [port = 0, http2Port = 0] = ports;
  return {
    ...{ port, http2Port, statuses, requests, connections },
    open: (address) => [...sockets].filter(({ localAddress }) => localAddress === address).length,
    held: () => waiting.size,
    release: () => {
      for (const end of waiting) end();
      waiting.clear();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      for (const server of [plain, http2]) await new Promise((resolve) => server.close(resolve));
    },
  };
};
