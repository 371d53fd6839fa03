/** kill -9 and SIGTERM in the middle of load: what fails, and for how long. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp, type HttpAnswer } from "@weft/testkit/http-call";
import { type Program, startProgram } from "@weft/testkit/processes";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { type SteadyLoad, startLoad } from "@weft/testkit/steady-load";

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
const oneAttempt = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http: [{route: [{destination: {host: catalog}}], retries: {attempts: 0}}]
`;
const ejecting = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 100}
`;
const retrying = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http: [{route: [{destination: {host: catalog}}], retries: {attempts: 3, retryOn: "connect-failure,503"}}]
`;
const changed = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http:
    - route: [{destination: {host: catalog}}]
      headers: {response: {set: {x-config: second}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: catalog}
spec:
  selector: {matchLabels: {app: catalog}}
  action: DENY
  rules: [{to: [{operation: {paths: [/forbidden]}}]}]
`;

const get = { host: "catalog", path: "/items/1" };
const workers = 4;

interface Mesh {
  readonly cp: TestControlPlane;
  readonly web: TestSidecar;
  readonly a: TestSidecar;
  readonly b: TestSidecar;
  readonly apps: { readonly a: EchoServer; readonly b: EchoServer };
  /** Starts a sidecar anew, on the ports and folder of the one that ended. */
  readonly restart: (name: "web" | "a" | "b") => Promise<TestSidecar>;
}

const nameIn = ({ body }: HttpAnswer): string => (JSON.parse(body) as { name: string }).name;

/** web and two instances of catalog, strict mTLS between them, both answering. Stopped by the stack. */
const startMesh = async (stack: AsyncDisposableStack, yaml = ""): Promise<Mesh> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-kill-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const cp = stack.use(await startControlPlane({ folder, yaml: `${strict}---${yaml}` }));
  const apps = { a: stack.use(await startEchoServer("a")), b: stack.use(await startEchoServer("b")) };
  const start = async (name: "web" | "a" | "b", again?: TestSidecar): Promise<TestSidecar> => {
    const rest = again === undefined ? {} : { again };
    if (name === "web") return stack.use(await startSidecar(cp, { name, ...rest }));
    const catalog = { name: `catalog-${name}`, service: "catalog", appPort: apps[name].port };
    return stack.use(await startSidecar(cp, { ...catalog, ...rest }));
  };
  const first = { a: await start("a"), b: await start("b"), web: await start("web") };
  await untilAnswered(first.web, ["a", "b"]);
  return { cp, apps, ...first, restart: (name) => start(name, first[name]) };
};

/** Asks until each of these instances has answered. */
const untilAnswered = async (web: TestSidecar, names: readonly string[]): Promise<void> => {
  const missing = new Set(names);
  await eventually(`${names} answer`, async () => {
    const answer = await callHttp(web.outbound, get);
    if (answer.status === 200) missing.delete(nameIn(answer));
    return missing.size === 0 ? true : undefined;
  });
};

const startEcho = async (stack: AsyncDisposableStack, name: string, port: string): Promise<Program> =>
  stack.use(startProgram(process.execPath, [join(import.meta.dirname, "programs/echo.ts"), name, port]));

const kill9 = async ({ kill, exited }: Program): Promise<void> => {
  kill("SIGKILL");
  assert.equal(await exited, "SIGKILL");
};

/** What failed since `sinceMs` and how long after it the last failure was, said in the test's output. */
const failingMostMs = 10_000;

const failuresOf = (t: TestContext, load: SteadyLoad, sinceMs: number): { count: number; lastMs: number } => {
  const { failures } = load;
  const lastMs = Math.round((failures.at(-1)?.atMs ?? sinceMs) - sinceMs);
  const kinds = new Set(failures.map(({ what }) => what));
  t.diagnostic(`${load.total()} requests, ${failures.length} failed, the last ${lastMs} ms after the kill`);
  for (const what of kinds) t.diagnostic(what);
  return { count: failures.length, lastMs };
};

test("the control plane is killed: nothing fails, a restarted sidecar serves from its disk, and it catches up", {
  timeout: 90_000,
}, async (t) => {
  await using stack = new AsyncDisposableStack();
  const { cp, web, b, apps, restart } = await startMesh(stack);
  await using load = startLoad(web.outbound, get, ({ status }) => status === 200, workers);
  await load.more(50);
  const killedAt = performance.now();
  await kill9(cp.program);
  await load.more(200);

  b.program.kill("SIGTERM");
  assert.equal(await b.program.exited, 0);
  await restart("b");
  const before = apps.b.count();
  await eventually("the restarted instance gets its share", () => (apps.b.count() > before + 10 ? true : undefined));

  // A caller restarted while nobody can tell it anything still knows where catalog is and who it is itself.
  await load.stop();
  failuresOf(t, load, killedAt);
  assert.deepEqual(load.failures, []);
  web.program.kill("SIGTERM");
  assert.equal(await web.program.exited, 0);
  const web2 = await restart("web");
  const { status, body } = await callHttp(web2.outbound, get);
  assert.equal(status, 200, body);
  assert.match(body, /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/web/);

  await using second = startLoad(web2.outbound, get, ({ status: code }) => code === 200, workers);
  await second.more(20);
  const { folder, xds, secure, http } = cp;
  const back = stack.use(await startControlPlane({ folder, addresses: { xds, secure, http } }));
  await back.apply(changed);
  await eventually("web has the new route", async () =>
    (await callHttp(web2.outbound, get)).headers["x-config"] === "second" ? true : undefined,
  );
  // Who waited longest for it asks again last: the wait doubles, up to half a minute, as Envoy's.
  const backAt = performance.now();
  let refusedInARow = 0;
  await eventually(
    "both instances refuse what is now forbidden",
    async () => {
      const answer = await callHttp(web2.outbound, { host: "catalog", path: "/forbidden" });
      refusedInARow = answer.status === 403 ? refusedInARow + 1 : 0;
      return refusedInARow >= 8 ? true : undefined;
    },
    35_000,
  );
  t.diagnostic(`everybody had the change ${Math.round(performance.now() - backAt)} ms after it was made`);
  await second.stop();
  assert.deepEqual(second.failures, []);
});

test("a sidecar is killed, nothing retries: only until it is ejected", { timeout: 60_000 }, async (t) => {
  await using stack = new AsyncDisposableStack();
  const { web, a, apps } = await startMesh(stack, `${oneAttempt}---${ejecting}`);
  await using load = startLoad(web.outbound, get, ({ status }) => status === 200, workers);
  await load.more(50);
  const killedAt = performance.now();
  await kill9(a.program);
  await load.more(300);
  await load.stop();
  const { count, lastMs } = failuresOf(t, load, killedAt);
  assert.ok(count >= 1, "with no retry somebody notices");
  // What was on the way when it died, and five in a row until it is ejected while others are still on the way.
  assert.ok(count <= 5 + 2 * workers, `${count} failed`);
  // How long it fails is the promise: until five in a row are seen. Without ejection it would fail for as long as
  // requests come, and a busy machine alone does not take ten seconds for a few of them.
  assert.ok(lastMs < failingMostMs, `the last one failed after ${lastMs} ms`);
  for (const { what } of load.failures) assert.match(what, /^503 upstream connect error|^503 /);
  assert.ok(apps.b.count() > 100);
});

test("a sidecar is killed, retries as by default: only what was on its way may fail", {
  timeout: 60_000,
}, async (t) => {
  await using stack = new AsyncDisposableStack();
  const { web, a, apps, restart } = await startMesh(stack);
  await using load = startLoad(web.outbound, get, ({ status }) => status === 200, workers);
  await load.more(50);
  const killedAt = performance.now();
  await kill9(a.program);
  await load.more(300);
  const { count, lastMs } = failuresOf(t, load, killedAt);
  assert.ok(count <= workers, `${count} failed`);
  // What was on its way fails at once or not at all; the bound is far above what a busy machine adds.
  assert.ok(lastMs < failingMostMs, `the last one failed after ${lastMs} ms`);

  // It returns on the same port, and takes its share again though nobody registered anything.
  const again = apps.a.count();
  await restart("a");
  await eventually("it is used again", () => (apps.a.count() > again + 10 ? true : undefined));
  await load.stop();
  assert.equal(load.failures.length, count);
});

test("an application is killed behind its sidecar: the other instance answers, and it is used again when it is back", {
  timeout: 60_000,
}, async (t) => {
  await using stack = new AsyncDisposableStack();
  const cp = stack.use(await startControlPlane({ yaml: `${strict}---${retrying}` }));
  const first = await startEcho(stack, "a", "0");
  const [, port = ""] = await first.waitFor(/^listening (\d+)/);
  const solo = await startEcho(stack, "solo", "0");
  const [, soloPort = ""] = await solo.waitFor(/^listening (\d+)/);
  const b = stack.use(await startEchoServer("b"));
  for (const [name, service, appPort] of [
    ["catalog-a", "catalog", Number(port)],
    ["catalog-b", "catalog", b.port],
    ["solo", "solo", Number(soloPort)],
  ] as const) {
    stack.use(await startSidecar(cp, { name, service, appPort }));
  }
  const web = stack.use(await startSidecar(cp, { name: "web" }));
  await untilAnswered(web, ["a", "b"]);

  await using load = startLoad(web.outbound, get, ({ status }) => status === 200, workers);
  await load.more(50);
  const killedAt = performance.now();
  await kill9(first);
  await load.more(300);
  failuresOf(t, load, killedAt);
  await (await startEcho(stack, "a", port)).waitFor(/^listening/);
  await untilAnswered(web, ["a", "b"]);
  await load.stop();
  assert.deepEqual(load.failures, []);

  // With nobody else to ask, the caller is told: the sidecar is there, what it stands for is not.
  await eventually("solo answers", async () =>
    (await callHttp(web.outbound, { host: "solo" })).status === 200 ? true : undefined,
  );
  await kill9(solo);
  const answer = await callHttp(web.outbound, { host: "solo" });
  assert.equal(answer.status, 503);
  assert.match(answer.body, /^upstream connect error or disconnect\/reset before headers/);
  await (await startEcho(stack, "solo", soloPort)).waitFor(/^listening/);
  assert.equal((await callHttp(web.outbound, { host: "solo" })).status, 200);
});

test("SIGTERM of a sidecar under load drains: nothing fails, and what was on its way is answered", {
  timeout: 60_000,
}, async (t) => {
  await using stack = new AsyncDisposableStack();
  const { web, a, apps } = await startMesh(stack);
  const slow = { host: "catalog", path: "/slow/400" };
  await using quick = startLoad(web.outbound, get, ({ status }) => status === 200, workers);
  await using waiting = startLoad(web.outbound, slow, ({ status }) => status === 200, workers);
  await quick.more(50);
  await waiting.more(workers);
  const stoppedAt = performance.now();
  a.program.kill("SIGTERM");
  assert.equal(await a.program.exited, 0);
  t.diagnostic(`drained in ${Math.round(performance.now() - stoppedAt)} ms`);
  await quick.more(100);
  await waiting.more(2 * workers);
  await Promise.all([quick.stop(), waiting.stop()]);
  failuresOf(t, quick, stoppedAt);
  assert.deepEqual([...quick.failures, ...waiting.failures], []);

  // The caller's own sidecar: what the program had asked is answered before it goes.
  const seen = apps.b.count();
  const asked = callHttp(web.outbound, slow);
  await eventually("the request arrived", () => (apps.b.count() > seen ? true : undefined));
  web.program.kill("SIGTERM");
  assert.equal((await asked).status, 200);
  assert.equal(await web.program.exited, 0);
});
