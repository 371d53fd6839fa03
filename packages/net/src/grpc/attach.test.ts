import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import http2 from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { silentLogger } from "@weft/core/world";
import { route } from "../http/routes.ts";
import { openHttpServer } from "../http/server.ts";
import { attachGrpc } from "./attach.ts";
import { streamedReplies, unaryReply } from "./replies.ts";
import { GrpcError } from "./status.ts";

const reverse = (bytes: Uint8Array): Uint8Array => {
  if (bytes.length === 0) throw new GrpcError(3, "nothing to turn around");
  return Buffer.from(bytes).reverse();
};
const handlers = new Map([
  ["/t.T/Once", unaryReply(reverse)],
  ["/t.T/Often", streamedReplies(reverse)],
]);
const open = () =>
  openHttpServer({
    address: { host: "127.0.0.1", port: 0 },
    routes: [route("POST", "/x", ({ body }) => ({ kind: "text", body: `got ${body.length}` }))],
    log: silentLogger,
    grpc: handlers,
  });
const same = (bytes: Buffer): Buffer => bytes;
const once = (client: grpc.Client, text: string): Promise<string> =>
  new Promise((resolve, reject) =>
    client.makeUnaryRequest("/t.T/Once", same, same, Buffer.from(text), (error, value) =>
      error ? reject(error) : resolve(String(value)),
    ),
  );

test("one port serves HTTP/1 and gRPC, each as its first bytes say", async () => {
  const server = await open();
  const at = `127.0.0.1:${server.address.port}`;
  const client = new grpc.Client(at, grpc.credentials.createInsecure());
  assert.equal(await once(client, "abc"), "cba");
  await assert.rejects(once(client, ""), { code: 3 });
  const call = client.makeBidiStreamRequest("/t.T/Often", same, same);
  for (const [there, back] of [
    ["ab", "ba"],
    ["cd", "dc"],
  ] as const) {
    call.write(Buffer.from(there));
    assert.equal(String(await new Promise((resolve) => call.once("data", resolve))), back);
  }
  call.end();
  const body = "x".repeat(200_000);
  assert.equal(await (await fetch(`http://${at}/x`, { method: "POST", body })).text(), "got 200000");
  client.close();
  await server.close();
});

test("first bytes that come one by one are waited for, whatever they turn out to be", async () => {
  const server = await open();
  const { port } = server.address;
  const slowly = async (bytes: Buffer): Promise<string> => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const answer = new Promise<Buffer>((resolve) => socket.once("data", resolve));
    for (const byte of bytes) {
      await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
      await new Promise(setImmediate);
    }
    const first = await answer;
    socket.destroy();
    return first.toString("latin1");
  };
  const preface = Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  ]);
  // A SETTINGS frame: length, then type 4.
  assert.equal((await slowly(preface)).charCodeAt(3), 4);
  assert.match(
    await slowly(Buffer.from("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")),
    /^HTTP\/1\.1 200 /,
  );
  assert.match(
    await slowly(Buffer.from("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")),
    /^HTTP\/1\.1 405 /,
  );
  await server.close();
});

test("a connection that says nothing is closed in time, and closing ends gRPC connections too", async () => {
  const server = createServer((_, response) => response.end("ok"));
  const attached = attachGrpc(server, { handlers, log: silentLogger, firstBytesTimeoutMs: 20 });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) =>
    connect(port, "127.0.0.1")
      .on("error", () => {})
      .once("close", resolve)
      .resume(),
  );
  const session = http2.connect(`http://127.0.0.1:${port}`);
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  const ended = new Promise((resolve) => session.on("error", () => {}).once("close", resolve));
  attached[Symbol.dispose]();
  await ended;
  const status = await new Promise((resolve) =>
    request({ port, host: "127.0.0.1", path: "/" }, (response) => resolve(response.resume().statusCode)).end(),
  );
  assert.equal(status, 200);
  server.closeAllConnections();
  server.close();
});

test("who asks again without reading the answer is sent away", async () => {
  const large = Buffer.alloc(900_000, 1);
  const server = createServer();
  const replies = new Map([["/t.T/Large", streamedReplies(() => large)]]);
  attachGrpc(server, { handlers: replies, log: silentLogger });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ":method": "POST", ":path": "/t.T/Large", "content-type": "application/grpc" });
  const trailers = new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("trailers", resolve));
  for (let n = 0; n < 3; n++) stream.write(Buffer.from([0, 0, 0, 0, 0]));
  stream.once("response", () => setImmediate(() => stream.resume()));
  assert.equal((await trailers)["grpc-status"], "8");
  session.destroy();
  server.close();
});
