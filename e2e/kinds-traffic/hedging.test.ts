/** MeshDefaults' hedging: who calls through our sidecar does not wait for a slow replica, who calls through Envoy does. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { startSidecar } from "@weft/testkit/sidecar";
import { type Hosts, startHosts } from "../policy-traffic/hosts.ts";
import { askThrough, entryOf, places, ruleOf, startClient, tally, together } from "../policy-traffic/mesh.ts";

const stack = new AsyncDisposableStack();
let hosts: Hosts;
/** Where each takes requests. */
let envoy: string;
let weft: string;

const meshDefaults = `
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: istio-system}
spec: {hedging: {enabled: true, minDelay: 20ms}}
`;
const inTurn = "  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}";
const slow = "127.94.0.1";

before(async () => {
  hosts = stack.use(await startHosts());
  const { port } = hosts;
  const yaml = together(
    meshDefaults,
    entryOf("ready.test", [{ address: "127.0.0.9" }], { port }),
    entryOf("app.test", places(94, 3), { port }),
    ruleOf("app.test", inTurn),
  );
  const cp = stack.use(await startControlPlane({ yaml }));
  envoy = stack.use(await startClient(cp, "envoy")).outbound;
  weft = stack.use(await startSidecar(cp, { name: "client", args: ["--log-level", "warn"] })).outbound;
});
after(() => stack.disposeAsync());

/** What waits at the slow replica only. */
const ask = (through: string, method = "GET") => askThrough(through, "app.test", { path: `/held/${slow}`, method });

test("requests at a slow replica are answered by another, few enough to cost little; a POST and stock Envoy wait", {
  timeout: 60_000,
}, async () => {
  const before = 150;
  for (let i = 0; i < before; i++) assert.equal((await askThrough(weft, "app.test")).status, 200);
  // A third of these meet it: a share of all that is within the 5 %.
  const asks = 15;
  for (let i = 0; i < asks; i++) {
    const { status, host } = await ask(weft);
    assert.equal(status, 200);
    assert.notEqual(host, slow);
  }
  await eventually("nobody is left at the slow replica", () => hosts.held() === 0 || undefined);
  const met = hosts.requests.get(slow) ?? 0;
  assert.ok(met >= before / 3 + asks / 3 - 2, `the slow replica was asked ${met} times`);
  const asked = [...hosts.requests].filter(([host]) => host.startsWith("127.94.")).reduce((sum, [, n]) => sum + n, 0);
  assert.ok(asked <= (before + asks) * 1.05, `${asked} requests for ${before + asks}`);

  for (const once of [() => ask(weft, "POST"), () => ask(envoy)]) {
    const waiting = [once(), once(), once()];
    await eventually("one waits", () => hosts.held() === 1 || undefined);
    // The others have their answers from elsewhere.
    await Promise.any(waiting);
    hosts.release();
    const answers = await Promise.all(waiting);
    assert.deepEqual(tally(answers.map(({ host }) => host))[slow], 1);
  }
});
