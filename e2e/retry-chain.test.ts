/**
 * A chain of five hops whose last one fails: however many ask at once, it is asked little more than once for each request,
 * though every hop repeats what fails; with applications that pass on only x-request-id, and with such that pass on nothing.
 */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";

const hops = 5;
const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
/** What each application calls others through; the first is the test's own. */
const outbounds: string[] = [];
/** How often each application was asked since that was last forgotten. */
const asked: number[] = [];
const marks: (string | undefined)[] = [];

const hostOf = (hop: number): string => `hop${hop}.default.svc.cluster.local`;

/** The answer of the next hop, asked with no more of the request's headers than the path says. */
const passOn = async (hop: number, request: IncomingMessage): Promise<number> => {
  const id = request.headers["x-request-id"];
  const headers = request.url?.startsWith("/id") && typeof id === "string" ? { "x-request-id": id } : {};
  const path = request.url ?? "/";
  const answer = await callHttp(outbounds[hop] ?? "", { host: hostOf(hop + 1), path, headers, timeoutMs: 60_000 });
  marks[hop] = answer.headers["x-weft-retried"];
  return answer.status;
};

const answerOf = (hop: number, request: IncomingMessage): Promise<number> => {
  if (hop < hops) return passOn(hop, request);
  return Promise.resolve(request.url?.includes("well") ? 200 : 503);
};

const startApp = async (hop: number): Promise<number> => {
  const app = createServer((request: IncomingMessage, response: ServerResponse) => {
    asked[hop] = (asked[hop] ?? 0) + 1;
    request.resume();
    void answerOf(hop, request)
      .catch(() => 599)
      .then((status) => {
        response.statusCode = status;
        response.end();
      });
  });
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    app.closeAllConnections();
    app.close();
  });
  return (app.address() as AddressInfo).port;
};

/** Half of them have a connection of each side on whichever thread. */
const threadsOf = (hop: number): number => (hop % 2 === 1 ? 2 : 1);

before(async () => {
  cp = stack.use(await startControlPlane({ yaml: "" }));
  const client = stack.use(await startSidecar(cp, { name: "client", args: ["--log-level", "warn"] }));
  outbounds[0] = client.outbound;
  for (let hop = 1; hop <= hops; hop++) {
    const args = ["--log-level", "warn", "--concurrency", String(threadsOf(hop))];
    const appPort = await startApp(hop);
    const sidecar = stack.use(await startSidecar(cp, { name: `hop${hop}`, appPort, args }));
    outbounds[hop] = sidecar.outbound;
  }
  await eventually("the whole chain answers", async () =>
    (await ask("/id/well").catch(() => undefined)) === 200 ? true : undefined,
  );
});

after(() => stack.disposeAsync());

const ask = async (path: string): Promise<number> =>
  (await callHttp(outbounds[0] ?? "", { host: hostOf(1), path, timeoutMs: 60_000 })).status;

/** Asks so many times, so many at once; all fail. Gives how often each hop was asked. */
const askMany = async (path: string, count: number, atOnce: number): Promise<readonly number[]> => {
  asked.fill(0);
  let left = count;
  const one = async (): Promise<void> => {
    while (left-- > 0) assert.equal(await ask(path), 503);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return asked.slice(1);
};

/** A share of the requests, and what each thread of the last hop but one may besides, in these ten seconds and each more. */
const askedMost = (requests: number, tookMs: number): number =>
  requests * 1.2 + 3 * threadsOf(hops - 1) * Math.ceil(1 + tookMs / 10_000);

for (const [path, what] of [
  ["/id", "pass on x-request-id only"],
  ["/none", "pass on nothing"],
] as const) {
  test(`applications ${what}: the hop before the failure alone repeats, within its share`, async () => {
    const startMs = performance.now();
    let [requests, last] = [0, 0];
    for (const [count, atOnce] of [
      [8, 1],
      [40, 8],
      [60, 30],
    ] as const) {
      const each = await askMany(path, count, atOnce);
      requests += count;
      last += each[hops - 1] ?? 0;
      assert.deepEqual(each.slice(0, -1), [count, count, count, count], `${atOnce} at once`);
    }
    const most = askedMost(requests, performance.now() - startMs);
    assert.ok(last > requests && last <= most, `${last} for ${requests}, at most ${most}`);
    assert.equal(marks[hops - 1], undefined, "applications see no mark");
  });
}

test("what a user wrote is done as written, and not multiplied by the hops before", async () => {
  await cp.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: last, namespace: default }
spec:
  hosts: [${hostOf(hops)}]
  http: [{ route: [{ destination: { host: ${hostOf(hops)} } }], retries: { attempts: 2, retryOn: 5xx } }]
`);
  await eventually("the last hop is asked three times", async () => {
    const each = await askMany("/id", 1, 1);
    return each[hops - 1] === 3 ? true : undefined;
  });
  const each = await askMany("/id", 30, 10);
  assert.deepEqual(each, [30, 30, 30, 30, 90]);
});
