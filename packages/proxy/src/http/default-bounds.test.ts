/** Bounds that hold where a listener says nothing. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { setRealTimer } from "@weft/net/clock";
import { hcm, listener, openPlane, routes } from "../runtime/testing/test-plane.ts";

const direct = { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, directResponse: { status: 200 } }] };

/** A plane whose clock goes so much faster. */
const openAll = async (speed: number, fields: object = {}) => {
  const all = openPlane({
    clock: { nowMs: () => performance.now() * speed, wallMs: () => Date.now() },
    setTimer: (callback, delayMs) => setRealTimer(callback, Math.ceil(delayMs / speed)),
  });
  await all.put(routes([direct]), listener("in", [hcm(fields)]));
  return { ...all, port: all.portOf("in") };
};

const send = async (port: number, bytes: string): Promise<string> => {
  const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => {});
  await once(socket, "close");
  return text;
};

const fieldsOf = (count: number): string => Array.from({ length: count }, (_, i) => `x-${i}: ${i}\r\n`).join("");

test("half a head is answered 408 in its time", async () => {
  await using all = await openAll(100);
  assert.match(await send(all.port, "GET / HTTP/1.1\r\nhost: a\r\nx-more: "), /^HTTP\/1\.1 408 /);
});

test("a listener may ask for no limit, and for one of its own", async () => {
  await using all = await openAll(1, { requestHeadersTimeout: "0.05s" });
  assert.match(await send(all.port, "GET / HT"), /^HTTP\/1\.1 408 /);
});

test("a connection without a request ends after its idle time", async () => {
  await using all = await openAll(100_000);
  assert.equal(await send(all.port, ""), "");
});

test("more than a hundred fields or 60 KiB are answered 431, a hundred are taken", async () => {
  await using all = await openAll(1);
  const ask = (fields: string) => send(all.port, `GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${fields}\r\n`);
  assert.match(await ask(fieldsOf(98)), /^HTTP\/1\.1 200 /);
  assert.match(await ask(fieldsOf(99)), /^HTTP\/1\.1 431 /);
  assert.match(await ask(`x-large: ${"x".repeat(59 * 1024)}\r\n`), /^HTTP\/1\.1 200 /);
  assert.match(await ask(`x-large: ${"x".repeat(60 * 1024)}\r\n`), /^HTTP\/1\.1 431 /);
});

test("an HTTP/2 client is told that it may have a hundred streams", async () => {
  await using all = await openAll(1);
  const client = connectHttp2(`http://127.0.0.1:${all.port}`);
  const [settings] = (await once(client, "remoteSettings")) as [{ maxConcurrentStreams: number }];
  assert.equal(settings.maxConcurrentStreams, 100);
  client.destroy();
});
