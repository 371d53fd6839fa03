/** A mesh that grows over the size from which sidecars ask for what they use, and falls below it: under traffic. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { runWeft } from "@weft/testkit/processes";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const above = 8;
const used = ["s0.example.com", "s1.example.com", "s2.example.com"];
const callers = 2;
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());

let echo: EchoServer;
let cp: TestControlPlane;
let plain: TestSidecar;
let threads: TestSidecar;

const entry = (at: number): object => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: `s${at}` },
  spec: {
    hosts: [`s${at}.example.com`],
    ports: [{ number: 80, name: "p", protocol: "HTTP" }],
    resolution: "STATIC",
    endpoints: [{ address: "127.0.0.1", ports: { p: echo.port } }],
  },
});
const entries = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, at) => `---\n${JSON.stringify(entry(from + at))}\n`).join("");

before(async () => {
  echo = stack.use(await startEchoServer("echo"));
  cp = stack.use(await startControlPlane({ yaml: entries(0, 4), args: ["--on-demand-above", String(above)] }));
  [plain, threads] = await Promise.all([
    startSidecar(cp, { name: "caller" }),
    startSidecar(cp, { name: "threads", args: ["--concurrency", "2"] }),
  ]);
  stack.use(plain);
  stack.use(threads);
});

const clusters = async ({ admin }: TestSidecar): Promise<number> => {
  const text = await (await fetch(`http://${admin}/clusters`)).text();
  return new Set(text.split("\n").flatMap((line) => /^(outbound\|80\|\|s\d+[^:]*)::/.exec(line)?.[1] ?? [])).size;
};

/** Calls without a pause until stopped, which gives each that did not end well. */
const traffic = (sidecar: TestSidecar) => {
  let over = false;
  const bad: string[] = [];
  let count = 0;
  const caller = async (index: number): Promise<void> => {
    for (let at = index; !over; at++) {
      const host = used[at % used.length] ?? "";
      const end = await callHttp(sidecar.outbound, { host }).then(
        ({ status, body }) => (status === 200 ? "" : `${host}: ${status} ${body}`),
        (error: unknown) => `${host}: ${String(error)}`,
      );
      if (end !== "") bad.push(end);
      count++;
    }
  };
  const all = Array.from({ length: callers }, (_, index) => caller(index));
  return {
    count: () => count,
    stop: async (): Promise<readonly string[]> => {
      over = true;
      await Promise.all(all);
      return bad;
    },
  };
};

const weft = async (...args: readonly string[]): Promise<string> => {
  const { stdout, stderr } = await runWeft(args, { env: { WEFT_CP: cp.http, WEFT_TOKEN_FILE: cp.adminTokenFile } });
  return stdout + stderr;
};

/** Each sidecar comes to have so many clusters, and no request fails meanwhile. */
const switched = async (change: () => Promise<unknown>, has: number): Promise<void> => {
  const running = [plain, threads].map(traffic);
  const stop = () => Promise.all(running.map((one) => one.stop()));
  await using _stopped = { [Symbol.asyncDispose]: async () => void (await stop()) };
  await eventually("there is traffic", () => running.every(({ count }) => count() > 50) || undefined);
  await change();
  for (const sidecar of [plain, threads])
    await eventually(`it has ${has}`, async () => (await clusters(sidecar)) === has || undefined);
  const before = running.map(({ count }) => count());
  await eventually(
    "traffic goes on",
    () => running.every(({ count }, at) => count() > (before[at] ?? 0) + 50) || undefined,
  );
  for (const [at, bad] of (await stop()).entries())
    assert.deepEqual(bad.slice(0, 5), [], `${bad.length} of ${running[at]?.count()}`);
};

test("a mesh that grows over the threshold leaves sidecars what they use, and fails no request", async () => {
  assert.equal(await clusters(plain), 4);
  await switched(() => cp.apply(entries(4, above + 4)), used.length);
});

test("the tools tell what was not asked for yet, and what the first request will find", async () => {
  const [status, known, later, unknown] = await Promise.all([
    weft("proxy-status"),
    weft("why", "caller", "s0.example.com"),
    weft("why", "caller", "s7.example.com"),
    weft("why", "caller", "nowhere.example.com"),
  ]);
  assert.match(status, /EDS +RDS +VHDS/);
  assert.match(status, /caller\.default( +\S+){4} +SYNCED/);
  assert.doesNotMatch(known, /not asked for yet/);
  assert.match(known, /forwarded to 127\.0\.0\.1/);
  assert.match(later, /s7\.example\.com is not asked for yet/);
  assert.match(later, /waits until the control plane has given it/);
  assert.match(later, /forwarded to 127\.0\.0\.1/);
  assert.match(unknown, /not asked for yet/);
  assert.match(unknown, /knows no such host/);
  assert.match(unknown, /502 by block_all/);
  assert.equal((await callHttp(plain.outbound, { host: "s7.example.com" })).status, 200);
  assert.doesNotMatch(await weft("why", "caller", "s7.example.com"), /not asked for yet/);
});

test("a mesh that falls to half of the threshold gives sidecars everything, and fails no request", async () => {
  const remove = (at: number): Promise<unknown> => cp.api("POST", "/v1/config/delete", entry(at));
  await switched(() => Promise.all(Array.from({ length: above }, (_, at) => remove(at + 4))), 4);
  assert.equal((await callHttp(plain.outbound, { host: "s3.example.com" })).status, 200);
  assert.notEqual((await callHttp(plain.outbound, { host: "s7.example.com" })).status, 200);
  assert.doesNotMatch(await weft("proxy-status"), /NACK|STALE/);
});
