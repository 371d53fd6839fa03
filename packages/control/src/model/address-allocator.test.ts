import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AllocationStore, createAddressAllocator, virtualAddressesMax } from "./address-allocator.ts";

const memory = (): AllocationStore & { readonly kept: Map<string, string> } => {
  const kept = new Map<string, string>();
  return {
    kept,
    load: () => [...kept].map(([key, value]) => ({ key, value })),
    write: (entries) => {
      for (const { key, value } of entries) {
        if (value === undefined) kept.delete(key);
        else kept.set(key, value);
      }
    },
  };
};

test("whatever comes and goes, nobody shares an address and nobody's changes", () => {
  const names = fc.array(fc.constantFrom(..."abcdefghijklmnop".split("")), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(names, { maxLength: 8 }), (rounds) => {
      const allocator = createAddressAllocator();
      let before = new Map<string, string>();
      for (const round of rounds) {
        const now = new Map([...allocator.allocate(round)].map(([key, { v4 }]) => [key, v4]));
        assert.deepEqual([...now.keys()].sort(), [...new Set(round)].sort());
        assert.equal(new Set(now.values()).size, now.size);
        for (const [key, address] of now) assert.ok(!before.has(key) || before.get(key) === address);
        before = now;
      }
    }),
  );
});

test("addresses are of the ranges set aside for them, and the same in another process", () => {
  const keys = Array.from({ length: 2000 }, (_, i) => `default/host-${i}.example`);
  const first = createAddressAllocator().allocate(keys);
  assert.equal(new Set([...first.values()].map(({ v4 }) => v4)).size, keys.length);
  for (const { v4, v6 } of first.values()) {
    assert.match(v4, /^240\.240\.\d{1,3}\.\d{1,3}$/);
    assert.notEqual(v4, "240.240.0.0");
    assert.match(v6, /^2001:2::[0-9a-f]{1,4}$/);
  }
  assert.deepEqual(createAddressAllocator().allocate(keys.toReversed()), first);
});

test("an address outlives the process; what the store holds wrongly is passed over", () => {
  const store = memory();
  store.kept.set("default/a", "7");
  store.kept.set("default/b", "7");
  store.kept.set("default/c", "-1");
  store.kept.set("default/gone", "9");
  const allocated = createAddressAllocator(store).allocate(["default/a", "default/b", "default/c"]);
  assert.equal(allocated.get("default/a")?.v4, "240.240.0.7");
  assert.notEqual(allocated.get("default/b")?.v4, "240.240.0.7");
  assert.deepEqual(createAddressAllocator(store).allocate(allocated.keys()), allocated);
  assert.equal(createAddressAllocator(store).allocate(["default/gone"]).get("default/gone")?.v4, "240.240.0.9");
});

test("when all are taken those that are gone make room, and then nobody gets one", () => {
  const store = memory();
  for (let place = 1; place <= virtualAddressesMax; place++) store.kept.set(`old/${place}`, String(place));
  const allocator = createAddressAllocator(store);
  const all = Array.from({ length: virtualAddressesMax - 1 }, (_, i) => `old/${i + 1}`);
  const crowded = allocator.allocate([...all, "new/a"]);
  assert.equal(crowded.size, virtualAddressesMax);
  assert.equal(crowded.get("new/a")?.v4, "240.240.255.254");
  assert.equal(store.kept.has(`old/${virtualAddressesMax}`), false);
  assert.equal(allocator.allocate([...all, "new/a", "new/b"]).get("new/b"), undefined);
});

test("a store that fails costs nobody an address, and is told what it missed with the next change", () => {
  const store = memory();
  let broken = true;
  const failing: AllocationStore = {
    ...store,
    write: (entries) => {
      if (broken) throw new Error("disk full");
      store.write(entries);
    },
  };
  const allocator = createAddressAllocator(failing);
  const first = allocator.allocate(["a"]).get("a");
  assert.ok(first);
  assert.equal(store.kept.size, 0);
  broken = false;
  allocator.allocate(["a"]);
  assert.deepEqual([...store.kept.keys()], ["a"]);
  assert.deepEqual(createAddressAllocator(store).allocate(["a"]).get("a"), first);
});
