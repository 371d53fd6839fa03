import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryShared } from "../../store/shared/testing/memory-shared-store.ts";
import type { InstanceRef } from "./instance.ts";
import { createSharedLeases, marginSeconds, ofSeveral, ownMax } from "./shared-leases.ts";
import { aliveGroup, aliveRecordKey } from "./shared-records.ts";
import { createSharedRegistry } from "./shared-registry.ts";

const ref = (id: string): InstanceRef => ({ namespace: "default", service: "shop", id });
const body = { address: "10.0.0.1", port: 80, ttlSeconds: 30 };

/** More than have leases of their own: `c0` and those after it have that of several. */
const crowd = async () => {
  const shared = createMemoryShared();
  const store = shared.open();
  const clock = { now: 0, nowMs: () => clock.now, wallMs: () => clock.now };
  const revoked: string[] = [];
  const registry = createSharedRegistry({
    store: { ...store, revoke: async (lease) => void revoked.push(lease) },
    clock,
  });
  await Promise.all(Array.from({ length: ownMax }, (_, at) => registry.put(ref(`own${at}`), body)));
  await Promise.all(Array.from({ length: 5 }, (_, at) => registry.put(ref(`c${at}`), body)));
  const recordOf = (id: string) => shared.records.get(aliveRecordKey(ref(id)));
  const several = recordOf("c0")?.lease ?? "";
  const living = (): readonly string[] =>
    ["c0", "c1", "c2", "c3", "c4"].filter((id) => store.group(aliveGroup).has(aliveRecordKey(ref(id))));
  return { shared, registry, clock, recordOf, several, living, revoked };
};

test("very many who register at once share a lease, and those before them have their own", async () => {
  const { shared, recordOf, several } = await crowd();
  const leases = new Set([...shared.records.values()].flatMap(({ lease }) => lease ?? []));
  assert.equal(leases.size, ownMax + 1);
  for (const id of ["c0", "c4"]) assert.deepEqual([recordOf(id)?.value, recordOf(id)?.lease], [ofSeveral, several]);
  assert.equal(recordOf("own0")?.value, recordOf("own0")?.lease);
});

test("who is heard of gets a lease of its own, and does not keep alive those who are not", async () => {
  const { shared, registry, clock, recordOf, several, living } = await crowd();
  clock.now = 5_000;
  const { resourceVersion } = await registry.heartbeat(ref("c0"));
  assert.equal(registry.get(ref("c0"))?.resourceVersion, resourceVersion);
  const again = await registry.put(ref("c1"), body);
  assert.deepEqual([again.created, again.instance], [false, registry.get(ref("c1"))]);
  for (const id of ["c0", "c1"]) {
    assert.notEqual(recordOf(id)?.lease, several);
    assert.equal(recordOf(id)?.value, recordOf(id)?.lease);
  }
  shared.expire(several);
  assert.deepEqual(living(), ["c0", "c1"]);
  await assert.rejects(async () => registry.heartbeat(ref("c2")), { code: "WF8003" });
});

test("the end or the change of one takes none of the others with it", async () => {
  const { registry, clock, living, recordOf, several, revoked } = await crowd();
  clock.now = 5_000;
  await registry.remove(ref("c0"));
  await registry.put(ref("c1"), { ...body, weight: 5 });
  await registry.put(ref("c2"), { ...body, ttlSeconds: 0 });
  assert.deepEqual(living(), ["c1", "c3", "c4"]);
  assert.ok(!revoked.includes(several) && !revoked.includes(ofSeveral), revoked.join());
  assert.deepEqual([recordOf("c3")?.lease, registry.get(ref("c2"))?.ttlSeconds], [several, 0]);
});

test("a crowd of heartbeats is moved to one other lease", async () => {
  const { registry, recordOf, several, clock } = await crowd();
  clock.now = 1_500;
  for (let at = 0; at < ownMax; at++) await registry.put(ref(`later${at}`), body);
  await Promise.all(["c0", "c1"].map(async (id) => registry.heartbeat(ref(id))));
  const moved = recordOf("c0");
  assert.deepEqual([moved?.value, recordOf("c1")?.lease], [ofSeveral, moved?.lease]);
  assert.notEqual(moved?.lease, several);
});

test("a lease of several is given out for a second, is longer by a margin, and one that could not be had is asked for anew", async () => {
  const clock = { now: 0, nowMs: () => clock.now };
  const asked: number[] = [];
  let fails = false;
  const grant = async (seconds: number): Promise<string> => {
    asked.push(seconds);
    if (fails) throw new Error("away");
    return `l${asked.length}`;
  };
  const leases = createSharedLeases({ grant }, clock);
  for (let at = 0; at < ownMax; at++) await leases.take(30);
  const first = await leases.take(30);
  assert.deepEqual([first, asked.at(-1)], [{ lease: `l${ownMax + 1}`, value: ofSeveral }, 30 + marginSeconds]);
  assert.deepEqual(await leases.take(30), first);
  const other = await leases.take(60);
  assert.deepEqual([other.value, asked.at(-1)], [ofSeveral, 60 + marginSeconds]);
  const short = await leases.take(5);
  assert.equal(short.value, short.lease);
  clock.now = 999;
  assert.deepEqual(await leases.take(30), first);
  clock.now = 1_000;
  for (let at = 0; at < ownMax; at++) await leases.take(30);
  fails = true;
  await assert.rejects(leases.take(30), /away/);
  fails = false;
  assert.notEqual((await leases.take(30)).lease, first.lease);
});
