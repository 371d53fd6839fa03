import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createMemoryShared } from "../../store/shared/testing/memory-shared-store.ts";
import { asTold, createChangeHistory } from "./change-history.ts";
import type { RegistryEvent } from "./registry.ts";
import { instanceRecordKey } from "./shared-records.ts";
import { createSharedRegistry } from "./shared-registry.ts";

const changes = (...versions: readonly number[]) => versions.map((resourceVersion, n) => ({ resourceVersion, n }));
const versionsOf = (told: readonly { readonly resourceVersion: number }[]): readonly number[] =>
  told.map(({ resourceVersion }) => resourceVersion);

test("a change is told with the version up to which everything is told with it", () => {
  for (const [given, before, told] of [
    [[3, 4, 5], 2, [3, 4, 5]],
    [[3, 3, 3], 2, [2, 2, 3]],
    [[3, 3, 4, 4], 2, [2, 3, 3, 4]],
    // As a list that was read again tells it: what is gone first.
    [[9, 9, 5, 7], 4, [4, 4, 4, 9]],
    // Of a store that has gone back.
    [[3, 4], 8, [8, 8]],
  ] as const)
    assert.deepEqual(versionsOf(asTold(changes(...given), before)), told);
});

test("who is cut off anywhere, and comes back with the version it was told last, has missed nothing", () => {
  const batches = fc.array(fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }), { maxLength: 12 });
  fc.assert(
    fc.property(batches, fc.nat(80), fc.nat(12), (all, cut, startedAt) => {
      const history = createChangeHistory<{ readonly resourceVersion: number; readonly n: number }>(8);
      history.startAt(startedAt);
      let n = 0;
      const told: { readonly resourceVersion: number; readonly n: number }[] = [];
      for (const batch of all) {
        told.push(...history.add(batch.map((resourceVersion) => ({ resourceVersion, n: n++ }))));
        assert.ok(told.every((one, i) => i === 0 || one.resourceVersion >= (told[i - 1]?.resourceVersion ?? 0)));
      }
      const seen = told.slice(0, cut);
      const missed = history.since(seen.at(-1)?.resourceVersion ?? startedAt);
      // Too long ago: it begins anew.
      if (!missed) return;
      const got = new Set([...seen, ...missed].map((one) => one.n));
      assert.equal(got.size, told.length);
    }),
    { numRuns: 2_000 },
  );
});

test("who has been told everything is told nothing again, and what is long gone cannot be asked for", () => {
  const history = createChangeHistory<{ readonly resourceVersion: number }>(4);
  history.startAt(10);
  for (let version = 11; version <= 40; version++) history.add([{ resourceVersion: version }]);
  assert.deepEqual(history.since(40), []);
  assert.deepEqual(versionsOf(history.since(38) ?? []), [39, 40]);
  for (const version of [10, 20, 41]) assert.equal(history.since(version), undefined);
  // What belongs together goes together.
  for (let version = 41; version <= 60; version++) {
    history.add([1, 2, 3].map(() => ({ resourceVersion: version })));
    assert.deepEqual(history.since(version), []);
    assert.equal(history.since(version - 1)?.length, 3);
  }
});

test("a watch that is cut off among changes that were written together goes on with all of them", async () => {
  const shared = createMemoryShared();
  const [one, two] = [shared.open(), shared.open()];
  const clock = { nowMs: () => 0, wallMs: () => Date.parse("2026-01-01T00:00:00Z") };
  const [here, there] = [one, two].map((store) => createSharedRegistry({ store, clock }));
  const ids = ["a", "b", "c"];
  const ref = (id: string) => ({ namespace: "default", service: "shop", id });
  const events: RegistryEvent[] = [];
  here?.watch({}, (event) => events.push(event));
  await here?.put(ref("z"), { address: "10.0.0.1", port: 80 });
  const { instance } = JSON.parse(one.get(instanceRecordKey(ref("z")))?.value ?? "") as { instance: object };
  // As one transaction of several writes.
  const puts = ids.map((id) => ({
    key: instanceRecordKey(ref(id)),
    value: JSON.stringify({ instance: { ...instance, id } }),
  }));
  await one.write({ seen: [], puts });
  assert.deepEqual(
    events.map(({ object }) => object.id),
    ["z", ...ids],
  );
  for (const [at, { resourceVersion }] of events.entries()) {
    const again: string[] = [];
    there?.watch({ since: resourceVersion }, ({ object }) => again.push(object.id))[Symbol.dispose]();
    assert.deepEqual(again, at === 0 || at === 3 ? ids.slice(at) : ids);
  }
  // So is one that is cut off while it is told what is there.
  const found: RegistryEvent[] = [];
  there?.watch({}, (event) => found.push(event));
  const [first, second] = found;
  assert.deepEqual([first?.object.id, second?.resourceVersion], ["z", first?.resourceVersion]);
});
