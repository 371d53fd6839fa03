/** Upstreams of HTTP/2: an echo like the HTTP/1 one, and gRPC methods that fail as their path says. */
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";

export interface Http2Upstream extends AsyncDisposable {
  readonly port: number;
}

const text = async (stream: ServerHttp2Stream): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("latin1");
};

interface Seen {
  readonly name: string;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
}

const sorted = (headers: IncomingHttpHeaders): object =>
  Object.fromEntries(Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1)));

/** Which try of a case this is: a case names itself in `x-case`. */
const tries = new Map<string, number>();
const tryOf = (headers: IncomingHttpHeaders): number => {
  const key = String(headers["x-case"] ?? "none");
  const now = (tries.get(key) ?? 0) + 1;
  tries.set(key, now);
  return now;
};

const answerGrpc = (stream: ServerHttp2Stream, { headers, trailers }: Seen, body: string): void => {
  const [, , verb, value = "0"] = String(headers[":path"]).split("/");
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, 2]), Buffer.from("ok")]);
  const only = (status: string): void =>
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": status, "grpc-message": "said upstream" },
      { endStream: true },
    );
  if (verb === "hang") return;
  if (verb === "reset") return void stream.close(Number(value));
  if (verb === "only") return void only(value);
  // The first try fails with that status, the next one succeeds.
  if (verb === "once" && tryOf(headers) === 1) return void only(value);
  if (verb === "http") return void stream.respond({ ":status": Number(value) }, { endStream: true });
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "x-saw-timeout": String(headers["grpc-timeout"] ?? "none"),
      "x-saw-body": Buffer.from(body, "latin1").toString("hex"),
      "x-saw-trailers": JSON.stringify(trailers),
      "x-saw-type": String(headers["content-type"]),
      "x-saw-te": String(headers.te),
      "x-saw-attempt": String(headers["x-envoy-attempt-count"] ?? "none"),
    },
    { waitForTrailers: true },
  );
  stream.on("wantTrailers", () =>
    stream.sendTrailers({ "grpc-status": verb === "trailers" ? value : "0", "x-last": "1" }),
  );
  stream.end(frame);
};

const flaky = new Map<string, number>();

const answerEcho = (stream: ServerHttp2Stream, seen: Seen, body: string): void => {
  const { name, headers, trailers } = seen;
  const path = String(headers[":path"]);
  const [, verb, value = ""] = /^\/(\w+)(?:\/(\w+))?/.exec(path) ?? [];
  let status = 200;
  if (verb === "status") status = Number(value) || 500;
  if (verb === "flaky") {
    const count = flaky.get(name) ?? 0;
    flaky.set(name, count + 1);
    if (count % 2 === 0) status = 503;
  }
  if (status === 204 || status === 304) return void stream.respond({ ":status": status }, { endStream: true });
  if (verb === "hints") stream.additionalHeaders({ ":status": 103, link: "</a.css>; rel=preload" });
  const more = verb === "headers" ? { "x-many": ["a", "b"], server: "echo", "x-powered-by": "tests" } : {};
  const answer = JSON.stringify({ name, headers: sorted(headers), body, trailers });
  const head = { ":status": status, "content-type": "application/json", ...more };
  if (verb === "chunked") {
    stream.respond(head, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-checksum": "1" }));
  } else stream.respond({ ...head, "content-length": Buffer.byteLength(answer) });
  stream.end(answer);
};

const answer = async (name: string, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> => {
  let trailers: IncomingHttpHeaders = {};
  stream.on("error", () => {});
  stream.on("trailers", (came: IncomingHttpHeaders) => {
    trailers = sorted(came) as IncomingHttpHeaders;
  });
  const path = String(headers[":path"]);
  if (path.startsWith("/reset")) return void stream.close(2);
  if (path.startsWith("/refuse")) return void stream.close(7);
  if (path.startsWith("/hang")) return;
  if (headers[":method"] === "CONNECT") {
    stream.respond({ ":status": path.startsWith("/declined") ? 403 : 200 });
    stream.pipe(stream);
    return;
  }
  const body = await text(stream);
  const seen = { name, headers, trailers };
  if (headers["content-type"]?.startsWith("application/grpc")) answerGrpc(stream, seen, body);
  else answerEcho(stream, seen, body);
};

/** Paths as of `startEchoServer`, and `/service/VERB/VALUE` for gRPC. */
export const startHttp2Upstream = async (name: string): Promise<Http2Upstream> => {
  const sockets = new Set<Socket>();
  const server = createServer({ settings: { enableConnectProtocol: true } });
  server.on("session", (session) => session.on("error", () => {}));
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    answer(name, stream, headers).catch(() => stream.close(2));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
