/** Two replicas over one store: they agree, they race, one of them is cut off. */
import assert from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import { silentLogger } from "@weft/core/world";
import fc from "fast-check";
import { memoryCaStore } from "../../ca/ca-store.ts";
import { openSharedAuthority } from "../../ca/shared-authority.ts";
import { openSharedTokens } from "../../ca/shared-tokens.ts";
import { type ConfigItem, sameConfigItem } from "../../model/config-item.ts";
import { createSharedAddresses } from "../../model/shared-addresses.ts";
import { createSharedRegistry } from "../../registries/embedded/shared-registry.ts";
import { createConfigStore } from "../config-store.ts";
import { createSeal } from "./seal.ts";
import { createSharedConfig, sharedPersistence } from "./shared-config.ts";
import { createSharedMirror } from "./shared-mirror.ts";
import type { SharedStore } from "./shared-store.ts";
import { createMemoryShared } from "./testing/memory-shared-store.ts";

const clock = { nowMs: () => 0, wallMs: () => Date.parse("2026-01-01T00:00:00Z") };
const seal = createSeal("0123456789abcdef0123456789abcdef", randomBytes);
const ref = (id: string) => ({ namespace: "default", service: "shop", id });
const body = (port: number, more: object = {}) => ({ address: "10.0.0.1", port, ...more });

const replicas = () => {
  const shared = createMemoryShared();
  const [a, b] = [shared.open(), shared.open()];
  const registry = (store: SharedStore) => createSharedRegistry({ store, clock });
  return { shared, a, b, one: registry(a), two: registry(b) };
};

test("what one replica registers the other has under the same version, and so is a change and a removal", async () => {
  const { one, two } = replicas();
  const told: string[] = [];
  two.watch({}, ({ type, object, resourceVersion }) => told.push(`${type} ${object.id} ${resourceVersion}`));
  const { instance, created } = await one.put(ref("a"), body(80));
  assert.ok(created);
  assert.deepEqual(two.get(ref("a")), instance);
  const changed = await two.put(ref("a"), body(81));
  assert.equal(changed.created, false);
  assert.deepEqual(one.list(), two.list());
  await one.remove(ref("a"));
  assert.deepEqual([one.list(), two.list()], [[], []]);
  assert.deepEqual(told, ["ADDED a 2", "MODIFIED a 3", "DELETED a 4"]);
  assert.equal(one.version(), two.version());
});

test("an equal registration changes no version; another version than the caller saw is refused", async () => {
  const { one, two } = replicas();
  const { instance } = await one.put(ref("a"), body(80, { ttlSeconds: 5 }));
  assert.deepEqual(await two.put(ref("a"), body(80, { ttlSeconds: 5 })), { instance, created: false });
  await two.put(ref("a"), body(81, { ttlSeconds: 5 }));
  await assert.rejects(async () => one.put(ref("a"), body(82), { ifMatch: instance.resourceVersion }), {
    code: "WF8004",
  });
  await assert.rejects(async () => one.put(ref("b"), { address: "no" }), { code: "WF8001" });
});

test("two replicas that register the same instance at once both succeed, and one of them made it", async () => {
  const { one, two } = replicas();
  const made = await Promise.all([one.put(ref("a"), body(80)), two.put(ref("a"), body(81))]);
  assert.deepEqual(made.map(({ created }) => created).sort(), [false, true]);
  assert.deepEqual(one.list(), two.list());
  const raced = await Promise.allSettled([
    one.put(ref("b"), body(80), { ifMatch: 0 }),
    two.put(ref("b"), body(81), { ifMatch: 0 }),
  ]);
  assert.deepEqual(raced.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
});

test("a replica that is cut off reads on and refuses changes; mended it has what it missed", async () => {
  const { b, one, two } = replicas();
  await one.put(ref("a"), body(80));
  b.cut();
  await one.put(ref("a"), body(81));
  await one.put(ref("c"), body(82));
  assert.deepEqual(
    two.list().map(({ ports }) => ports[0]?.port),
    [80],
  );
  await assert.rejects(async () => two.put(ref("x"), body(1)), { code: "WF2202", status: 503, retryAfterSeconds: 2 });
  await assert.rejects(async () => two.remove(ref("a")), { code: "WF2202" });
  b.mend();
  assert.deepEqual(one.list(), two.list());
});

test("records that nobody of this version wrote are passed over", async () => {
  const { a, one } = replicas();
  for (const [key, value] of [
    ["instances/default/shop/x", "not json"],
    [
      "instances/default/shop/y",
      JSON.stringify({ instance: { namespace: "other", service: "s", id: "y", ports: [] } }),
    ],
    ["instances/z", "null"],
  ] as const)
    await a.write({ seen: [], puts: [{ key, value }] });
  assert.deepEqual(one.list(), []);
});

test("a token for one use is taken by exactly one of the replicas that race for it", async () => {
  const { a, b } = replicas();
  const [one, two] = [a, b].map((store) => openSharedTokens({ store, randomBytes })) as [
    ReturnType<typeof openSharedTokens>,
    ReturnType<typeof openSharedTokens>,
  ];
  for (const uses of [1, 3]) {
    const { token, info } = await one.create({ uses }, 0);
    assert.equal(two.check(token, 0)?.id, info.id);
    const taken = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 ? one : two).use(info.id)));
    assert.equal(taken.filter(Boolean).length, uses);
    assert.equal(one.check(token, 0), undefined);
  }
});

test("a token that is revoked at one replica is refused at the other; one without a count works while the store is away", async () => {
  const { a, b } = replicas();
  const [one, two] = [openSharedTokens({ store: a, randomBytes }), openSharedTokens({ store: b, randomBytes })];
  const many = await one.create({ uses: "unlimited" }, 0);
  const few = await one.create({ uses: 2 }, 0);
  const gone = await one.create({ uses: "unlimited" }, 0);
  assert.equal(await two.revoke(gone.info.id), true);
  assert.equal(await two.revoke(gone.info.id), false);
  assert.equal(one.check(gone.token, 0), undefined);
  assert.equal(two.check(many.token, 3_600_000), undefined);
  b.cut();
  assert.equal(await two.use(many.info.id), true);
  await assert.rejects(async () => two.use(few.info.id), { code: "WF2202" });
});

const entry = (name: string, host: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}}
spec: {hosts: [${host}], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
`;
const secret = `apiVersion: v1
kind: Secret
metadata: {name: s, namespace: default}
data: {key: aHVzaC1odXNo}
`;
const options = { file: "test", dryRun: false };

const configOn = (store: SharedStore) => {
  const source = createGraph().source<ConfigItem>("config", { equal: sameConfigItem });
  const shared = { store, seal, log: silentLogger };
  const config = createConfigStore({
    source,
    commit: () => {},
    persistence: sharedPersistence(shared),
    log: silentLogger,
  });
  return { config, writer: createSharedConfig(shared, config) };
};
const named = ({ config }: ReturnType<typeof configOn>): readonly string[] =>
  config.list().map(({ kind, name, creationOrder }) => `${kind}/${name}/${creationOrder}`);

test("configuration applied at one replica is in force at both, in one order of age, and a start finds it", async () => {
  const { shared, a, b } = replicas();
  const [one, two] = [configOn(a), configOn(b)];
  const answers = await Promise.all([
    one.writer.apply(entry("a", "a.example"), options),
    two.writer.apply(entry("b", "b.example"), options),
  ]);
  assert.deepEqual(
    answers.map(({ items }) => items[0]?.result),
    ["created", "created"],
  );
  assert.equal(new Set(one.config.list().map(({ creationOrder }) => creationOrder)).size, 2);
  assert.deepEqual(named(one), named(two));
  assert.deepEqual(named(configOn(shared.open())), named(one));
  assert.equal(await two.writer.deleteOne("ServiceEntry/default/a", false), "deleted");
  assert.equal(await two.writer.deleteOne("ServiceEntry/default/a", false), "absent");
  assert.deepEqual(named(one), named(two));
  assert.equal((await one.writer.apply(entry("b", "b.example"), options)).items[0]?.result, "unchanged");
});

test("a change with an error, a rehearsal and a cut replica take nothing; more objects than fit one transaction all come", async () => {
  const { shared, a, b } = replicas();
  const [one, two] = [configOn(a), configOn(b)];
  await one.writer.apply(`${entry("a", "a.example")}---\nkind: Nothing\n`, options);
  await one.writer.apply(entry("a", "a.example"), { ...options, dryRun: true });
  b.cut();
  await assert.rejects(async () => two.writer.apply(entry("a", "a.example"), options), { code: "WF2202" });
  assert.equal(shared.records.size, 0);
  assert.deepEqual([named(one), named(two)], [[], []]);
  const many = Array.from({ length: 250 }, (_, i) => entry(`e${i}`, `e${i}.example`)).join("---\n");
  const { items } = await one.writer.apply(many, options);
  assert.equal(items.filter(({ result }) => result === "created").length, 250);
  b.mend();
  assert.equal(named(two).length, 250);
  assert.deepEqual(named(one), named(two));
});

test("what a Secret holds cannot be read in the store, and is in force at the other replica", async () => {
  const { shared, a, b } = replicas();
  const [one, two] = [configOn(a), configOn(b)];
  await one.writer.apply(secret, options);
  assert.deepEqual(named(two).length, 1);
  assert.ok(![...shared.records.values()].some(({ value }) => value.includes("aHVzaC1odXNo")));
});

test("replicas that ask for addresses at once give each service the same one, and no two services one", async () => {
  const timers: (() => void)[] = [];
  const setTimer = (callback: () => void) => {
    timers.push(callback);
    return { [Symbol.dispose]: () => {} };
  };
  const { a, b } = replicas();
  const [one, two] = [a, b].map((store) => createSharedAddresses({ store, setTimer, log: silentLogger }));
  const keys = Array.from({ length: 1_000 }, (_, i) => `default/s${i}`);
  const ask = (from: readonly string[]) => [one?.allocate(from), two?.allocate(from.toReversed())];
  assert.deepEqual(
    ask(keys).map((map) => map?.size),
    [0, 0],
  );
  for (let turn = 0; turn < 50 && ask(keys)[0]?.size !== keys.length; turn++) {
    for (const run of timers.splice(0)) run();
    await new Promise(setImmediate);
  }
  const [first, second] = ask(keys);
  assert.equal(first?.size, 1_000);
  assert.deepEqual([...(first ?? [])].sort(), [...(second ?? [])].sort());
  assert.equal(new Set([...(first?.values() ?? [])].map(({ v4 }) => v4)).size, 1_000);
});

test("all replicas sign under one root, each with an intermediate of its own that it keeps over a restart", async () => {
  const { a, b } = replicas();
  const open = (store: SharedStore, folder = memoryCaStore(), nowMs = clock.wallMs()) =>
    openSharedAuthority({ store: folder, trustDomain: "cluster.local", nowMs, randomBytes, shared: store, seal });
  const folder = memoryCaStore();
  const [one, two] = await Promise.all([open(a, folder), open(b)]);
  assert.equal(one.rootPem, two.rootPem);
  const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" };
  const issue = (from: typeof one) => from.issueServer({ identity, hosts: ["x"] }, 3_600_000, clock.wallMs()).chain;
  const [[leaf = "", between = "", root = ""], [, other = ""]] = [issue(one), issue(two)];
  assert.ok(new X509Certificate(leaf).verify(new X509Certificate(between).publicKey));
  assert.ok(new X509Certificate(between).verify(new X509Certificate(root).publicKey));
  assert.notEqual(between, other);
  assert.equal(issue(await open(a, folder))[1], between);
  const late = clock.wallMs() + 100 * 86_400_000;
  one.renew(clock.wallMs());
  assert.equal(issue(one)[1], between);
  one.renew(late);
  assert.notEqual(issue(one)[1], between);
  await assert.rejects(
    () =>
      openSharedAuthority({
        store: memoryCaStore(),
        trustDomain: "cluster.local",
        nowMs: 0,
        randomBytes,
        shared: a,
        seal: createSeal("x".repeat(32), randomBytes),
      }),
    { code: "WF2204" },
  );
});

test("what is sealed opens only under its key and name, and only whole", () => {
  const sealed = seal.close("a", "text");
  assert.equal(seal.open("a", sealed), "text");
  assert.throws(() => seal.open("b", sealed), { code: "WF2204" });
  assert.throws(() => seal.open("a", `${sealed.slice(0, -2)}AA`), { code: "WF2204" });
  assert.throws(() => seal.open("a", "v1."), { code: "WF2204" });
  assert.throws(() => createSeal("short", randomBytes), { code: "WF2203" });
});

test("a mirror that is told by changes has what one has that is told by a list, in whatever pieces", () => {
  const write = fc.record({
    key: fc.constantFrom("g/a", "g/b", "h/c"),
    value: fc.option(fc.string(), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(write, { maxLength: 30 }), fc.nat(30), (writes, cutAt) => {
      const changes = writes.map(({ key, value }, i) => ({
        key,
        ...(value === undefined ? {} : { value }),
        revision: i + 1,
      }));
      const whole = createSharedMirror();
      whole.takeChanges(changes);
      const parts = createSharedMirror();
      parts.takeChanges(changes.slice(0, cutAt));
      // A reconnect tells some of it again.
      for (const change of changes) parts.takeChanges([change]);
      const late = createSharedMirror({
        clusterId: "",
        revision: 0,
        records: [{ key: "g/gone", value: "", revision: 0 }],
      });
      const records = ["g", "h"].flatMap((group) => [...whole.group(group).values()]);
      late.takeList({ clusterId: "", revision: whole.revision(), records });
      for (const other of [parts, late]) {
        assert.equal(other.revision(), whole.revision());
        for (const group of ["g", "h"]) {
          const sorted = (mirror: typeof whole) =>
            [...mirror.group(group).values()].sort((x, y) => (x.key < y.key ? -1 : 1));
          assert.deepEqual(sorted(other), sorted(whole));
        }
      }
    }),
  );
});
