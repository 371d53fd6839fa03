/** Servers at every loopback address whose health is as the path of the check says. */
import { createServer } from "node:http";
import { createServer as createHttp2, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcp, type Server } from "node:net";
import { findFreePort } from "@weft/net/process/free-port";

export interface CheckedHosts extends AsyncDisposable {
  readonly port: number;
  readonly http2Port: number;
  readonly tcpPort: number;
  readonly closedPort: number;
  /** Checks of `/only-1` fail everywhere. */
  failing: boolean;
}

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  return (server.address() as AddressInfo).port;
};

const answerHttp2 = (stream: ServerHttp2Stream, path: string, host: string): void => {
  if (path === "/grpc.health.v1.Health/Check") {
    const parts: Buffer[] = [];
    stream.on("data", (bytes: Buffer) => parts.push(bytes));
    stream.on("end", () => {
      const asked = Buffer.concat(parts).subarray(7).toString();
      const serves = asked === "only-1" && host === "127.0.0.1";
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serves ? 1 : 2]));
    });
    return;
  }
  stream.respond({ ":status": host === "127.0.0.1" ? 200 : 503 }, { endStream: true });
};

export const startCheckedHosts = async (): Promise<CheckedHosts> => {
  const state = { failing: false };
  const web = createServer((req, res) => {
    const { localAddress: host = "" } = req.socket;
    const last = host.split(".").at(-1) ?? "";
    const { url = "", method, headers } = req;
    res.setHeader("x-host", host);
    if (url === `/silent-${last}`) return;
    if (url === "/only-1") res.statusCode = last === "1" && !state.failing ? 200 : 503;
    if (url === `/degraded-${last}`) res.setHeader("x-envoy-degraded", "");
    if (url === "/service") res.setHeader("x-envoy-upstream-healthchecked-cluster", `svc-${last}`);
    if (url !== "/headers") {
      res.end(url === "/body" ? `host ${host}` : "");
      return;
    }
    const parts: Buffer[] = [];
    req.on("data", (bytes: Buffer) => parts.push(bytes));
    req.on("end", () => {
      const seen = [method, headers.host, headers["user-agent"], headers["x-check"], Buffer.concat(parts).toString()];
      res.statusCode = seen.join() === "POST,checked.example,Envoy/HC,yes,ping" ? 200 : 500;
      res.end();
    });
  });
  const two = createHttp2();
  two.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
    answerHttp2(stream, String(headers[":path"]), stream.session?.socket.localAddress ?? ""),
  );
  const bare = createTcp((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      if (bytes.toString() === "PING") socket.write(socket.localAddress === "127.0.0.1" ? "+ PONG\r\n" : "-NO\r\n");
    });
  });
  const servers = [web, two, bare] as const;
  const [port = 0, http2Port = 0, tcpPort = 0] = await Promise.all(servers.map(listen));
  const sockets = new Set<{ destroy(): void }>();
  for (const server of servers) {
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
  }
  const ports = { port, http2Port, tcpPort, closedPort: await findFreePort("127.0.0.1", 0) };
  return Object.assign(state, ports, {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  });
};
