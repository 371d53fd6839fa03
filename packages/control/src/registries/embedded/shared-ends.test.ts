/** Most of a service that is not renewed in time, at control planes that share a store. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { recordsPerWriteMax } from "../../store/shared/shared-store.ts";
import { endedGroup } from "./shared-records.ts";
import { openSharedWorld } from "./testing/shared-world.ts";

const ref = (id: string, service = "shop") => ({ namespace: "default", service, id });
const body = (ttlSeconds = 5) => ({ address: "10.0.0.1", port: 80, ttlSeconds });

const world = () => {
  const { time, shared, open: openOne, expire } = openSharedWorld();
  const open = (id: string) => {
    const { store, registry, die } = openOne(id);
    const shown = (service = "shop"): string =>
      registry
        .list({ namespace: "default", service })
        .map((one) => (one.heldUntil === undefined ? one.id : `${one.id} held`))
        .join(", ");
    return { store, registry, shown, die };
  };
  const runOut = async (...ids: readonly string[]): Promise<void> => {
    for (const id of ids) expire(id.includes("/") ? id : `shop/${id}`);
    await time.advance(0);
  };
  return { time, shared, open, runOut };
};

const started = async (ids: readonly string[], ttlSeconds?: number) => {
  const { time, shared, open, runOut } = world();
  const [one, two] = [open("1"), open("2")];
  await time.advance(0);
  for (const id of ids) await one.registry.put(ref(id), body(ttlSeconds));
  return { time, shared, open, runOut, one, two };
};

test("more than half of a service is held at every replica, those that went first with it, until the hold's lease ends", async () => {
  const { one, two, runOut, shared } = await started(["a", "b", "c", "d"]);
  await runOut("a");
  await runOut("b");
  assert.deepEqual([one.shown(), two.shown()], ["c, d", "c, d"]);
  const told: string[] = [];
  two.registry.watch({ since: two.registry.version() }, ({ type, object }) => told.push(`${type} ${object.id}`));
  await runOut("c");
  assert.equal(one.shown(), "a held, b held, c held, d");
  assert.equal(two.shown(), one.shown());
  assert.deepEqual(told.sort(), ["ADDED a", "ADDED b", "MODIFIED c"]);
  assert.deepEqual(one.registry.list(), two.registry.list());
  assert.ok(![...shared.records.keys()].some((key) => key.startsWith(`${endedGroup}/`)));
  await runOut("a", "b", "c");
  assert.deepEqual([one.shown(), two.shown()], ["d", "d"]);
  assert.ok(
    ![...shared.records.keys()].some((key) => key.startsWith(`${endedGroup}/`)),
    "the end of a hold is no expiry",
  );
});

test("the only instance of a service, and half of one, are believed at once", async () => {
  const { one, two, runOut } = await started(["a", "b", "c", "d"]);
  await one.registry.put(ref("x", "web"), body());
  await runOut("web/x");
  await runOut("a", "b");
  assert.deepEqual([one.shown(), two.shown(), two.shown("web")], ["c, d", "c, d", ""]);
});

test("ends further apart than the window are each believed: the record of the first is gone by then", async () => {
  const { one, runOut, shared } = await started(["a", "b"]);
  await runOut("a");
  shared.expire(shared.records.get(`${endedGroup}/default/shop/a`)?.lease ?? "none");
  await runOut("b");
  assert.equal(one.shown(), "");
});

test("a replica that comes later judges by what happened before", async () => {
  const { one, two, open, runOut, time } = await started(["a", "b", "c"]);
  await runOut("a");
  one.die();
  two.die();
  const next = open("3");
  await time.advance(0);
  assert.equal(next.shown(), "b, c");
  await runOut("b");
  assert.equal(next.shown(), "a held, b held, c");
});

test("one that renews while it is held, or registers again, is live again at all replicas", async () => {
  const { one, two, runOut } = await started(["a", "b", "c"]);
  await runOut("a", "b", "c");
  assert.equal(two.shown(), "a held, b held, c held");
  assert.equal((await two.registry.heartbeat(ref("a"))).heldUntil, undefined);
  assert.equal((await two.registry.put(ref("b"), body())).created, false);
  assert.deepEqual([one.shown(), two.shown()], ["a, b, c held", "a, b, c held"]);
  assert.equal((await one.registry.heartbeat(ref("a"))).id, "a");
  // From here on it has a lease of its own time.
  await runOut("c");
  assert.equal(one.shown(), "a, b");
});

test("a removal is believed at once: of one that is held, and of one that ended before the others", async () => {
  const { one, two, runOut, shared } = await started(["a", "b", "c"]);
  await runOut("a");
  await assert.rejects(async () => two.registry.remove(ref("a")), { code: "WF8003" });
  assert.ok(!shared.records.has(`${endedGroup}/default/shop/a`));
  await runOut("b", "c");
  assert.equal(one.shown(), "b held, c held");
  await two.registry.remove(ref("b"));
  assert.deepEqual([one.shown(), two.shown()], ["c held", "c held"]);
});

test("one that registered again after its end counts no more, and is not put back to what it was", async () => {
  const { one, runOut } = await started(["a", "b", "c", "d"]);
  await runOut("a");
  await one.registry.put(ref("a"), { ...body(), weight: 7 });
  await runOut("b", "c");
  assert.equal(one.shown(), "a, d", "two of four");
  assert.equal(one.registry.get(ref("a"))?.weight, 7);
});

test("what was held is so after all replicas were away, and one that lives then has its time to say so", async () => {
  const { one, two, open, runOut, time } = await started(["a", "b", "c"]);
  await runOut("a", "b");
  assert.equal(one.shown(), "a held, b held, c");
  one.die();
  two.die();
  await runOut("a");
  const next = open("3");
  assert.equal(next.shown(), "a held, b held, c");
  await time.advance(0);
  assert.equal(next.shown(), "a held, b held, c", "its hold ended unheard: it has its time to live");
  await next.registry.heartbeat(ref("b"));
  await runOut("a");
  assert.equal(next.shown(), "b, c");
});

test("very many of several services that end together are all held, in writes that the store takes", async () => {
  const { time, open, runOut } = world();
  const [one, two] = [open("1"), open("2")];
  let [most, writes] = [0, 0];
  for (const { store } of [one, two]) {
    const { write } = store;
    store.write = (change) => {
      writes++;
      const operations = (change.puts?.length ?? 0) + (change.deletes?.length ?? 0);
      most = Math.max(most, operations, change.seen.length);
      return write(change);
    };
  }
  await time.advance(0);
  const services = Array.from({ length: 20 }, (_, i) => `s${i}`);
  const ids = Array.from({ length: 10 }, (_, i) => `i${i}`);
  for (const service of services) for (const id of ids) await one.registry.put(ref(id, service), body());
  writes = 0;
  await runOut(...services.flatMap((service) => ids.map((id) => `${service}/${id}`)));
  for (const service of services) {
    assert.equal(one.shown(service), ids.map((id) => `${id} held`).join(", "));
    assert.equal(two.shown(service), one.shown(service));
  }
  assert.ok(most <= recordsPerWriteMax, `${most} operations or comparisons`);
  assert.ok(writes < 100, `${writes} writes`);
});
