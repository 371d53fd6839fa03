import assert from "node:assert/strict";
import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { grpcStatus } from "@weft/core/grpc-status";
import { silentLogger } from "@weft/core/world";
import type { GrpcHandler } from "./calls.ts";
import { frameMessage } from "./message-reader.ts";
import { type GrpcServer, openGrpcServer } from "./server.ts";

const echo: GrpcHandler = {
  kind: "bidi",
  open: (call) => ({
    message: (bytes) => void call.send(frameMessage(bytes)),
    drained: () => {},
    halfClosed: () => call.end(grpcStatus.ok),
    closed: () => {},
  }),
};
const start = (over: object): Promise<GrpcServer> =>
  openGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    handlers: new Map([["/t.T/Echo", echo]]),
    log: silentLogger,
    random: () => 0.5,
    ...over,
  });
const dial = (server: GrpcServer): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(server.address.port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject).resume();
  });
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on("error", () => {}).once("close", () => resolve());
  });
/** A call that stays open, answered once. */
const talk = async (server: GrpcServer) => {
  const session = http2.connect(`http://127.0.0.1:${server.address.port}`);
  const stream = session.request({ ":method": "POST", ":path": "/t.T/Echo", "content-type": "application/grpc" });
  stream.on("error", () => {});
  const say = async (text: string): Promise<string> => {
    stream.write(frameMessage(Buffer.from(text)));
    const chunk = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
    return chunk.subarray(5).toString();
  };
  assert.equal(await say("hello"), "hello");
  return { session, say };
};

test("a connection that never makes a call is closed, one that made a call stays", async () => {
  const server = await start({ silenceMaxMs: 30 });
  const { session, say } = await talk(server);
  await closed(await dial(server));
  assert.equal(await say("still here"), "still here");
  assert.equal(server.connections, 1);
  session.destroy();
  await server.close();
});

test("of too many silent connections the oldest goes, and who makes calls is not touched", async () => {
  const server = await start({ silentConnectionsMax: 3 });
  const { session, say } = await talk(server);
  const first = await dial(server);
  const gone = closed(first);
  const others: Socket[] = [];
  for (let n = 0; n < 3; n++) others.push(await dial(server));
  await gone;
  assert.equal(await say("still here"), "still here");
  assert.ok(others.every((socket) => !socket.destroyed));
  for (const socket of others) socket.destroy();
  session.destroy();
  await server.close();
});

const settingsType = 4;
const goawayType = 7;
const typesOf = (bytes: Buffer): number[] => {
  const types: number[] = [];
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) types.push(bytes[at + 3] ?? -1);
  return types;
};

test("a client that says nothing is told nothing, and its settings come first once it speaks", async () => {
  const server = await start({});
  const socket = await dial(server);
  const heard: Buffer[] = [];
  const first = new Promise<void>((resolve) => {
    socket.on("data", (bytes: Buffer) => {
      heard.push(bytes);
      resolve();
    });
  });
  const { session } = await talk(server);
  assert.equal(socket.bytesRead, 0);
  socket.write(
    Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from("000000040000000000", "hex")]),
  );
  await first;
  assert.equal(typesOf(Buffer.concat(heard))[0], settingsType);
  socket.destroy();
  session.destroy();
  await server.close();
});

test("a client that says nothing until the server stops is told so after the server's settings", async () => {
  const server = await start({});
  const socket = await dial(server);
  const { session } = await talk(server);
  const heard: Buffer[] = [];
  socket.on("data", (bytes: Buffer) => heard.push(bytes));
  const gone = closed(socket);
  session.destroy();
  await Promise.all([server.close(100), gone]);
  const types = typesOf(Buffer.concat(heard));
  assert.equal(types[0], settingsType);
  assert.ok(types.includes(goawayType));
});
