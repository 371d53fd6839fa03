/** How requests are spread as DestinationRules say, by a stock Envoy and by our sidecar under our control plane. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type Hosts, startHosts } from "./hosts.ts";
import {
  type Client,
  entryOf,
  foundation,
  places,
  routesOf,
  ruleOf,
  startBoth,
  tally,
  testsFor,
  together,
} from "./mesh.ts";

const stack = new AsyncDisposableStack();
let hosts: Hosts;
let cp: TestControlPlane;
let clients: readonly Client[] = [];

const versions = (net: number, ...names: readonly string[]) =>
  places(net, names.length).map((place, i) => ({ ...place, labels: { grade: names[i] ?? "" } }));
const regions = (net: number, ...names: readonly string[]) =>
  places(net, names.length).map((place, i) => ({ ...place, locality: `${names[i]}/a/1` }));
const simple = (policy: string): string => `
  trafficPolicy:
    loadBalancer:
      simple: ${policy}
`;
const grades = `
  trafficPolicy:
    loadBalancer:
      simple: ROUND_ROBIN
  subsets:
    - name: strong
      labels: {grade: strong}
      trafficPolicy:
        loadBalancer: {simple: ROUND_ROBIN}
    - {name: usual, labels: {grade: usual}}
`;
const hash = (by: string): string => `
  trafficPolicy:
    loadBalancer:
      consistentHash:
        ${by}
`;
const locality = (rest: string): string => `
  trafficPolicy:
    loadBalancer:
      simple: ROUND_ROBIN
      localityLbSetting:
        enabled: true
${rest}
`;
const failover = `        failover:
          - {from: west, to: east}`;
const oneStrike = (rest = ""): string => `
    outlierDetection: {consecutive5xxErrors: 1, interval: 300s, baseEjectionTime: 600s, maxEjectionPercent: 100${rest}}
`;

const configuration = (port: number): string =>
  together(
    foundation(port),
    entryOf("turns.test", places(11, 3), { port }),
    ruleOf("turns.test", simple("ROUND_ROBIN")),
    entryOf(
      "weights.test",
      places(12, 2).map((place, i) => ({ ...place, weight: i === 0 ? 1 : 3 })),
      { port },
    ),
    ruleOf("weights.test", simple("ROUND_ROBIN")),
    entryOf("grades.test", versions(13, "strong", "strong", "usual"), { port }),
    ruleOf("grades.test", grades),
    routesOf(
      "grades.test",
      `
    - route:
        - {destination: {host: grades.test, subset: strong}, weight: 80}
        - {destination: {host: grades.test, subset: usual}, weight: 20}
`,
    ),
    ...["LEAST_CONN", "LEAST_REQUEST"].flatMap((policy, i) => {
      const host = `${policy.toLowerCase().replace("_", "-")}.test`;
      return [entryOf(host, places(14 + i, 2), { port }), ruleOf(host, simple(policy))];
    }),
    entryOf("random.test", places(16, 3), { port }),
    ruleOf("random.test", simple("RANDOM")),
    entryOf("header.test", places(17, 5), { port }),
    ruleOf("header.test", hash("httpHeaderName: x-user-id")),
    entryOf("cookie.test", places(18, 5), { port }),
    ruleOf("cookie.test", hash("httpCookie: {name: seat, ttl: 3600s}")),
    entryOf("address.test", places(19, 5), { port }),
    ruleOf("address.test", hash("useSourceIp: true")),
    entryOf("shares.test", regions(20, "west", "east", "north"), { port }),
    ruleOf("shares.test", locality("        distribute:\n          - {from: west/*, to: {west/*: 80, east/*: 20}}")),
    entryOf("blind.test", regions(21, "west", "east", "north"), { port }),
    ruleOf("blind.test", locality(failover)),
    entryOf("failover.test", regions(22, "west", "north", "east"), { port }),
    ruleOf("failover.test", locality(failover) + oneStrike()),
    entryOf("calm.test", places(23, 2), { port }),
    ruleOf("calm.test", simple("ROUND_ROBIN") + oneStrike()),
    entryOf("panic.test", places(24, 2), { port }),
    ruleOf("panic.test", simple("ROUND_ROBIN") + oneStrike(", minHealthPercent: 60")),
    entryOf("warm.test", places(26, 2), { port }),
    ruleOf(
      "warm.test",
      "  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 600s, minimumPercent: 0}}}",
    ),
    `
apiVersion: v1
kind: Service
metadata: {name: unready, namespace: default}
spec:
  ports: [{name: http, port: 80, targetPort: ${port}}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: unready, namespace: default}
subsets:
  - addresses: [{ip: 127.25.0.1}]
    notReadyAddresses: [{ip: 127.25.0.2}]
    ports: [{name: http, port: ${port}}]
`,
  );

before(async () => {
  hosts = stack.use(await startHosts());
  cp = stack.use(await startControlPlane({ yaml: configuration(hosts.port) }));
  const west = { region: "west", zone: "a" };
  clients = await startBoth(stack, cp, west);
});
after(() => stack.disposeAsync());

const forBoth = testsFor(() => clients);

forBoth("ROUND_ROBIN takes turns", async ({ askMany }) => {
  assert.deepEqual(tally(await askMany("turns.test", 30)), { "127.11.0.1": 10, "127.11.0.2": 10, "127.11.0.3": 10 });
});

forBoth("ROUND_ROBIN follows the weights of endpoints", async ({ askMany }) => {
  const seen = tally(await askMany("weights.test", 40));
  const heavy = seen["127.12.0.2"] ?? 0;
  assert.ok(heavy >= 28 && heavy <= 32, JSON.stringify(seen));
});

forBoth("weights share requests out among subsets, each of which has its own hosts", async ({ askMany }) => {
  const seen = tally(await askMany("grades.test", 200));
  const usual = seen["127.13.0.3"] ?? 0;
  // 40, more or less: five deviations of chance are 28.
  assert.ok(usual >= 12 && usual <= 68, JSON.stringify(seen));
  const [one = 0, two = 0] = [seen["127.13.0.1"], seen["127.13.0.2"]];
  assert.ok(Math.abs(one - two) <= 1 && one + two + usual === 200, JSON.stringify(seen));
});

for (const [host, net] of [
  ["least-conn.test", 14],
  ["least-request.test", 15],
] as const) {
  forBoth(`${host}: the host with fewer requests under way is preferred`, async ({ ask, askMany }) => {
    const busy = `127.${net}.0.1`;
    const waiting: Promise<unknown>[] = [];
    for (let i = 0; i < 40 && hosts.held() < 3; i++) {
      waiting.push(ask(host, { path: `/held/${busy}` }));
      await eventually("the request is answered or held", () =>
        Promise.race([waiting.at(-1), soon()]).then(() => true),
      );
    }
    assert.equal(hosts.held(), 3);
    const seen = tally(await askMany(host, 200));
    hosts.release();
    await Promise.all(waiting);
    // It is taken only where both random choices are this one: a quarter, and five deviations of chance.
    assert.ok((seen[busy] ?? 0) < 81, JSON.stringify(seen));
  });
}
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

forBoth("RANDOM reaches all, in no order", async ({ askMany }) => {
  const seen = await askMany("random.test", 120);
  const counts = Object.values(tally(seen));
  assert.ok(counts.length === 3 && counts.every((count) => count > 10), JSON.stringify(counts));
  assert.ok(seen.some((host, i) => host === seen[i + 1]));
});

test("the hash of a header chooses the host: always the same, and the same in both", async () => {
  const keys = Array.from({ length: 24 }, (_, i) => `user-${i}`);
  const [envoy, ours, again] = await Promise.all(
    [...clients, ...clients].map(({ askMany }) =>
      askMany("header.test", keys.length, (i) => ({ headers: { "x-user-id": keys[i] ?? "" } })),
    ),
  );
  assert.deepEqual(ours, envoy);
  assert.deepEqual(again, envoy);
  assert.ok(new Set(envoy).size >= 3, String(envoy));
});

forBoth("the hash of a cookie is given to those who have none, and keeps them at their host", async ({ ask }) => {
  for (let i = 0; i < 4; i++) {
    const first = await ask("cookie.test");
    const cookie = first.headers["set-cookie"] ?? "";
    assert.match(cookie, /^seat="[^"]+"; Max-Age=3600; /);
    for (let k = 0; k < 4; k++) {
      const next = await ask("cookie.test", { headers: { cookie: cookie.slice(0, cookie.indexOf(";")) } });
      assert.equal(next.host, first.host);
      assert.equal(next.headers["set-cookie"], undefined);
    }
  }
});

test("the hash of the client's address chooses the host, the same in both", async () => {
  const from = (i: number) => ({ from: `127.0.3.${i + 1}` });
  const [envoy, ours] = await Promise.all(clients.map(({ askMany }) => askMany("address.test", 12, from)));
  assert.deepEqual(ours, envoy);
  assert.ok(new Set(ours).size >= 2, String(ours));
});

forBoth("distribute gives its shares, and nothing to localities it does not list", async ({ askMany }) => {
  const seen = tally(await askMany("shares.test", 200));
  const east = seen["127.20.0.2"] ?? 0;
  assert.ok(east >= 12 && east <= 68, JSON.stringify(seen));
  assert.equal((seen["127.20.0.1"] ?? 0) + east, 200);
});

forBoth("failover without outlier detection changes nothing", async ({ askMany }) => {
  assert.deepEqual(Object.keys(tally(await askMany("blind.test", 60))).length, 3);
});

forBoth("failover goes to the region it names, and only when one's own is down", async ({ askMany, ejected }) => {
  hosts.statuses.clear();
  assert.deepEqual(tally(await askMany("failover.test", 10)), { "127.22.0.1": 10 });
  hosts.statuses.set("127.22.0.1", 500);
  assert.deepEqual(await askMany("failover.test", 1), ["500"]);
  await ejected("failover.test", 1);
  assert.deepEqual(tally(await askMany("failover.test", 10)), { "127.22.0.3": 10 });
  hosts.statuses.clear();
});

forBoth("with every host ejected there is no panic unless minHealthPercent asks for it", async (client) => {
  for (const net of [23, 24]) for (const n of [1, 2]) hosts.statuses.set(`127.${net}.0.${n}`, 500);
  for (const one of [1, 2]) {
    assert.deepEqual(await client.askMany("calm.test", 1), ["500"]);
    await client.ejected("calm.test", one);
  }
  await eventually("nobody is left", async () => (await client.ask("calm.test")).status === 503 || undefined);
  assert.match((await client.ask("calm.test")).body, /no healthy upstream/);
  assert.deepEqual(await client.askMany("panic.test", 5), ["500", "500", "500", "500", "500"]);
  hosts.statuses.clear();
});

forBoth("an endpoint that is not ready is known and gets nothing", async ({ admin, askMany }) => {
  assert.deepEqual(tally(await askMany("unready", 10)), { "127.25.0.1": 10 });
  const text = await (await fetch(`http://${admin}/clusters`)).text();
  const state = (address: string): string | undefined =>
    text.split("\n").find((line) => line.includes(`::${address}:`) && line.includes("::health_flags::"));
  assert.match(state("127.25.0.2") ?? "", /health_flags::\/failed_eds_health/);
  assert.match(state("127.25.0.1") ?? "", /health_flags::healthy/);
});

test("a host that is new gets less than those that were there before it, by warmup", async () => {
  const started = performance.now();
  for (const { askMany } of clients)
    assert.ok((await askMany("warm.test", 10)).every((host) => host.startsWith("127.26.0.")));
  await eventually("they have an age", () => performance.now() - started > 4000 || undefined);
  const added = performance.now();
  await cp.apply(entryOf("warm.test", places(26, 3), { port: hosts.port }));
  for (const { admin, askMany, name } of clients) {
    await eventually(`${name} knows the new host`, async () =>
      (await (await fetch(`http://${admin}/clusters`)).text()).includes("127.26.0.3") ? true : undefined,
    );
    const seen = tally(await askMany("warm.test", 60));
    // Where the machine was so slow that the new host is as old as the others were, there is nothing to see.
    const [young, old] = [performance.now() - added, performance.now() - started];
    if (young < old / 3) assert.ok((seen["127.26.0.3"] ?? 0) <= 15, `${name}: ${JSON.stringify(seen)}`);
  }
});
