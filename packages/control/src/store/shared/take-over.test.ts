import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { newToken } from "../../ca/join-tokens.ts";
import { openSharedTokens } from "../../ca/shared-tokens.ts";
import { createSharedAddresses } from "../../model/shared-addresses.ts";
import type { Instance } from "../../registries/embedded/instance.ts";
import { createSharedRegistry } from "../../registries/embedded/shared-registry.ts";
import type { StoredChange } from "../config-store.ts";
import { createSeal } from "./seal.ts";
import { sharedPersistence } from "./shared-config.ts";
import { type OwnState, takeOver } from "./take-over.ts";
import { createManualTime } from "./testing/manual-time.ts";
import { createMemoryShared, type MemoryReplica } from "./testing/memory-shared-store.ts";

const seal = createSeal("0123456789abcdef0123456789abcdef", randomBytes);
const log = silentLogger;
const { clock, setTimer } = createManualTime();
const wallMs = 1_000_000;

const instance = (id: string, ttlSeconds = 0, port = 80): Instance => ({
  ...{ namespace: "default", service: "shop", id, address: "10.0.0.1", labels: {}, metadata: {}, weight: 1 },
  ports: [{ name: "http", port, appPort: port, protocol: "http", servicePort: 80 }],
  ...{ locality: "", serviceAccount: "", health: "healthy", ttlSeconds, registeredAt: "2026-01-01T00:00:00Z" },
  resourceVersion: 7,
});
const change = (name: string, kind = "ServiceEntry"): StoredChange => ({
  ...{ key: `${kind}/default/${name}`, text: `{"name":"${name}"}`, over: "", order: 3 },
});
const nothing: OwnState = { instances: [], changes: [], addresses: [], tokens: [] };
const taking = (store: MemoryReplica, own: Partial<OwnState>) =>
  takeOver({ store, seal, own: { ...nothing, ...own }, wallMs });
const changesIn = (store: MemoryReplica) => sharedPersistence({ store, seal, log }).load();

test("instances, changes, virtual addresses and tokens are there for every replica, each as it was", async () => {
  const shared = createMemoryShared();
  const [store, other] = [shared.open(), shared.open()];
  const grant = { uses: "unlimited", namespace: undefined, serviceAccount: undefined } as const;
  const made = newToken({ ...grant, expiresMs: wallMs + 60_000 }, randomBytes);
  const old = newToken({ ...grant, expiresMs: wallMs - 1 }, randomBytes);
  const taken = await taking(store, {
    instances: [instance("a"), instance("b", 30)],
    changes: [change("x"), change("s", "Secret")],
    addresses: [{ key: "default/shop", value: "77" }],
    tokens: [made.stored, old.stored],
  });
  assert.deepEqual(taken, { instances: 2, changes: 2, addresses: 1, tokens: 1 });
  const registry = createSharedRegistry({ store: other, clock });
  assert.deepEqual(
    registry.list().map(({ resourceVersion: _, ...rest }) => rest),
    [instance("a"), instance("b", 30)].map(({ resourceVersion: _, ...rest }) => rest),
  );
  assert.deepEqual(changesIn(other), [change("x"), change("s", "Secret")]);
  assert.ok(![...shared.records.values()].some(({ value }) => value.includes('"s"')), "a Secret is sealed");
  const addresses = createSharedAddresses({ store: other, setTimer, log }).allocate(["default/shop"]);
  assert.equal(addresses.get("default/shop")?.v4, "240.240.0.77");
  const tokens = openSharedTokens({ store: other, randomBytes });
  assert.ok(tokens.check(made.token, wallMs));
  assert.equal(tokens.check(old.token, wallMs - 10), undefined);
  // Who is not heard of goes as ever.
  shared.expire(shared.records.get("alive/default/shop/b")?.lease ?? "");
  assert.ok(!shared.records.has("alive/default/shop/b"));
});

test("nothing that is in the store already is changed, and no two services get one address", async () => {
  const shared = createMemoryShared();
  const store = shared.open();
  await taking(store, { instances: [instance("a", 0, 81)], addresses: [{ key: "default/other", value: "77" }] });
  const before = shared.records.get("instances/default/shop/a");
  const addresses = [
    { key: "default/shop", value: "77" },
    { key: "default/third", value: "78" },
  ];
  const taken = await taking(store, { instances: [instance("a"), instance("b")], addresses });
  assert.deepEqual(taken, { instances: 1, changes: 0, addresses: 1, tokens: 0 });
  assert.deepEqual(shared.records.get("instances/default/shop/a"), before);
  assert.ok(!shared.records.has("addresses/default/shop"));
});

test("thousands go in parts, two replicas that take over at once add up, and one that was cut off goes on", async () => {
  const shared = createMemoryShared();
  const [one, two] = [shared.open(), shared.open()];
  const many = (name: string) => Array.from({ length: 1_000 }, (_, i) => instance(`${name}${i}`, i % 2));
  const cut = {
    ...one,
    write: async (...args: Parameters<typeof one.write>) => {
      if (one.group("instances").size > 300) one.cut();
      return await one.write(...args);
    },
  };
  await assert.rejects(() => takeOver({ store: cut, seal, own: { ...nothing, instances: many("a") }, wallMs }), {
    code: "WF2202",
  });
  one.mend();
  const both = await Promise.all([
    taking(one, { instances: [...many("a"), ...many("c")] }),
    taking(two, { instances: [...many("b"), ...many("c")] }),
  ]);
  const ids = new Set(two.group("instances").keys());
  assert.equal(ids.size, 3_000);
  assert.ok(both[0].instances + both[1].instances < 3_000);
  assert.equal(two.group("alive").size, 1_500);
});
