import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { test } from "node:test";
import { Http2Connection } from "./connection.ts";
import type { Http2Settings } from "./settings.ts";
import { headerList, requestHead, responseHead } from "./testing/frames.ts";
import { Recorder } from "./testing/recorder.ts";

/** Drives a connection over a socket as a real driver would: one write a turn, back-pressure from the socket. */
const drive = (socket: net.Socket, connection: Http2Connection, sink: Recorder): void => {
  let due = false;
  let blocked = false;
  const flush = (): void => {
    due = false;
    if (blocked) return;
    const buffers = connection.takeOutput();
    if (buffers.length > 0) {
      blocked = true;
      socket.cork();
      for (const buffer of buffers) socket.write(buffer);
      socket.write("", () => {
        blocked = false;
        connection.outputWritten();
        flush();
      });
      socket.uncork();
    } else if (connection.dead) {
      socket.end();
    }
  };
  sink.hooks.onOutput = () => {
    if (!due) setImmediate(flush);
    due = true;
  };
  socket.on("data", (chunk: Buffer) => connection.receive(chunk));
  socket.on("close", () => connection.disconnected("socket closed"));
  socket.on("error", () => socket.destroy());
  connection.start();
};

const portOf = (server: { address(): net.AddressInfo | string | null }): number => {
  return (server.address() as net.AddressInfo).port;
};
const digest = (chunks: readonly Buffer[]): string => {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
};
const pattern = (bytes: number): Buffer => {
  const out = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) out[i] = (i * 31 + (i >>> 9)) & 0xff;
  return out;
};

/** Our server: answers with the request's body, its size in a trailer, and 103 before when asked. */
const echoServer = async (settings: Partial<Http2Settings>): Promise<net.Server> => {
  const server = net.createServer({ noDelay: true }, (socket) => {
    const sink = new Recorder();
    const connection = new Http2Connection({ role: "server", sink, nowMs: () => performance.now(), settings });
    const sizes = new Map<number, number>();
    const waiting = new Map<number, number>();
    sink.hooks.onRequest = (id, head, end) => {
      if (head.path === "/reset") {
        connection.reset(id, 8);
        return;
      }
      if (head.path === "/early") connection.respond(id, responseHead(103, [["link", "</style>"]]), false);
      connection.respond(id, responseHead(200, [["x-method", head.method]]), end);
      sizes.set(id, 0);
    };
    sink.hooks.onData = (id, chunk, end) => {
      sizes.set(id, sizes.get(id)! + chunk.length);
      if (connection.data(id, chunk, false)) connection.consume(id, chunk.length);
      else waiting.set(id, (waiting.get(id) ?? 0) + chunk.length);
      if (end) connection.trailers(id, headerList([["x-size", String(sizes.get(id))]]));
    };
    sink.hooks.onWritable = (id) => {
      connection.consume(id, waiting.get(id) ?? 0);
      waiting.delete(id);
    };
    drive(socket, connection, sink);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
};

const collect = async (stream: http2.ClientHttp2Stream): Promise<{ body: Buffer[]; trailers: unknown }> => {
  const body: Buffer[] = [];
  let trailers: unknown;
  stream.on("data", (chunk: Buffer) => body.push(chunk));
  stream.on("trailers", (headers) => {
    trailers = headers;
  });
  await once(stream, "end");
  return { body, trailers };
};

for (const streamWindow of [65_536, 1_000, 1 << 20]) {
  test(`a node:http2 client and our server echo bodies byte for byte, window ${streamWindow}`, async () => {
    const server = await echoServer({ streamWindow });
    const client = http2.connect(`http://127.0.0.1:${portOf(server)}`);
    const sizes = [0, 1, 999, 16_384, 65_537, streamWindow < 5_000 ? 100_000 : 3_000_000];
    await Promise.all(
      sizes.map(async (size) => {
        const sent = pattern(size);
        const stream = client.request({ ":method": "POST", ":path": "/early", cookie: "a=1" });
        stream.on("error", () => {});
        stream.end(sent);
        const { body } = await collect(stream);
        assert.equal(digest(body), digest([sent]));
      }),
    );
    client.close();
    await once(client, "close");
    server.close();
  });
}

test("a node:http2 client sees our heads, interim responses, trailers and resets", async () => {
  const server = await echoServer({});
  const client = http2.connect(`http://127.0.0.1:${portOf(server)}`);
  const stream = client.request({ ":method": "PUT", ":path": "/early" });
  let interim: unknown;
  stream.on("headers", (headers) => {
    interim = headers[":status"];
  });
  let status: unknown;
  stream.on("response", (headers) => {
    status = headers["x-method"];
  });
  stream.end("body");
  const { trailers } = await collect(stream);
  assert.deepEqual([interim, status], [103, "PUT"]);
  assert.equal((trailers as Record<string, string>)["x-size"], "4");
  const reset = client.request({ ":path": "/reset" });
  await once(reset, "close");
  assert.equal(reset.rstCode, 8);
  client.close();
  await once(client, "close");
  server.close();
});

test("our client and a node:http2 server exchange large bodies byte for byte, many at once", async () => {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.respond({ ":status": 200, "x-path": String(headers[":path"]) }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-done": "yes" }));
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = net.connect({ port: portOf(server), host: "127.0.0.1", noDelay: true });
  const sink = new Recorder();
  const client = new Http2Connection({ role: "client", sink, nowMs: () => performance.now() });
  const sent = pattern(1_500_000);
  const bodies = new Map<number, Buffer[]>();
  const offsets = new Map<number, number>();
  const STREAMS = 8;
  const send = (id: number): void => {
    for (let at = offsets.get(id)!; at < sent.length; ) {
      const chunk = sent.subarray(at, at + 50_000);
      at += chunk.length;
      offsets.set(id, at);
      if (!client.dataOwned(id, chunk, at >= sent.length)) return;
    }
  };
  const done = new Promise<void>((resolve) => {
    let over = 0;
    sink.hooks.onStreamEnd = () => {
      if (++over === STREAMS) resolve();
    };
  });
  sink.hooks.onData = (id, chunk) => {
    bodies.get(id)!.push(Buffer.from(chunk));
    client.consume(id, chunk.length);
  };
  sink.hooks.onWritable = send;
  drive(socket, client, sink);
  for (let i = 0; i < STREAMS; i++) {
    const id = client.request(requestHead("POST", `/${i}`), false);
    bodies.set(id, []);
    offsets.set(id, 0);
    send(id);
  }
  await done;
  for (const body of bodies.values()) assert.equal(digest(body), digest([sent]));
  assert.equal(sink.lines.filter((line) => line.endsWith("trailers [x-done=yes]")).length, STREAMS);
  client.shutdown();
  await once(socket, "close");
  assert.match(sink.lines.at(-1) ?? "", /^closed NO_ERROR/);
  server.close();
});
