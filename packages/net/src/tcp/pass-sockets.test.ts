import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { realClock, setRealTimer } from "../clock.ts";
import { makePrivateFolder } from "../process/private-folder.ts";
import { descriptorOf, duplicateDescriptor } from "./libc.ts";
import { offerSockets, type SocketOffer } from "./offer-sockets.ts";
import type { PassedSocket } from "./pass-sockets.ts";
import { takeSockets } from "./take-sockets.ts";
import { loadUnixCalls } from "./unix-messages.ts";

const program = join(import.meta.dirname, "testing/listening-process.ts");

const start = (t: { after: (stop: () => void) => void }, ...args: readonly string[]) => {
  const child: ChildProcess = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => void child.kill("SIGKILL"));
  assert.ok(child.stdout);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { exited: once(child, "exit"), line: async (): Promise<string> => (await lines.next()).value ?? "ended" };
};

const openServers = async (count: number): Promise<readonly Server[]> => {
  const servers = Array.from({ length: count }, () => createServer((socket) => socket.end("here")));
  await Promise.all(
    servers.map((server) => {
      server.listen(0, "127.0.0.1");
      return once(server, "listening");
    }),
  );
  return servers;
};
const copyOf = (server: Server): number => duplicateDescriptor(descriptorOf(server) ?? -1) ?? -1;
const socketsOf = (servers: readonly Server[]): readonly PassedSocket[] =>
  servers.map((server, index) => ({ name: `socket-${index}`, descriptor: copyOf(server) }));
type Events = Pick<SocketOffer, "onTaken" | "onRefused">;
const offer = (path: string, servers: readonly Server[], events: Events): Promise<Disposable> =>
  offerSockets(path, {
    ...events,
    sockets: async () => socketsOf(servers),
    readyMs: 60_000,
    nowMs: realClock.nowMs,
    setTimer: setRealTimer,
  });
const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

test("a listening socket goes from process to process under a stream of connections, and none is refused or reset", async (t) => {
  using folder = makePrivateFolder("weft-pass-");
  const path = join(folder.path, "take");
  const first = start(t, "first", path);
  const port = Number(/^listening (\d+)$/.exec(await first.line())?.[1]);
  const answers = { first: 0, second: 0 };
  const failures: string[] = [];
  const call = () =>
    new Promise<void>((resolve) => {
      let answer = "";
      const socket = connect({ host: "127.0.0.1", port });
      socket.on("data", (bytes) => {
        answer += bytes.toString();
      });
      socket.on("error", (error) => failures.push(error.message));
      socket.on("close", () => {
        if (answer === "first" || answer === "second") answers[answer]++;
        else failures.push(`"${answer}"`);
        resolve();
      });
    });
  let going = true;
  const caller = async (): Promise<void> => {
    while (going) await call();
  };
  const callers = Array.from({ length: 8 }, caller);
  while (answers.first < 200) await new Promise(setImmediate);

  const second = start(t, "second", path);
  assert.equal(await second.line(), "got web");
  assert.equal(await second.line(), "accepting");
  assert.equal(await first.line(), "taken");
  const before = answers.second;
  while (answers.second < before + 200) await new Promise(setImmediate);
  await first.exited;
  const after = answers.second;
  while (answers.second < after + 200) await new Promise(setImmediate);
  going = false;
  await Promise.all(callers);
  assert.deepEqual(failures, []);
});

test("many sockets arrive each under its name, and what is not claimed is closed", async (t) => {
  using folder = makePrivateFolder("weft-pass-");
  const path = join(folder.path, "take");
  const servers = await openServers(150);
  t.after(() => servers.map((server) => server.close()));
  const taken = Promise.withResolvers<void>();
  await offer(path, servers, {
    onTaken: taken.resolve,
    onRefused: (reason) => taken.reject(new Error(reason)),
  });
  const before = openDescriptors();
  const sockets = await takeSockets(path);
  assert.equal(sockets.names().length, 150);
  const descriptor = sockets.claim("socket-149");
  assert.equal(sockets.claim("socket-149"), undefined, "each once");
  assert.equal(sockets.claim("nobody"), undefined);
  const copy = createServer();
  copy.listen({ fd: descriptor });
  await once(copy, "listening");
  assert.deepEqual(copy.address(), servers[149]?.address());
  assert.equal(await sockets.confirm(), "stops");
  await taken.promise;
  sockets[Symbol.dispose]();
  copy.close();
  await once(copy, "close");
  // The offer's own listening socket has gone as well.
  assert.ok(openDescriptors() <= before);
});

test("who goes without confirming has taken nothing, and the next may", async () => {
  using folder = makePrivateFolder("weft-pass-");
  const path = join(folder.path, "take");
  const servers = await openServers(1);
  const refused = Promise.withResolvers<string>();
  const taken = Promise.withResolvers<void>();
  await offer(path, servers, {
    onTaken: taken.resolve,
    onRefused: refused.resolve,
  });
  (await takeSockets(path))[Symbol.dispose]();
  assert.match(await refused.promise, /went without taking/);
  const second = await takeSockets(path);
  assert.equal(await second.confirm(), "stops");
  await taken.promise;
  second[Symbol.dispose]();
  for (const server of servers) server.close();
});

test("what is no listening socket, or no answer of ours, is refused and leaves nothing open", async () => {
  using folder = makePrivateFolder("weft-pass-");
  const calls = loadUnixCalls() ?? assert.fail("the C library cannot be called");
  const speak = async (say: (fd: number) => void): Promise<unknown> => {
    const path = join(folder.path, `bad-${Math.random()}`);
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      say(descriptorOf(socket) ?? -1);
      socket.destroy();
    });
    server.listen(path);
    await once(server, "listening");
    const before = openDescriptors();
    const error = await takeSockets(path).then(
      () => assert.fail("taken"),
      (reason: unknown) => reason,
    );
    server.close();
    await once(server, "close");
    assert.ok(openDescriptors() < before, "descriptors are left");
    return error;
  };
  const framed = (text: string): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(text));
    return Buffer.concat([length, Buffer.from(text)]);
  };
  const code = { code: "WF5006" };
  const refusals: readonly (readonly [(fd: number) => void, RegExp])[] = [
    [(fd) => calls.send(fd, framed('{"names":["a"],"last":true}'), [fd]), /does not listen/],
    [(fd) => calls.send(fd, framed('{"names":["a","b"],"last":true}'), [fd]), /2 names came with 1/],
    [(fd) => calls.send(fd, framed('{"names":"a","last":true}'), []), /not a list/],
    [(fd) => calls.send(fd, framed("nonsense"), []), /JSON/],
    [(fd) => calls.send(fd, Buffer.from([0xff, 0xff, 0xff, 0xff]), []), /too long/],
    [(fd) => calls.send(fd, Buffer.from([0, 0]), []), /ended the conversation/],
    [() => {}, /ended the conversation/],
  ];
  for (const [say, reason] of refusals) {
    const error = await speak(say);
    await assert.rejects(Promise.reject(error), { ...code, message: reason });
  }
});

test("where nobody offers, and who offers but says nothing, is told in time", async () => {
  using folder = makePrivateFolder("weft-pass-");
  await assert.rejects(takeSockets(join(folder.path, "nobody")), { code: "WF5007" });
  const path = join(folder.path, "silent");
  const server = createServer();
  server.listen(path);
  await once(server, "listening");
  await assert.rejects(takeSockets(path, 50), { code: "WF5006", message: /in time/ });
  server.close();
});

test("a process of another user gets nothing", {
  skip: process.getuid?.() === 0 ? false : "only root can be somebody else",
}, async () => {
  using folder = makePrivateFolder("weft-pass-");
  const path = join(folder.path, "take");
  const servers = await openServers(1);
  const refused = Promise.withResolvers<string>();
  using _offer = await offer(path, servers, {
    onTaken: () => assert.fail("taken"),
    onRefused: refused.resolve,
  });
  chmodSync(folder.path, 0o755);
  chmodSync(path, 0o777);
  const stranger = spawn(
    process.execPath,
    [
      "-e",
      `require("net").connect(${JSON.stringify(path)}).on("data", () => console.log("data")).on("error", () => {})`,
    ],
    { uid: 65_534, gid: 65_534, cwd: "/", stdio: ["ignore", "pipe", "inherit"] },
  );
  assert.match(await refused.promise, /user 65534 is not/);
  const said: Buffer[] = [];
  for await (const part of stranger.stdout) said.push(part as Buffer);
  assert.equal(Buffer.concat(said).toString(), "");
  for (const server of servers) server.close();
});

test("who is not ready in time is let go, and learns it when it confirms", async () => {
  using folder = makePrivateFolder("weft-pass-");
  const path = join(folder.path, "take");
  const servers = await openServers(1);
  const reasons: string[] = [];
  let nowMs = 0;
  using _offer = await offerSockets(path, {
    sockets: async () => socketsOf(servers),
    onTaken: () => assert.fail("taken"),
    onRefused: (reason) => reasons.push(reason),
    readyMs: 60_000,
    nowMs: () => nowMs,
    setTimer: () => ({ [Symbol.dispose]: () => undefined }),
  });
  using late = await takeSockets(path);
  nowMs = 60_000;
  assert.equal(await late.confirm(), "goes on");
  assert.match(reasons[0] ?? "", /not ready within 60 s/);
  for (const server of servers) server.close();
});

test("who confirms to a process that has ended is alone", async () => {
  using folder = makePrivateFolder("weft-pass-");
  const path = join(folder.path, "take");
  const servers = await openServers(1);
  const quiet: Events = { onTaken: () => assert.fail("taken"), onRefused: () => undefined };
  const old = await offer(path, servers, quiet);
  using sockets = await takeSockets(path);
  old[Symbol.dispose]();
  assert.equal(await sockets.confirm(), "ended");
  for (const server of servers) server.close();
});

test("descriptors of one socket are passed once, and a file at the path is not touched", async () => {
  using folder = makePrivateFolder("weft-pass-");
  const path = join(folder.path, "take");
  const [server] = await openServers(1);
  assert.ok(server);
  const before = openDescriptors();
  {
    using _offer = await offer(path, [server, server, server], {
      onTaken: () => undefined,
      onRefused: () => undefined,
    });
    using sockets = await takeSockets(path);
    assert.deepEqual(sockets.names(), ["socket-0"]);
    assert.equal(await sockets.confirm(), "stops");
  }
  // The conversation ends a moment later.
  for (let turn = 0; turn < 1000 && openDescriptors() > before; turn++) await new Promise(setImmediate);
  assert.ok(openDescriptors() <= before);
  const file = join(folder.path, "precious");
  writeFileSync(file, "kept");
  const quiet: Events = { onTaken: () => undefined, onRefused: () => undefined };
  await assert.rejects(offer(file, [server], quiet), { code: "WF5006" });
  assert.equal(readFileSync(file, "utf8"), "kept");
  server.close();
});
