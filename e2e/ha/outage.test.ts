/** No control plane at all for a while, under load, while sidecars end and start: traffic does not notice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { startLoad } from "@weft/testkit/steady-load";
import { startReplicas } from "./replicas.ts";

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
/** How long all control planes are away; ten minutes is what is promised. */
const outageMs = Number(process.env.WEFT_HA_OUTAGE_SECONDS ?? 12) * 1_000;
/** All sidecars are started anew once in so long. */
const roundMs = 30_000;
/** Some 30 requests a second from two workers, one of them always in flight. */
const get = { host: "catalog", path: "/slow/50" };
const drain = ["--drain-time", "2"];

/** Ends a sidecar and starts it anew on its ports, from nothing but its disk. */
const anew = async (cp: TestControlPlane, name: string, before: TestSidecar, appPort?: number) => {
  before.program.kill("SIGTERM");
  assert.equal(await before.program.exited, 0);
  const app = appPort === undefined ? {} : { service: "catalog", appPort };
  return await startSidecar(cp, { name, again: before, args: drain, ...app });
};

test("all three are killed under load while sidecars start again from their last good: nothing fails", {
  timeout: outageMs + 180_000,
}, async (t) => {
  await using stack = new AsyncDisposableStack();
  const replicas = stack.use(await startReplicas(strict));
  const app = stack.use(await startEchoServer("catalog"));
  const start = (name: string, appPort?: number): Promise<TestSidecar> => {
    const own = appPort === undefined ? {} : { service: "catalog", appPort };
    return startSidecar(replicas.together, { name, args: drain, ...own });
  };
  const sidecars = new Map<string, TestSidecar>();
  stack.defer(async () => {
    await Promise.all([...sidecars.values()].map((one) => one[Symbol.asyncDispose]()));
  });
  const [a, b, web, other] = await Promise.all([
    ...[start("catalog-a", app.port), start("catalog-b", app.port), start("web"), start("other")],
  ] as const);
  for (const [name, one] of [...Object.entries({ "catalog-a": a, "catalog-b": b, web, other })]) {
    sidecars.set(name, one as TestSidecar);
    // Those that come after it take its folder.
    stack.use(one as TestSidecar);
  }
  const outbound = (web as TestSidecar).outbound;
  // One that must be renewed every few seconds, which nobody can while there is no control plane.
  const brief = "/v1/registry/brief/instances/a";
  const instance = { address: "127.0.0.1", port: app.port, servicePort: 80 };
  const keep = () => replicas.all[0].cp.api("PUT", brief, { ...instance, ttlSeconds: 10 });
  await keep();
  const ofBrief = { host: "brief", path: "/slow/500" };
  for (const call of [get, ofBrief])
    await eventually(`${call.host} answers`, async () =>
      (await callHttp(outbound, call)).status === 200 ? true : undefined,
    );

  await using load = startLoad(outbound, get, ({ status }) => status === 200, 2);
  await using briefLoad = startLoad(outbound, ofBrief, ({ status }) => status === 200, 1);
  await load.more(20);
  await keep();
  await Promise.all(replicas.all.map((replica) => replica.kill()));
  const killedMs = performance.now();
  let restarts = 0;
  const again = async (name: string, appPort?: number): Promise<void> => {
    const before = sidecars.get(name) as TestSidecar;
    sidecars.set(name, await anew(replicas.together, name, before, appPort));
    restarts++;
    await load.more(10);
  };
  for (let round = 1; performance.now() - killedMs < outageMs; round++) {
    // Those that are called, one after the other; then who calls, whose sockets the next process takes.
    await again("catalog-a", app.port);
    await again("catalog-b", app.port);
    const taken = sidecars.get("web") as TestSidecar;
    const args = [...drain, "--takeover"];
    sidecars.set("web", await startSidecar(replicas.together, { name: "web", again: taken, args }));
    assert.equal(await taken.program.exited, 0);
    // And one that was not in use: what it knows from its disk is enough to call.
    await again("other");
    const fresh = await callHttp((sidecars.get("other") as TestSidecar).outbound, get);
    assert.equal(fresh.status, 200, fresh.body);
    restarts++;
    const nextMs = Math.min(killedMs + outageMs, killedMs + round * roundMs);
    await eventually("the next round", () => (performance.now() >= nextMs ? true : undefined), roundMs + 10_000);
  }
  const awaySeconds = Math.round((performance.now() - killedMs) / 1000);
  const during = load.total() + briefLoad.total();

  const [first, ...others] = replicas.all;
  await first.restart();
  // It ran out in the store long ago, and is as good as it was: it has its whole time to be heard of again.
  await eventually("it is heard of", () => first.cp.api("POST", `${brief}/heartbeat`).then(() => true));
  await Promise.all(others.map((replica) => replica.restart()));
  await keep();
  await briefLoad.more(4);
  await briefLoad.stop();
  await replicas.all[1].cp.api("PUT", "/v1/registry/late/instances/a", instance);
  await eventually("the sidecars hear of changes again", async () =>
    (await callHttp(outbound, { host: "late" })).status === 200 ? true : undefined,
  );
  await load.more(50);
  await load.stop();
  t.diagnostic(
    `${awaySeconds} s without a control plane, ${restarts} sidecars started anew, ${during} requests by then`,
  );
  assert.deepEqual([...load.failures, ...briefLoad.failures], []);
});
