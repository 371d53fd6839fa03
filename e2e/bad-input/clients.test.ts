/** Clients that send what is not HTTP, too much, too slowly or nothing: refused or closed in time, and nobody else notices. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startEchoServer } from "@weft/testkit/echo-server";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startWeft } from "@weft/testkit/processes";
import { sendRaw } from "@weft/testkit/raw-http";
import { type SteadyLoad, startLoad } from "@weft/testkit/steady-load";
import { impatientBootstrap } from "./bootstrap.ts";

const stack = new AsyncDisposableStack();
let http: { port: number; address: string };
let admin: string;
let sidecar: Program;
let load: SteadyLoad;

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-bad-clients-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const app = stack.use(await startEchoServer("app"));
  const [port, adminPort] = [await findFreePort("127.0.0.1", 0), await findFreePort("127.0.0.1", 0)];
  http = { port, address: `127.0.0.1:${port}` };
  admin = `127.0.0.1:${adminPort}`;
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(impatientBootstrap({ http: port, admin: adminPort, app: app.port })));
  sidecar = stack.use(startWeft(["sidecar", "--bootstrap", file]));
  await sidecar.waitFor(/\bready\b/);
  // Somebody well-behaved is there all the while.
  load = stack.use(startLoad(http.address, { path: "/steady" }, ({ status }) => status === 200, 1));
});

after(async () => {
  await load.stop();
  const { failures } = load;
  const uncaught = await (await fetch(`http://${admin}/stats?filter=uncaught`)).text();
  await stack.disposeAsync();
  assert.deepEqual(failures, [], "somebody else was disturbed");
  assert.doesNotMatch(uncaught, /: [1-9]/);
});

const header = (count: number, value = "v"): string =>
  Array.from({ length: count }, (_, i) => `x-${i}: ${value}\r\n`).join("");

for (const [name, bytes, status] of [
  ["text that is no request", "hello there\r\n\r\n", 400],
  ["bytes that are no text", "\x00\x01\x02\xff\xfe\r\n\r\n", 400],
  ["a request of another protocol", "SSH-2.0-OpenSSH_9.2\r\n", 400],
  ["a version that is not there", "GET / HTTP/3.7\r\nhost: a\r\n\r\n", 426],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400],
  [
    "a length and chunks",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
  ],
  ["a header line without a colon", "GET / HTTP/1.1\r\nhost: a\r\nnonsense\r\n\r\n", 400],
  ["a head larger than the limit", `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(9000)}\r\n\r\n`, 431],
  ["more headers than the limit", `GET / HTTP/1.1\r\nhost: a\r\n${header(60)}\r\n`, 431],
] as const) {
  test(`refused: ${name}`, async () => {
    const answer = await sendRaw(http.address, bytes, { graceMs: 1500 });
    assert.equal(answer.status, status);
    assert.equal(answer.closed, true);
    await load.more(2);
  });
}

test("a head without an end is refused as soon as it is too large, not held", async () => {
  const answer = await sendRaw(http.address, `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(100_000)}`, {
    graceMs: 1500,
  });
  assert.equal(answer.status, 431);
});

/**
 * Resolves with what came and after how long the connection was closed. That it is not closed before its time is the
 * promise, and is asserted; that it is closed at all, however late on a busy machine, the test's own timeout sees to.
 */
const untilClosed = (send: (socket: Socket) => void): Promise<{ text: string; afterMs: number }> =>
  new Promise((resolve) => {
    const startedMs = performance.now();
    const socket = connect(http.port, "127.0.0.1");
    let text = "";
    socket.on("connect", () => send(socket));
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    socket.on("close", () => resolve({ text, afterMs: performance.now() - startedMs }));
  });

test("a client that sends nothing is closed after the listener filters' timeout", { timeout: 30_000 }, async (t) => {
  const { text, afterMs } = await untilClosed(() => {});
  t.diagnostic(`closed after ${Math.round(afterMs)} ms`);
  assert.equal(text, "");
  assert.ok(afterMs >= 350, `${afterMs}`);
});

test("a client that sends its head byte by byte has so long for it", { timeout: 30_000 }, async (t) => {
  let dripping: NodeJS.Timeout | undefined;
  const { text, afterMs } = await untilClosed((socket) => {
    socket.write("GET / HTTP/1.1\r\nhost: a\r\n");
    dripping = setInterval(() => socket.write("x"), 50);
  });
  clearInterval(dripping);
  t.diagnostic(`closed after ${Math.round(afterMs)} ms: ${text.split("\r\n")[0]}`);
  assert.match(text, /^HTTP\/1\.1 408 /);
  assert.ok(afterMs >= 450, `${afterMs}`);
});

test("a client that stops in the middle of its body is answered 408", { timeout: 30_000 }, async (t) => {
  const { text, afterMs } = await untilClosed((socket) =>
    socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"),
  );
  t.diagnostic(`closed after ${Math.round(afterMs)} ms: ${text.split("\r\n")[0]}`);
  assert.match(text, /^HTTP\/1\.1 408 /);
});

test("a connection kept alive and unused is closed after its idle timeout", { timeout: 30_000 }, async (t) => {
  const { text, afterMs } = await untilClosed((socket) => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
  t.diagnostic(`closed after ${Math.round(afterMs)} ms`);
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.ok(afterMs >= 650, `${afterMs}`);
});

test("a client that does not read holds back its own answer only, within bounds", { timeout: 30_000 }, async (t) => {
  const rss = async (): Promise<number> => {
    const text = await (await fetch(`http://${admin}/memory`)).json();
    return Number((text as { total_physical_bytes: string }).total_physical_bytes) / 1e6;
  };
  const before = await rss();
  const size = 200_000_000;
  const socket = connect(http.port, "127.0.0.1");
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.pause();
  socket.write(`GET /big/${size} HTTP/1.1\r\nhost: a\r\n\r\n`);
  await load.more(50);
  const grown = (await rss()) - before;
  t.diagnostic(`${Math.round(grown)} MB more while a client leaves ${size / 1e6} MB unread`);
  assert.ok(grown < 80, `${grown} MB`);
  socket.destroy();
  assert.equal((await callHttp(http.address, { path: "/after" })).status, 200);
});
