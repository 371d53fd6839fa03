/** Clients that take all there is: connections, memory, names. The admin interface answers through all of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startApp } from "./data-path/app.ts";
import { startProxy } from "./data-path/bootstrap.ts";
import { createHttp1Client } from "./data-path/clients.ts";
import { attackTimeoutMs, sized } from "./hostile.ts";

const openFiles = sized(4_096, 20_000);
/** This process may open as many files as the sidecar, no more. */
const idleClients = sized(5_000, 19_500);
const distinctNames = sized(40_000, 1_000_000);

const isReady = async (admin: string): Promise<boolean> => (await callHttp(admin, { path: "/ready" })).status === 200;
const statOf = async (admin: string, name: string): Promise<number> =>
  Number((await callHttp(admin, { path: `/stats?filter=^${name}$` })).body.split(": ")[1]);

test("idle connections beyond the open files are refused, the admin answers, and a place given up is taken", {
  timeout: attackTimeoutMs,
}, async (t) => {
  await using app = await startApp();
  await using proxy = await startProxy(app, { openFiles });
  const { admin, ports } = proxy;
  const open = new Set<Socket>();
  let refused = 0;
  for (let i = 0; i < idleClients; i++) {
    const socket = connect(ports.http1, "127.0.0.1");
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      open.delete(socket);
      refused++;
    });
    socket.resume();
    if (i % 100 === 99) await once(socket, "connect").catch(() => {});
  }
  const most = Math.floor(openFiles * 0.8);
  await eventually("the surplus is refused", () => refused >= idleClients - most || undefined);
  assert.equal(open.size, most);
  assert.equal(await isReady(admin), true);
  assert.equal(await statOf(admin, "overload.downstream_cx_overflow"), idleClients - most);
  const client = createHttp1Client(ports.http1);
  assert.notEqual(await client.call(), undefined, "there is no place for one more");
  t.diagnostic(`${open.size} idle connections, ${refused} refused`);
  for (const socket of [...open].slice(0, 10)) socket.destroy();
  await eventually("a request has its place again", async () =>
    (await client.call()) === undefined ? true : undefined,
  );
  assert.equal(await isReady(admin), true);
  client.close();
  for (const socket of open) socket.destroy();
});

test("over its memory limit the proxy sheds with 503 and retry-after, and the admin answers", async () => {
  await using app = await startApp();
  await using proxy = await startProxy(app, { args: ["--memory-limit", "50MiB"] });
  const { admin, ports } = proxy;
  const sheds = async (): Promise<true | undefined> => {
    const socket = connect(ports.http1, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    socket.on("error", () => {});
    const [bytes] = (await Promise.race([once(socket, "data"), once(socket, "close")])) as [Buffer | boolean];
    socket.destroy();
    // Connections are refused as well once the pressure is full.
    return typeof bytes === "boolean" || /^HTTP\/1\.1 503 .*retry-after: 1/s.test(bytes.toString()) || undefined;
  };
  await eventually("requests are shed", sheds);
  assert.equal(await isReady(admin), true);
  assert.equal(await statOf(admin, "overload.envoy.overload_actions.stop_accepting_requests.active"), 1);
});

test("names that an object has of itself are ordinary names in headers, queries, cookies and paths", async () => {
  await using app = await startApp();
  await using proxy = await startProxy(app);
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"];
  const { ports } = proxy;
  for (const name of names) {
    const { status } = await callHttp(`127.0.0.1:${ports.http1}`, {
      path: `/${name}?${name}=1&${name}[${name}]=2`,
      headers: { [name.replaceAll("_", "-")]: name, cookie: `${name}=${name}` },
    });
    assert.equal(status, 200, name);
  }
  assert.equal(await isReady(proxy.admin), true);
  assert.equal((await statOf(proxy.admin, "server.uncaught_errors")) || 0, 0);
});

test("a head of a hundred thousand fields is refused before it is read to its end", async () => {
  await using app = await startApp();
  await using proxy = await startProxy(app);
  const fields = Array.from({ length: 100_000 }, (_, i) => `${i}: ${i}\r\n`).join("");
  const socket = connect(proxy.ports.http1, "127.0.0.1", () =>
    socket.write(`GET / HTTP/1.1\r\nhost: a\r\n${fields}\r\n`),
  );
  socket.on("error", () => {});
  const [bytes] = (await once(socket, "data")) as [Buffer];
  assert.match(bytes.toString(), /^HTTP\/1\.1 431 /);
  socket.destroy();
  assert.equal(await createHttp1Client(proxy.ports.http1).call(), undefined);
});

test("distinct paths, hosts and agents without number make no series of their own", {
  timeout: attackTimeoutMs,
}, async (t) => {
  await using app = await startApp();
  await using proxy = await startProxy(app);
  const { admin, ports } = proxy;
  const seriesOf = async (): Promise<number> =>
    (await callHttp(admin, { path: "/stats/prometheus" })).body.split("\n").filter((line) => !line.startsWith("#"))
      .length;
  const before = await seriesOf();
  const count = distinctNames;
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, part) => askDistinct(ports.http1, part * (count / 10), count / 10)),
  );
  const answered = answers.reduce((sum, each) => sum + each, 0);
  assert.equal(answered, count);
  t.diagnostic(`${count} names`);
  const after = await seriesOf();
  assert.ok(after <= before + 100 && after <= 2000, `${before} series became ${after}`);
});

/** Pipelines requests that have no name in common with any other; resolves with how many were answered. */
const askDistinct = async (port: number, from: number, count: number): Promise<number> => {
  const socket = connect(port, "127.0.0.1");
  let answered = 0;
  let rest = "";
  const done = new Promise<void>((resolve) => {
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      const parts = (rest + chunk).split("HTTP/1.1 200");
      answered += parts.length - 1;
      rest = (parts.at(-1) ?? "").slice(-16);
      if (answered >= count) resolve();
    });
    socket.on("close", () => resolve());
  });
  for (let i = from; i < from + count; i++) {
    const request = `GET /${i}/x?q=${i} HTTP/1.1\r\nhost: h${i}.example\r\nuser-agent: a${i}\r\n\r\n`;
    if (!socket.write(request)) await once(socket, "drain");
  }
  await done;
  socket.destroy();
  return answered;
};
