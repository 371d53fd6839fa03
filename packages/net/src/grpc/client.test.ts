import assert from "node:assert/strict";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { grpcStatus } from "@weft/core/grpc-status";
import { createGrpcChannel, type GrpcChannelOptions } from "./client.ts";
import { frameMessage } from "./message-reader.ts";
import { GrpcError } from "./status.ts";

const listen = async (handler: (stream: ServerHttp2Stream) => unknown): Promise<Http2Server & AsyncDisposable> => {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    handler(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(server, {
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
};
const channelTo = (port: number, options: Partial<GrpcChannelOptions> = {}) =>
  createGrpcChannel({ target: { kind: "tcp", host: "127.0.0.1", port }, ...options });
const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;

const respond = (stream: ServerHttp2Stream, messages: readonly Uint8Array[], status = "0", text = ""): void => {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status, "grpc-message": text }));
  for (const message of messages) stream.write(frameMessage(message));
  stream.end();
};
const rejects = (promise: Promise<unknown>, code: number, text: RegExp) =>
  assert.rejects(promise, (error) => error instanceof GrpcError && error.status === code && text.test(error.message));
const hello = Buffer.from("hello");

test("a unary call brings its metadata there and the answer back", async () => {
  await using server = await listen((stream) => {
    stream.once("data", (chunk: Buffer) => respond(stream, [chunk.subarray(5), hello]));
  });
  using channel = channelTo(portOf(server));
  const answer = await channel.unary({ path: "/a.B/C", metadata: { authorization: "Bearer x" } }, Buffer.from("ping"));
  assert.equal(Buffer.from(answer).toString(), "ping");
});

test("the server's status and its escaped text reach the caller", async () => {
  await using server = await listen((stream) => respond(stream, [], "7", "not%20you%21"));
  using channel = channelTo(portOf(server));
  await rejects(channel.unary({ path: "/a" }, hello), grpcStatus.permissionDenied, /^not you!$/);
});

test("a trailers-only answer is a status", async () => {
  await using server = await listen((stream) => {
    stream.respond({ ":status": 200, "grpc-status": "16", "grpc-message": "who" }, { endStream: true });
  });
  using channel = channelTo(portOf(server));
  await rejects(channel.unary({ path: "/a" }, hello), grpcStatus.unauthenticated, /who/);
});

test("a plain HTTP error is UNAVAILABLE or what its status means", async () => {
  await using server = await listen((stream) => stream.respond({ ":status": 503 }, { endStream: true }));
  using channel = channelTo(portOf(server));
  await rejects(channel.unary({ path: "/a" }, hello), grpcStatus.unavailable, /HTTP 503/);
});

test("a port where nobody listens is UNAVAILABLE and says why", async () => {
  const probe = createTcpServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const port = portOf(probe);
  await new Promise((resolve) => probe.close(resolve));
  using channel = channelTo(port);
  await rejects(channel.unary({ path: "/a" }, hello), grpcStatus.unavailable, /ECONNREFUSED/);
});

test("a peer that speaks something else is UNAVAILABLE or a protocol error, never a crash", async () => {
  const server = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    socket.resume().end("220 smtp ready\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  using channel = channelTo(portOf(server));
  await rejects(channel.unary({ path: "/a" }, hello), grpcStatus.unavailable, /./);
  await new Promise((resolve) => server.close(resolve));
});

test("a call that is not answered in time ends with DEADLINE_EXCEEDED", async () => {
  await using server = await listen(() => undefined);
  using channel = channelTo(portOf(server));
  await rejects(channel.unary({ path: "/a", deadlineMs: 30 }, hello), grpcStatus.deadlineExceeded, /30 ms/);
});

test("an answer larger than the bound ends the call", async () => {
  await using server = await listen((stream) => respond(stream, [Buffer.alloc(1_000)]));
  using channel = channelTo(portOf(server), { messageBytesMax: 100 });
  await rejects(channel.unary({ path: "/a" }, hello), grpcStatus.resourceExhausted, /is over 100/);
});

test("a stream carries messages both ways, and the next one connects anew after a broken connection", async () => {
  const streams: ServerHttp2Stream[] = [];
  await using server = await listen((stream) => {
    streams.push(stream);
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("data", (chunk: Buffer) => stream.write(chunk));
  });
  using channel = channelTo(portOf(server));
  for (const round of ["first", "second"]) {
    await new Promise<void>((resolve, reject) => {
      const stream = channel.open(
        { path: "/s" },
        {
          onOpen: () => stream.send(Buffer.from(round)),
          onMessage: (message) => {
            if (Buffer.from(message).toString() !== round) reject(new Error("another message"));
            streams.at(-1)?.session?.destroy();
          },
          onEnd: (error) =>
            error?.status === grpcStatus.unavailable ? resolve() : reject(error ?? new Error("ended")),
        },
      );
    });
  }
  assert.equal(streams.length, 2);
});

test("a cancelled stream tells its owner once, and the server", async () => {
  let cancelled = false;
  await using server = await listen((stream) => {
    stream.respond({ ":status": 200 });
    stream.write(frameMessage(hello));
    stream.on("aborted", () => {
      cancelled = true;
    });
  });
  using channel = channelTo(portOf(server));
  const ends: unknown[] = [];
  await new Promise<void>((resolve) => {
    const stream = channel.open(
      { path: "/s" },
      {
        onMessage: () => stream.cancel(),
        onEnd: (error) => {
          ends.push(error?.status);
          resolve();
        },
      },
    );
  });
  await new Promise<void>((resolve) => connect(portOf(server), "127.0.0.1").once("connect", resolve).unref());
  assert.deepEqual(ends, [grpcStatus.cancelled]);
  assert.equal(cancelled || ends.length === 1, true);
});

test("a connection that does not answer keepalive is given up", async () => {
  const silent = createTcpServer((socket) => socket.on("error", () => undefined).resume());
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  using channel = channelTo(portOf(silent), { keepaliveMs: 10, keepaliveTimeoutMs: 20 });
  const error = await new Promise<GrpcError | undefined>((resolve) => {
    channel.open({ path: "/s" }, { onMessage: () => undefined, onEnd: resolve });
  });
  assert.equal(error?.status, grpcStatus.unavailable);
  assert.match(error?.message ?? "", /keepalive/);
  await new Promise((resolve) => silent.close(resolve));
});
