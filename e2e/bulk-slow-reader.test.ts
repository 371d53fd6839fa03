/** Readers that do not read: what they asked for waits at its source, and nobody else notices. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { queuedBytesMax } from "@weft/net/tcp/limits";
import { eventually } from "@weft/testkit/eventually";
import { bulkBytes, startApp } from "./data-path/app.ts";
import { startProxy } from "./data-path/bootstrap.ts";
import { createHttp1Client, createHttp2Client } from "./data-path/clients.ts";
import { heldBytes, sized, watched } from "./hostile.ts";

const readers = sized(40, 100);
const kernelMax = (name: string): number =>
  Number(/\d+\s*$/.exec(readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8"))?.[0]);
/** Both buffers of both connections, at the size this kernel lets them grow to. */
const socketBuffersMax = 2 * (kernelMax("tcp_rmem") + kernelMax("tcp_wmem"));

/** What the proxy may hold of each, and what of all together: the buffers that connections share. */
const heldEachMax = 192 * 1024 + 32 * 1024;
const sharedBytesMax = 12 * 1024 * 1024;

/** Asks for 100 MB and reads nothing. */
const openReader = (port: number, at: number): Socket => {
  const socket = connect(port, "127.0.0.1", () => socket.write(`GET /bulk?${at} HTTP/1.1\r\nhost: a\r\n\r\n`));
  socket.pause();
  return socket;
};

const readAll = (socket: Socket): Promise<number> =>
  new Promise((resolve, reject) => {
    let bytes = 0;
    let head = 0;
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      if (bytes === 0) head = chunk.indexOf("\r\n\r\n") + 4;
      bytes += chunk.length;
      if (bytes - head === bulkBytes) resolve(bytes - head);
    });
    socket.on("close", () => resolve(bytes - head));
    socket.resume();
  });

test("readers of 100 MB that do not read hold a bounded part of it, and other requests are answered", async (t) => {
  await using app = await startApp();
  await using proxy = await startProxy(app, { program: watched });
  const { ports, program } = proxy;
  const clients = [createHttp1Client(ports.http1), createHttp2Client(ports.http2)];
  for (let i = 0; i < 200; i++) for (const { call } of clients) assert.equal(await call(), undefined);
  const before = await heldBytes(program);
  const sockets = Array.from({ length: readers }, (_, at) => openReader(ports.http1, at));
  let last = -1;
  const sent = (): number => [...app.bulkSent.values()].reduce((sum, bytes) => sum + bytes, 0);
  await eventually("the application stops for want of room", async () => {
    for (let i = 0; i < 20; i++) for (const { call } of clients) assert.equal(await call(), undefined);
    const now = sent();
    const still = now === last && app.bulkSent.size === readers;
    last = now;
    return still || undefined;
  });
  for (const [url, bytes] of app.bulkSent) {
    assert.ok(bytes <= queuedBytesMax + socketBuffersMax, `${url}: ${bytes} bytes were taken for a reader of nothing`);
  }
  for (let i = 0; i < 300; i++) for (const { call } of clients) assert.equal(await call(), undefined);
  const grown = (await heldBytes(program)) - before;
  t.diagnostic(`${readers} readers: ${Math.round(grown / 1024)} KiB more in the proxy, ${sent()} bytes taken in all`);
  assert.ok(grown < readers * heldEachMax + sharedBytesMax, `${grown} bytes more are held`);
  const [first, ...others] = sockets;
  for (const socket of others) socket.destroy();
  assert.equal(await readAll(first ?? assert.fail()), bulkBytes, "who reads again gets all of it");
  first?.destroy();
  for (const { close } of clients) close();
});

test("streams of an HTTP/2 client that reads none of them hold a bounded part, and others are answered", async (t) => {
  await using app = await startApp();
  await using proxy = await startProxy(app, { program: watched });
  const { ports, program } = proxy;
  const other = createHttp1Client(ports.http1);
  for (let i = 0; i < 200; i++) assert.equal(await other.call(), undefined);
  const before = await heldBytes(program);
  const session = connectHttp2(`http://127.0.0.1:${ports.http1}`);
  const streams = Array.from({ length: readers }, (_, at) => session.request({ ":path": `/bulk?${at}` }));
  for (const stream of streams) stream.on("error", () => {});
  let last = -1;
  const sent = (): number => [...app.bulkSent.values()].reduce((sum, bytes) => sum + bytes, 0);
  await eventually("the application stops for want of room", async () => {
    for (let i = 0; i < 20; i++) assert.equal(await other.call(), undefined);
    const now = sent();
    const still = now === last && app.bulkSent.size === readers;
    last = now;
    return still || undefined;
  });
  for (const [url, bytes] of app.bulkSent) {
    assert.ok(bytes <= queuedBytesMax + socketBuffersMax, `${url}: ${bytes} bytes were taken for a reader of nothing`);
  }
  const grown = (await heldBytes(program)) - before;
  t.diagnostic(`${readers} streams: ${Math.round(grown / 1024)} KiB more in the proxy, ${sent()} bytes taken in all`);
  assert.ok(grown < readers * heldEachMax + sharedBytesMax, `${grown} bytes more are held`);
  session.destroy();
  assert.equal(await other.call(), undefined);
  other.close();
});
