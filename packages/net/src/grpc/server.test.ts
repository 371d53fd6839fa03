import assert from "node:assert/strict";
import http2 from "node:http2";
import { test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { grpcStatus } from "@weft/core/grpc-status";
import { silentLogger } from "@weft/core/world";
import type { BidiEvents, GrpcHandler } from "./calls.ts";

import { frameMessage } from "./message-reader.ts";
import { type GrpcServer, openGrpcServer, spiffeOf } from "./server.ts";
import { GrpcError } from "./status.ts";

const raw = { serialize: (bytes: Buffer) => bytes, deserialize: (bytes: Buffer) => bytes };
const address = { host: "127.0.0.1", port: 0 };

const start = (handlers: Readonly<Record<string, GrpcHandler>>, over: object = {}): Promise<GrpcServer> =>
  openGrpcServer({
    address,
    handlers: new Map(Object.entries(handlers)),
    log: silentLogger,
    random: () => 0.5,
    messageBytesMax: 1024,
    ...over,
  });
const connect = ({ address: { host, port } }: GrpcServer): grpc.Client =>
  new grpc.Client(`${host}:${port}`, grpc.credentials.createInsecure());

const unary = (client: grpc.Client, path: string, message: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, raw.serialize, raw.deserialize, message, (error, answer) =>
      error ? reject(error) : resolve(answer as Buffer),
    );
  });

const echo: GrpcHandler = {
  kind: "bidi",
  open: (call): BidiEvents => ({
    message: (bytes) => {
      if (Buffer.from(bytes).toString() === "refuse")
        throw new GrpcError(grpcStatus.permissionDenied, "not you: 100 % ü");
      if (Buffer.from(bytes).toString() === "break") throw new Error("a secret of the server");
      call.send(frameMessage(bytes));
    },
    drained: () => {},
    halfClosed: () => call.end(grpcStatus.ok),
    closed: () => {},
  }),
};

const converse = (
  client: grpc.Client,
  messages: readonly string[],
): Promise<{ got: string[]; status: grpc.StatusObject }> =>
  new Promise((resolve) => {
    const call = client.makeBidiStreamRequest("/t.T/Echo", raw.serialize, raw.deserialize);
    const got: string[] = [];
    call.on("data", (bytes: Buffer) => got.push(bytes.toString()));
    call.on("error", () => {});
    call.on("status", (status) => resolve({ got, status }));
    for (const message of messages) call.write(Buffer.from(message));
    call.end();
  });

test("grpc-js calls a unary method and gets its answer or its refusal", async () => {
  const server = await start({
    "/t.T/Twice": {
      kind: "unary",
      handle: async (request) => {
        if (request.length === 0) throw new GrpcError(grpcStatus.invalidArgument, "nothing to double");
        return Buffer.concat([request, request]);
      },
    },
  });
  const client = connect(server);
  assert.equal((await unary(client, "/t.T/Twice", Buffer.from("ab"))).toString(), "abab");
  await assert.rejects(unary(client, "/t.T/Twice", Buffer.alloc(0)), /INVALID_ARGUMENT: nothing to double/);
  await assert.rejects(unary(client, "/t.T/None", Buffer.alloc(0)), /UNIMPLEMENTED: no method \/t.T\/None/);
  await assert.rejects(unary(client, "/t.T/Twice", Buffer.alloc(2000)), /RESOURCE_EXHAUSTED/);
  client.close();
  await server.close();
});

test("grpc-js talks over a stream until either side ends it", async () => {
  const server = await start({ "/t.T/Echo": echo });
  const client = connect(server);
  const { got, status } = await converse(client, ["a", "b", "c"]);
  assert.deepEqual([got, status.code], [["a", "b", "c"], 0]);
  const refused = await converse(client, ["a", "refuse"]);
  assert.deepEqual([refused.got, refused.status.code, refused.status.details], [["a"], 7, "not you: 100 % ü"]);
  const broken = await converse(client, ["break"]);
  assert.deepEqual([broken.status.code, broken.status.details], [13, "internal error"]);
  client.close();
  await server.close();
});

test("closing the server ends open streams with UNAVAILABLE", async () => {
  const opened = Promise.withResolvers<void>();
  const server = await start({
    "/t.T/Echo": {
      kind: "bidi",
      open: (call) => {
        opened.resolve();
        return { message: (bytes) => void call.send(frameMessage(bytes)), drained() {}, halfClosed() {}, closed() {} };
      },
    },
  });
  const client = connect(server);
  const call = client.makeBidiStreamRequest("/t.T/Echo", raw.serialize, raw.deserialize);
  call.on("error", () => {});
  const status = new Promise<grpc.StatusObject>((resolve) => call.on("status", resolve));
  await opened.promise;
  await server.close();
  assert.equal((await status).code, grpc.status.UNAVAILABLE);
  client.close();
});

test("a peer that does not read makes send answer false, and is told of when it reads again", async () => {
  const drained = Promise.withResolvers<void>();
  const filled = Promise.withResolvers<number>();
  const server = await start({
    "/t.T/Flood": {
      kind: "bidi",
      open: (call) => {
        let sent = 0;
        const frame = frameMessage(Buffer.alloc(16 * 1024));
        while (call.send(frame)) sent++;
        filled.resolve(sent);
        return { message() {}, drained: () => drained.resolve(), halfClosed() {}, closed() {} };
      },
    },
  });
  const session = http2.connect(`http://127.0.0.1:${server.address.port}`);
  const stream = session.request({ ":method": "POST", ":path": "/t.T/Flood", "content-type": "application/grpc" });
  assert.ok((await filled.promise) < 100);
  stream.resume();
  await drained.promise;
  session.destroy();
  await server.close();
});

test("what is not gRPC is refused as HTTP, and a compressed message as gRPC", async () => {
  const server = await start({ "/t.T/Echo": echo });
  const session = http2.connect(`http://127.0.0.1:${server.address.port}`);
  const status = (headers: http2.OutgoingHttpHeaders, body?: Buffer): Promise<http2.IncomingHttpHeaders> =>
    new Promise((resolve) => {
      const stream = session.request(headers);
      let answer: http2.IncomingHttpHeaders = {};
      stream.on("response", (head) => (answer = head));
      stream.on("trailers", (trailers) => (answer = { ...answer, ...trailers }));
      stream.on("close", () => resolve(answer));
      stream.on("error", () => {});
      stream.resume();
      stream.end(body);
    });
  assert.equal((await status({ ":method": "GET", ":path": "/" }))[":status"], 405);
  assert.equal(
    (await status({ ":method": "POST", ":path": "/t.T/Echo", "content-type": "text/html" }))[":status"],
    415,
  );
  const grpcHead = { ":method": "POST", ":path": "/t.T/Echo", "content-type": "application/grpc" };
  assert.equal((await status(grpcHead, Buffer.from([1, 0, 0, 0, 0])))["grpc-status"], "12");
  session.destroy();
  await server.close();
});

test("a connection that does not answer pings is dropped", async () => {
  const server = await start({ "/t.T/Echo": echo }, { keepalive: { intervalMs: 10, timeoutMs: 10 } });
  const { connect: connectTcp } = await import("node:net");
  const socket = connectTcp(server.address.port, "127.0.0.1");
  // The client preface and empty settings, then silence.
  socket.write(
    Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]),
  );
  await new Promise((resolve) =>
    socket
      .on("close", resolve)
      .on("error", () => {})
      .resume(),
  );
  // The kernel told us before the server's own socket says that it is closed.
  await new Promise(setImmediate);
  assert.equal(server.connections, 0);
  await server.close();
});

test("a connection over its age is told to go away while its streams go on", async () => {
  const server = await start({ "/t.T/Echo": echo }, { connectionAgeMaxMs: 20 });
  const session = http2.connect(`http://127.0.0.1:${server.address.port}`);
  const stream = session.request({ ":method": "POST", ":path": "/t.T/Echo", "content-type": "application/grpc" });
  await new Promise((resolve) => session.on("goaway", resolve));
  stream.write(frameMessage(Buffer.from("still here")));
  const chunk = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
  assert.equal(chunk.subarray(5).toString(), "still here");
  session.destroy();
  await server.close();
});

test("a taken port is WF2010 and names the address", async () => {
  const server = await start({});
  await assert.rejects(start({}, { address: server.address }), (error: Error & { code: string }) => {
    assert.equal(error.code, "WF2010");
    assert.match(error.message, new RegExp(`127.0.0.1:${server.address.port}`));
    return true;
  });
  await server.close();
});

test("an identity is read only from a certificate with one URI that is a SPIFFE ID", () => {
  const spiffe = "spiffe://cluster.local/ns/default/sa/web";
  assert.equal(spiffeOf([spiffe]), spiffe);
  assert.equal(spiffeOf([spiffe, "spiffe://cluster.local/ns/default/sa/admin"]), undefined);
  assert.equal(spiffeOf(["https://example.com/"]), undefined);
  assert.equal(spiffeOf([]), undefined);
});
