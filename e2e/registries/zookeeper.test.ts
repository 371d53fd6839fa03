/** A real ZooKeeper as a registry: by the driver's events, and through a control plane. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import type { SourceCredentials } from "@weft/control/registries/outside/driver";
import { parseRegistryUrl } from "@weft/control/registries/outside/registry-url";
import type { SourceEvent, SourceInstance } from "@weft/control/registries/outside/source-events";
import { zookeeperDriver } from "@weft/control/registries/zookeeper/zookeeper-driver";
import { type LogFields, silentLogger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { type RealZookeeper, startZookeeper } from "./real-zookeeper.ts";
import { startRelay } from "./relay.ts";
import { connectWriter, type ZookeeperWriter } from "./zookeeper-writer.ts";

const stack = new AsyncDisposableStack();
let zookeeper: RealZookeeper;
before(async () => {
  zookeeper = stack.use(await startZookeeper());
});
after(() => stack.disposeAsync());

interface Followed extends Disposable {
  readonly events: readonly SourceEvent[];
  /** What was logged of each connection, with its server. */
  readonly sessions: readonly LogFields[];
  /** What one holds who believes everything, by key. */
  readonly view: ReadonlyMap<string, SourceInstance>;
  /** Waits for an event among those not waited for yet; gives it. */
  next<K extends SourceEvent["kind"]>(kind: K): Promise<Extract<SourceEvent, { kind: K }>>;
}

const follow = (pathAndOptions: string, options: { address?: string; login?: SourceCredentials } = {}): Followed => {
  const { address = zookeeper.address, login } = options;
  const events: SourceEvent[] = [];
  const view = new Map<string, SourceInstance>();
  let seen = 0;
  const emit = (event: SourceEvent): void => {
    events.push(event);
    if (event.kind === "listed") view.clear();
    for (const one of event.kind === "listed" ? event.instances : []) view.set(one.key, one);
    if (event.kind === "put") view.set(event.instance.key, event.instance);
    if (event.kind === "removed") view.delete(event.key);
  };
  const open = zookeeperDriver.open(
    parseRegistryUrl(`zookeeper://${address}${pathAndOptions}`),
    login && (() => login),
  );
  const sessions: LogFields[] = [];
  const log = { ...silentLogger, info: (_: string, fields: LogFields = {}) => void sessions.push(fields) };
  const tools = { emit, log, clock: realClock, setTimer: setRealTimer, random: Math.random };
  const source = open(tools);
  return {
    ...{ events, view, sessions },
    next: (kind) =>
      eventually<never>(
        `an event "${kind}" after ${seen} of ${events.length}`,
        () => {
          const at = events.findIndex((event, i) => i >= seen && event.kind === kind);
          if (at < 0) return undefined;
          seen = at + 1;
          return events[at] as never;
        },
        60_000,
      ),
    [Symbol.dispose]: () => source[Symbol.dispose](),
  };
};

const record = (port: number, more: object = {}): string =>
  JSON.stringify({
    ...{ name: "web", id: `id-${port}`, address: "127.0.0.1", port, sslPort: null, payload: null },
    ...{ registrationTimeUTC: 1_700_000_000_000, serviceType: "DYNAMIC", uriSpec: null, ...more },
  });

test("what registers is told, changed and taken out, and what a dead session held goes with it", async () => {
  using source = follow("/life");
  assert.deepEqual((await source.next("listed")).instances, []);
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/life/web/a", record(7001, { payload: { metadata: { version: "v1" } } }));
  const { instance } = await source.next("put");
  assert.deepEqual([instance.service, instance.port, instance.labels], ["web", 7001, { version: "v1" }]);
  await writer.set("/life/web/a", record(7002));
  assert.equal((await source.next("put")).instance.port, 7002);

  const dying: ZookeeperWriter = await connectWriter(zookeeper.port, 1_000);
  await dying.create("/life/web/b", record(7003), true);
  assert.equal((await source.next("put")).instance.port, 7003);
  dying.breakOff();
  assert.deepEqual(await source.next("removed"), { kind: "removed", key: "/life/web/b", because: "expired" });
  await writer.delete("/life/web/a");
  assert.equal((await source.next("removed")).key, "/life/web/a");
  assert.equal(source.events.filter(({ kind }) => kind === "listed").length, 1);
});

test("a record of garbage is named and harms no other", async () => {
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/garbage/web/good", record(7001));
  await writer.create("/garbage/web/bytes", Buffer.from([0xff, 0x00, 0xc3, 0x28]));
  await writer.create("/garbage/web/large", record(7002, { payload: "x".repeat(100_000) }));
  using source = follow("/garbage");
  assert.deepEqual(
    (await source.next("listed")).instances.map(({ key }) => key),
    ["/garbage/web/good"],
  );
  const named = source.events.flatMap((event) => (event.kind === "unreadable" ? [event.key] : []));
  assert.deepEqual(named.sort(), ["/garbage/web/bytes", "/garbage/web/large"]);
  await writer.set("/garbage/web/good", "{");
  assert.equal((await source.next("unreadable")).key, "/garbage/web/good");
  await writer.set("/garbage/web/bytes", record(7003));
  assert.equal((await source.next("put")).instance.port, 7003);
  assert.equal(source.view.get("/garbage/web/good")?.port, 7001);
});

test("Dubbo's providers are read from their names", async () => {
  using writer = await connectWriter(zookeeper.port);
  const provider = (port: number, more = ""): string =>
    `/dubbo/com.acme.Greeter/providers/${encodeURIComponent(`tri://127.0.0.1:${port}/com.acme.Greeter?group=g&version=2.0&side=provider${more}`)}`;
  await writer.create(provider(20_880), "", true);
  await writer.create("/dubbo/com.acme.Greeter/consumers/consumer%3A%2F%2F127.0.0.1", "");
  using source = follow("/dubbo?layout=dubbo&namespace=shop");
  const [first, ...others] = (await source.next("listed")).instances;
  assert.deepEqual(others, []);
  assert.deepEqual(
    [first?.namespace, first?.service, first?.port, first?.protocol, first?.weight, first?.labels],
    ["shop", "com.acme.Greeter", 20_880, "grpc", 100, { version: "2.0", group: "g" }],
  );
  await writer.create(provider(20_881, "&weight=50"), "", true);
  assert.equal((await source.next("put")).instance.weight, 50);
  await writer.delete(provider(20_880));
  assert.equal((await source.next("removed")).key, provider(20_880));
});

test("2,000 instances are listed, one change among them reads one node, and all go with their session", async () => {
  const count = 2_000;
  const writer = await connectWriter(zookeeper.port, 10_000);
  await writer.create("/many/first/x", record(1));
  for (let i = 0; i < 20; i++) await writer.create(`/many/svc-${i}/last`, record(1));
  await Promise.all(
    Array.from({ length: count }, (_, i) => writer.create(`/many/svc-${i % 20}/${i}`, record(1 + (i % 60_000)), true)),
  );
  using source = follow("/many");
  assert.equal((await source.next("listed")).instances.length, count + 21);
  using other = await connectWriter(zookeeper.port);
  await other.set("/many/svc-7/7", record(9_999));
  assert.equal((await source.next("put")).instance.port, 9_999);
  assert.equal(source.events.length, 3);
  writer.breakOff();
  await eventually("all are gone", () => source.view.size === 21 || undefined, 60_000);
  assert.equal(source.events.filter(({ kind }) => kind === "removed").length, count);
});

test("a list longer than is taken is named and harms no other, and is read with a larger bound", async () => {
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/long/near/a", record(1));
  for (let i = 0; i < 40; i++) await writer.create(`/long/web/${String(i).padStart(200, "x")}`, record(1));
  using narrow = follow("/long?frame-bytes-max=4096");
  const { key, problem, whole } = await narrow.next("unreadable");
  assert.deepEqual([key, whole], ["/long/web", true]);
  assert.match(problem, /has \d+ bytes, over the 4096 that are taken/);
  assert.deepEqual(
    (await narrow.next("listed")).instances.map((one) => one.service),
    ["near"],
  );
  using wide = follow("/long");
  assert.equal((await wide.next("listed")).instances.length, 41);
});

test("a tree that only one user may read is read by that user", async () => {
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/closed/web/a", record(7001));
  const digest = createHash("sha1").update("mesh:secret").digest("base64");
  await writer.restrict("/closed/web/a", `mesh:${digest}`);
  using stranger = follow("/closed");
  assert.deepEqual((await stranger.next("listed")).instances, []);
  const problem = stranger.events.find((event) => event.kind === "unreadable");
  assert.match(problem?.kind === "unreadable" ? problem.problem : "", /may not read/);
  using known = follow("/closed", { login: { username: "mesh", password: "secret" } });
  assert.equal((await known.next("listed")).instances.length, 1);
});

test("a broken connection is taken up by another server of the list, with the same session", async () => {
  await using relay = await startRelay(zookeeper.address);
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/moved/web/a", record(7001));
  using source = follow("/moved", { address: `${relay.address},${relay.address}` });
  await source.next("listed");
  relay.cut();
  await source.next("lost");
  await writer.create("/moved/web/b", record(7002));
  await writer.delete("/moved/web/a");
  relay.mend();
  await source.next("connected");
  assert.deepEqual(
    (await source.next("listed")).instances.map(({ key }) => key),
    ["/moved/web/b"],
  );
  assert.ok(!source.events.some(({ kind }) => kind === "removed"), "a list alone is no proof");
  assert.deepEqual(
    source.sessions.map(({ resumed }) => resumed),
    [false, true],
  );
});

test("a server that was killed is lost, and followed again when it is back, with its data or without", async () => {
  {
    using writer = await connectWriter(zookeeper.port);
    await writer.create("/killed/web/a", record(7001));
  }
  using source = follow("/killed?session-timeout-ms=4000");
  await source.next("listed");
  await zookeeper.kill();
  await source.next("lost");
  await zookeeper.restart();
  await source.next("connected");
  assert.equal((await source.next("listed")).instances.length, 1);
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/killed/web/b", record(7002));
  assert.equal((await source.next("put")).instance.port, 7002);

  await zookeeper.kill();
  await source.next("lost");
  await zookeeper.restart({ empty: true });
  assert.deepEqual((await source.next("listed")).instances, []);
  using again = await connectWriter(zookeeper.port);
  await again.create("/killed/web/a", record(7003));
  assert.equal((await source.next("put")).instance.port, 7003);
});

test("a server that stands still is lost, and followed when it goes on", async () => {
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/still/web/a", record(7001));
  using source = follow("/still?session-timeout-ms=1000");
  await source.next("listed");
  zookeeper.signal("SIGSTOP");
  assert.match((await source.next("lost")).reason, /silent for/);
  zookeeper.signal("SIGCONT");
  await source.next("connected");
  assert.equal((await source.next("listed")).instances.length, 1);
  using other = await connectWriter(zookeeper.port);
  await other.create("/still/web/b", record(7002));
  assert.equal((await source.next("put")).instance.port, 7002);
});

test("a session of ours that has expired is followed by a new one and a new list", async () => {
  await using relay = await startRelay(zookeeper.address);
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/expired/web/a", record(7001));
  using source = follow("/expired?session-timeout-ms=1000", { address: relay.address });
  using witness = follow("/expired");
  await source.next("listed");
  await witness.next("listed");
  // A session as long as ours that begins its end after ours did: when its node is gone ours has expired.
  const dying = await connectWriter(zookeeper.port, 1_000);
  await dying.create("/expired/web/dying", record(7002), true);
  relay.cut();
  await dying.ping();
  dying.breakOff();
  await witness.next("removed");
  await writer.create("/expired/web/b", record(7003));
  relay.mend();
  await source.next("connected");
  const { instances } = await source.next("listed");
  assert.deepEqual(instances.map(({ key }) => key).sort(), ["/expired/web/a", "/expired/web/b"]);
  assert.equal(source.sessions.at(-1)?.resumed, false);
  await writer.set("/expired/web/a", record(7004));
  assert.equal((await source.next("put")).instance.port, 7004);
});

test("a server that lost its quorum is read all the same, and followed when it writes again", async () => {
  {
    using writer = await connectWriter(zookeeper.port);
    await writer.create("/alone/web/a", record(7001));
  }
  using source = follow("/alone");
  await source.next("listed");
  await zookeeper.kill();
  await source.next("lost");
  await zookeeper.restart({ alone: true });
  await source.next("connected");
  assert.equal((await source.next("listed")).instances.length, 1);
  assert.equal(source.sessions.at(-1)?.readOnly, true);
  await zookeeper.kill();
  await zookeeper.restart();
  await eventually("it writes again", () => source.sessions.at(-1)?.readOnly === false || undefined);
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/alone/web/b", record(7002));
  assert.equal((await source.next("put")).instance.port, 7002);
});

test("through a control plane: what registers is called, and an outage of ZooKeeper harms no call", async () => {
  await using echo = await startEchoServer("shop");
  await using cp = await startControlPlane({ args: ["--registry", `zookeeper://${zookeeper.address}/mesh`] });
  await using web = await startSidecar(cp, { name: "web" });
  using writer = await connectWriter(zookeeper.port);
  const uriSpec = { parts: [{ value: "http://", variable: false }] };
  await writer.create("/mesh/com.acme.Shop/a", record(echo.port, { uriSpec }));
  const answers = () =>
    eventually("the service answers", async () =>
      (await callHttp(web.outbound, { host: `com-acme-shop:${echo.port}` })).status === 200 ? true : undefined,
    );
  const state = async (wanted: string) =>
    eventually(
      `the registry is ${wanted}`,
      async () => {
        const { items } = (await cp.api("GET", "/v1/registries")) as {
          items: readonly { name: string; state: string }[];
        };
        return items.some((item) => item.name === "zookeeper" && item.state === wanted) || undefined;
      },
      60_000,
    );
  await answers();
  await zookeeper.kill();
  await state("lost");
  await answers();
  await zookeeper.restart({ empty: true });
  await state("live");
  await answers();
});
