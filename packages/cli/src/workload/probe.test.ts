import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { GrpcHandler } from "@weft/net/grpc/calls";
import { openGrpcServer } from "@weft/net/grpc/server";
import { startProbe } from "./probe-loop.ts";
import { askProgram, probeTimes } from "./probe-program.ts";

/** Timers that a test lets run out, in order. */
const manualTimers = () => {
  const waiting: { callback: () => void; delayMs: number }[] = [];
  return {
    waiting,
    setTimer: (callback: () => void, delayMs: number): Disposable => {
      const entry = { callback, delayMs };
      waiting.push(entry);
      return { [Symbol.dispose]: () => void waiting.splice(waiting.indexOf(entry), 1) };
    },
    async fire(): Promise<number> {
      const next = waiting.shift();
      next?.callback();
      await Promise.resolve();
      await Promise.resolve();
      return next?.delayMs ?? -1;
    },
  };
};

test("health changes only after as many answers as the thresholds say, and a break begins the count anew", async () => {
  const timers = manualTimers();
  const said: string[] = [];
  const answers = [undefined, "no", undefined, undefined, "no", undefined, "no", "no", "no", undefined, undefined];
  const times = { initialDelayMs: 5, periodMs: 7, successThreshold: 2, failureThreshold: 3 };
  using _probe = startProbe(times, {
    ask: async () => answers.shift(),
    changed: (health, why) => void said.push(`${health} ${why}`.trim()),
    setTimer: timers.setTimer,
  });
  assert.deepEqual(said, ["unhealthy it has not been asked yet"]);
  assert.equal(await timers.fire(), 5);
  for (let i = 0; i < 10; i++) assert.equal(await timers.fire(), 7);
  assert.deepEqual(said.slice(1), ["healthy", "unhealthy no", "healthy"]);
});

test("nothing is said once the probe has ended, also by an answer that was under way", async () => {
  const timers = manualTimers();
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const probe = startProbe(
    { initialDelayMs: 0, periodMs: 1, successThreshold: 1, failureThreshold: 1 },
    { ask: () => promise, changed: (health) => void said.push(health), setTimer: timers.setTimer },
  );
  await timers.fire();
  probe[Symbol.dispose]();
  resolve(undefined);
  await promise;
  await Promise.resolve();
  assert.deepEqual([said, timers.waiting.length], [["unhealthy"], 0]);
});

const startHealth = async (statusOf: (service: string) => number) => {
  const check: GrpcHandler = {
    kind: "unary",
    handle: async (request) => Uint8Array.of(0x08, statusOf(Buffer.from(request.subarray(2)).toString())),
  };
  const server = await openGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    handlers: new Map([["/grpc.health.v1.Health/Check", check]]),
    log: silentLogger,
    random: () => 0.5,
  });
  return { address: server.address, [Symbol.asyncDispose]: () => server.close() };
};

const listening = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

test("HTTP: 200 to 399 is well; the path, the host and the headers are as written", async () => {
  const seen: string[] = [];
  const server = createServer(({ url, headers }, response) => {
    seen.push(`${url} ${headers["x-one"]}`);
    response.writeHead(Number(url?.slice(1)) || 200).end();
  });
  const port = await listening(server);
  const ask = (path: string) =>
    askProgram({ httpGet: { path, port, httpHeaders: [{ name: "x-one", value: "1" }] } }, {});
  assert.equal(await ask("/204"), undefined);
  assert.equal(await ask("/302"), undefined);
  assert.equal(await ask("/404"), "it answered 404");
  assert.equal(await ask("/500"), "it answered 500");
  assert.deepEqual(seen[0], "/204 1");
  await new Promise((resolve) => server.close(resolve));
  assert.match((await ask("/")) ?? "", /ECONNREFUSED/);
});

test("TCP: a port that opens is well", async () => {
  const server = createTcpServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  assert.equal(await askProgram({ tcpSocket: { port } }, {}), undefined);
  await new Promise((resolve) => server.close(resolve));
  assert.equal(await askProgram({ tcpSocket: { port } }, {}), `port ${port} does not open`);
});

test("gRPC: SERVING is well, for the service asked about", async () => {
  const asked: string[] = [];
  await using server = await startHealth((service) => {
    asked.push(service);
    return service === "" ? 1 : 2;
  });
  const { port } = server.address;
  assert.equal(await askProgram({ grpc: { port } }, {}), undefined);
  assert.equal(await askProgram({ grpc: { port, service: "shop.Cart" } }, {}), "it says that it is not serving");
  assert.deepEqual(asked, ["", "shop.Cart"]);
  assert.notEqual(await askProgram({ grpc: { port, service: "x".repeat(200) } }, {}), undefined);
});

test("a command is well when it ends with 0 in time", async () => {
  const ask = (script: string) => askProgram({ exec: { command: [process.execPath, "-e", script] } }, process.env);
  assert.equal(
    await askProgram({ exec: { command: [process.execPath, "-e", ""] }, timeoutSeconds: 30 }, process.env),
    undefined,
  );
  assert.match(
    (await askProgram(
      { exec: { command: [process.execPath, "-e", "process.exit(3)"] }, timeoutSeconds: 30 },
      process.env,
    )) ?? "",
    /ended with 3/,
  );
  assert.match((await ask("setInterval(() => {}, 1000)")) ?? "", /did not end within 1000 ms/);
  assert.match((await askProgram({ exec: { command: ["/no/such/program"] } }, {})) ?? "", /ENOENT/);
});

test("times have Kubernetes' defaults where the probe has none", () => {
  assert.deepEqual(probeTimes({}), {
    initialDelayMs: 0,
    periodMs: 10_000,
    timeoutMs: 1000,
    successThreshold: 1,
    failureThreshold: 3,
  });
  const times = {
    initialDelaySeconds: 1,
    periodSeconds: 2,
    timeoutSeconds: 3,
    successThreshold: 4,
    failureThreshold: 5,
  };
  assert.deepEqual(probeTimes(times), {
    initialDelayMs: 1000,
    periodMs: 2000,
    timeoutMs: 3000,
    successThreshold: 4,
    failureThreshold: 5,
  });
});

test("a host that is given is asked in place of this machine, and a scheme by TLS", async () => {
  const server = createServer((request, response) => response.writeHead(request.headers.host ? 200 : 500).end());
  const port = await listening(server);
  const elsewhere = "127.0.0.77";
  assert.equal(await askProgram({ httpGet: { port, host: "127.0.0.1" } }, {}), undefined);
  assert.match((await askProgram({ httpGet: { port, host: elsewhere } }, {})) ?? "", /ECONNREFUSED/);
  assert.notEqual(await askProgram({ httpGet: { port, scheme: "HTTPS" } }, {}), undefined);
  assert.notEqual(await askProgram({ tcpSocket: { port, host: elsewhere } }, {}), undefined);
  assert.equal(await askProgram({ tcpSocket: { port, host: "127.0.0.1" } }, {}), undefined);
  await new Promise((resolve) => server.close(resolve));
});
