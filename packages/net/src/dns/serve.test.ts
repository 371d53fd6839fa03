/** Sockets for DNS: what goes wrong behind them or before them stays one client's matter. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { setRealTimer } from "../clock.ts";
import { createTcpAsk, createUdpAsk } from "./exchange.ts";
import { type DnsQuery, type DnsSockets, dnsPipelinedMax, serveDns } from "./serve.ts";

const address = { host: "127.0.0.1", port: 0 };
const framed = (...messages: readonly string[]): Buffer =>
  Buffer.concat(messages.map((text) => Buffer.concat([Buffer.of(0, text.length), Buffer.from(text)])));

const serve = async (
  stack: AsyncDisposableStack,
  answer: (query: DnsQuery) => Promise<Buffer | undefined>,
  over: { readonly reusePort?: boolean; readonly port?: number } = {},
): Promise<{ readonly port: number; readonly sockets: DnsSockets }> => {
  const sockets = serveDns({
    address: { ...address, port: over.port ?? 0 },
    reusePort: over.reusePort === true,
    setTimer: setRealTimer,
    answer,
  });
  stack.defer(() => sockets.close());
  return { port: (await sockets.bound).port, sockets };
};

const asking = (port: number, tcp: boolean, text: string): Promise<string> =>
  (tcp ? createTcpAsk : createUdpAsk)(setRealTimer)({
    server: { ...address, port },
    message: Buffer.from(text),
    timeoutMs: tcp ? 5_000 : 100,
    accept: () => true,
  }).then(String);

test("a question that nobody can answer harms its asker alone, and closes his connection", async () => {
  await using stack = new AsyncDisposableStack();
  const { port } = await serve(stack, async ({ bytes }) => {
    if (String(bytes) === "bad") throw new Error("not to be answered");
    return bytes;
  });
  await assert.rejects(asking(port, true, "bad"), /closed without an answer/);
  await assert.rejects(asking(port, false, "bad"), /timed out/);
  assert.deepEqual([await asking(port, true, "good"), await asking(port, false, "good")], ["good", "good"]);
});

test("of one connection so many questions are under way and no more, and all of them are answered", async () => {
  await using stack = new AsyncDisposableStack();
  const waiting: (() => void)[] = [];
  const { port } = await serve(stack, async ({ bytes }) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return bytes;
  });
  const questions = Array.from({ length: dnsPipelinedMax + 5 }, (_, index) => String(index).padStart(4, "0"));
  const client = connect(port, address.host);
  stack.defer(() => void client.destroy());
  const parts: Buffer[] = [];
  client.on("data", (bytes: Buffer) => parts.push(bytes));
  client.end(framed(...questions));
  while (waiting.length < dnsPipelinedMax) await new Promise(setImmediate);
  // A question from elsewhere is answered meanwhile, so what is read by now is all that is read.
  const other = asking(port, true, "else");
  while (waiting.length < dnsPipelinedMax + 1) await new Promise(setImmediate);
  waiting.pop()?.();
  assert.equal(await other, "else");
  assert.equal(waiting.length, dnsPipelinedMax);
  const closed = once(client, "close");
  let told = 0;
  while (told < questions.length) {
    for (; told < waiting.length; told++) waiting[told]?.();
    await new Promise(setImmediate);
  }
  await closed;
  assert.equal(Buffer.concat(parts).length, framed(...questions).length);
});

test("sockets that are closed before they are open open no more", async () => {
  await using stack = new AsyncDisposableStack();
  const { port, sockets } = await serve(stack, async ({ bytes }) => bytes);
  sockets.close();
  const early = serveDns({
    address: { ...address, port },
    reusePort: false,
    setTimer: setRealTimer,
    answer: async () => undefined,
  });
  early.close();
  await assert.rejects(early.bound, /closed before it was open/);
  const again = await serve(stack, async ({ bytes }) => bytes, { port });
  assert.equal(await asking(again.port, false, "x"), "x");
});

test("a port that may be shared is still had alone where any port will do", async () => {
  await using stack = new AsyncDisposableStack();
  const all = await Promise.all(
    Array.from({ length: 8 }, () => serve(stack, async ({ bytes }) => bytes, { reusePort: true })),
  );
  assert.equal(new Set(all.map(({ port }) => port)).size, all.length);
});
