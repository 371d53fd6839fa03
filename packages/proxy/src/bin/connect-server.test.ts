/** Several control planes, one of which stands still with its connections open, as a process that was stopped. */
import assert from "node:assert/strict";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { grpcStatus } from "@weft/core/grpc-status";
import { silentLogger } from "@weft/core/world";
import type { GrpcChannel } from "@weft/net/grpc/client";
import type { GrpcError } from "@weft/net/grpc/status";
import type { XdsServer } from "../bootstrap/xds-server.ts";
import { connectServer, patienceWithOthers } from "./connect-server.ts";

const listening = (server: { listen(port: number, host: string, then: () => void): unknown }): Promise<void> =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

/** Answers every call's head at once; frozen it takes connections and whatever is sent, and says nothing. */
const startReplica = async () => {
  const calls: (() => void)[] = [];
  let asked = 0;
  const server = createHttp2Server();
  server.on("sessionError", () => undefined);
  server.on("stream", (stream: ServerHttp2Stream) => {
    asked++;
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    for (const told of calls.splice(0)) told();
  });
  await listening(server);
  const sockets = new Set<Socket>();
  let frozen = false;
  const front = createServer((from) => {
    const onward = connect((server.address() as AddressInfo).port, "127.0.0.1");
    for (const one of [from, onward]) {
      sockets.add(one);
      one.on("error", () => undefined);
      one.on("close", () => sockets.delete(one));
    }
    from.on("data", (chunk) => frozen || onward.write(chunk));
    onward.on("data", (chunk) => frozen || from.write(chunk));
  });
  await listening(front);
  return {
    target: { kind: "tcp", host: "127.0.0.1", port: (front.address() as AddressInfo).port } as const,
    asked: () => asked,
    nextCall: () => new Promise<void>((resolve) => calls.push(resolve)),
    freeze: () => {
      frozen = true;
    },
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      front.close();
      server.close();
    },
  };
};

const ended = (channel: GrpcChannel): Promise<GrpcError | undefined> =>
  new Promise((resolve) => {
    channel.open({ path: "/s" }, { onMessage: () => undefined, onEnd: resolve });
  });

test("one that stands still is given up, and another has the next stream, also where the next is frozen too", async () => {
  using one = await startReplica();
  using two = await startReplica();
  using three = await startReplica();
  const replicas = [one, two, three];
  const targets = replicas.map(({ target }) => target);
  const server: XdsServer = { name: "cp", targets, tls: undefined, metadata: {}, form: "delta" };
  const patience = { connectTimeoutMs: 1_000, keepaliveMs: 30, keepaliveTimeoutMs: 200 };
  using channel = connectServer(server, () => undefined, silentLogger, patience);
  const asked = Promise.race(replicas.map((replica) => replica.nextCall().then(() => replica)));
  const over = ended(channel);
  const first = await asked;
  const rest = replicas.filter((replica) => replica !== first);
  for (const replica of [first, rest[0] ?? first]) replica.freeze();
  const error = await over;
  assert.equal(error?.status, grpcStatus.unavailable);
  assert.match(error?.message ?? "", /keepalive was not answered/);
  const last = (rest[1] ?? first).nextCall();
  let lives = false;
  void last.then(() => {
    lives = true;
  });
  for (let tries = 0; !lives && tries < 2; tries++) await Promise.race([last, ended(channel)]);
  await last;
  assert.equal(rest[1]?.asked(), 1);
});

test("a sidecar with several control planes notices within 25 seconds that one stands still", () => {
  const { keepaliveMs, keepaliveTimeoutMs } = patienceWithOthers;
  assert.ok(keepaliveMs + keepaliveTimeoutMs <= 25_000);
});
