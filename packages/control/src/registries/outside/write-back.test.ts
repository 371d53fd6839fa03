import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLogger } from "@weft/core/world";
import { withoutOwn } from "./own-instances.ts";
import { testInstance } from "./testing/instance.ts";
import { openWriteBack, renewMs, writesAtOnceMax, writtenInstancesMax } from "./write-back.ts";
import { WriteRefusal, type WriteTools, type WrittenInstance, writtenByLabel } from "./write-session.ts";

const make = () => {
  const registry = new Map<string, WrittenInstance>();
  const calls: string[] = [];
  const timers = new Set<{ readonly callback: () => void; readonly delayMs: number }>();
  let fails: Error | undefined;
  let refuses: ReadonlySet<string> = new Set();
  let tools: WriteTools | undefined;
  let held: (() => void)[] | undefined;
  let disposals = 0;
  const answer = async (call: string): Promise<void> => {
    calls.push(call);
    if (held) await new Promise<void>((resolve) => held?.push(resolve));
    if (fails) throw fails;
  };
  const writer = openWriteBack({
    name: "consul",
    mesh: "mesh",
    open: async (given) => {
      tools = given;
      await answer("open");
      return {
        put: async (one) => {
          await answer(`put ${one.id}:${one.port}`);
          if (refuses.has(one.id)) throw new WriteRefusal("it is too long");
          registry.set(one.key, one);
        },
        remove: async (one) => {
          await answer(`remove ${one.id}`);
          registry.delete(one.key);
        },
        renew: async (all) => {
          await answer("renew");
          return [...all.keys()].filter((key) => !registry.has(key));
        },
        [Symbol.dispose]: () => void disposals++,
      };
    },
    clock: { nowMs: () => 0, wallMs: () => 0 },
    setTimer: (callback, delayMs) => {
      const timer = { callback, delayMs };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    random: () => 0.5,
    log: silentLogger,
  });
  const settle = async (): Promise<void> => {
    for (let at = 0; at < 30; at++) await turn();
  };
  const fire = async (): Promise<void> => {
    for (const timer of [...timers]) if (timers.delete(timer)) timer.callback();
    await settle();
  };
  const took = (): readonly string[] => calls.splice(0);
  return {
    ...{ writer, registry, timers, fire, settle, took },
    fail: (error: Error | undefined) => {
      fails = error;
    },
    refuse: (...ids: readonly string[]) => {
      refuses = new Set(ids);
    },
    hold: () => {
      held = [];
    },
    release: async () => {
      const all = held ?? [];
      held = undefined;
      for (const resolve of all) resolve();
      await settle();
    },
    end: (reason: string) => tools?.ended(reason),
    disposals: () => disposals,
  };
};
const one = (id: string, port = 80): WrittenInstance => ({ ...testInstance(id), key: id, id, port });

test("what comes is written, what changes is written again, what goes is taken out, and nothing twice", async () => {
  const { writer, fire, settle, took, registry } = make();
  writer.put(one("a"));
  await fire();
  assert.deepEqual(took(), ["open", "put a:80"]);
  writer.put(one("a"));
  await settle();
  writer.put(one("a", 81));
  writer.put(one("b"));
  await settle();
  writer.remove("b");
  writer.remove("never");
  await settle();
  assert.deepEqual(took(), ["put a:81", "put b:80", "remove b"]);
  assert.deepEqual([...registry.keys()], ["a"]);
  const { state, wanted, written } = writer.status();
  assert.deepEqual({ state, wanted, written }, { state: "live", wanted: 1, written: 1 });
});

test("a change while its write is under way follows it, and only the last of several", async () => {
  const { writer, fire, settle, took, hold, release, registry } = make();
  await fire();
  hold();
  writer.put(one("a"));
  for (const port of [81, 82, 83]) writer.put(one("a", port));
  await settle();
  await release();
  assert.deepEqual(took(), ["open", "put a:80", "put a:83"]);
  assert.equal(registry.get("a")?.port, 83);
  hold();
  writer.put(one("a", 90));
  writer.remove("a");
  await release();
  await settle();
  assert.deepEqual(took(), ["put a:90", "remove a"]);
});

test("only so many calls run at once", async () => {
  const { writer, fire, settle, took, hold, release } = make();
  await fire();
  took();
  hold();
  for (let id = 0; id < 50; id++) writer.put(one(`i${id}`));
  await settle();
  assert.equal(took().length, writesAtOnceMax);
  await release();
  assert.equal(took().length, 50 - writesAtOnceMax);
  assert.equal(writer.status().written, 50);
});

test("what is missing when it is renewed is written again, and nothing else", async () => {
  const { writer, fire, took, registry, timers } = make();
  for (const id of ["a", "b"]) writer.put(one(id));
  await fire();
  took();
  assert.deepEqual(
    [...timers].map(({ delayMs }) => delayMs),
    [renewMs],
  );
  registry.delete("a");
  await fire();
  assert.deepEqual(took(), ["renew", "put a:80"]);
  await fire();
  assert.deepEqual(took(), ["renew"]);
});

test("after a lost connection everything is written again, and what went meanwhile is taken out", async () => {
  const { writer, fire, took, fail, settle, registry, disposals } = make();
  for (const id of ["a", "b"]) writer.put(one(id));
  await fire();
  fail(new Error("connect ECONNREFUSED"));
  await fire();
  await fire();
  assert.equal(disposals(), 1);
  const { state, reason, written } = writer.status();
  assert.deepEqual({ state, reason, written }, { state: "lost", reason: "connect ECONNREFUSED", written: 0 });
  writer.remove("b");
  writer.put(one("c"));
  await settle();
  took();
  fail(undefined);
  await fire();
  assert.deepEqual(took().toSorted(), ["open", "put a:80", "put c:80", "remove b"]);
  assert.deepEqual([...registry.keys()].sort(), ["a", "c"]);
});

test("a write whose answer was lost is taken out all the same when it is wanted no more", async () => {
  const { writer, fire, took, fail } = make();
  await fire();
  fail(new Error("reset"));
  writer.put(one("a"));
  await fire();
  writer.remove("a");
  fail(undefined);
  took();
  await fire();
  assert.deepEqual(took(), ["open", "remove a"]);
});

test("a driver that says its session is over gets another, once", async () => {
  const { writer, fire, took, end } = make();
  writer.put(one("a"));
  await fire();
  took();
  end("the session expired");
  end("the session expired");
  assert.equal(writer.status().reason, "the session expired");
  await fire();
  assert.deepEqual(took(), ["open", "put a:80"]);
});

test("a record that is refused harms no other, is told by its key, and is tried again with the next renewal", async () => {
  const { writer, fire, took, refuse } = make();
  refuse("bad");
  for (const id of ["bad", "good"]) writer.put(one(id));
  await fire();
  const { state, written, refused } = writer.status();
  assert.deepEqual([state, written, [...refused]], ["live", 1, [["bad", "it is too long"]]]);
  refuse();
  took();
  await fire();
  assert.deepEqual(took(), ["renew", "put bad:80"]);
  assert.equal(writer.status().refused.size, 0);
});

test("more than one registry is given are left out and counted, and taken in no later", async () => {
  const { writer } = make();
  for (let id = 0; id < writtenInstancesMax + 2; id++) writer.put(one(`i${id}`));
  assert.equal(writer.status().wanted, writtenInstancesMax);
  assert.equal(writer.status().left, 2);
  writer.remove(`i${writtenInstancesMax}`);
  assert.equal(writer.status().left, 1);
});

test("a writer that is closed leaves what stands there to its time-to-live, and calls nobody", async () => {
  const { writer, fire, took, registry, timers, disposals } = make();
  writer.put(one("a"));
  await fire();
  took();
  writer[Symbol.dispose]();
  await fire();
  assert.deepEqual(took(), []);
  assert.equal(registry.size, 1);
  assert.equal(timers.size, 0);
  assert.equal(disposals(), 1);
});

test("what this mesh wrote is not read back; what another wrote is", () => {
  const by = (mesh: string) => ({ ...testInstance(mesh), labels: { [writtenByLabel]: mesh } });
  const [own, other] = [by("mesh"), by("other")];
  assert.deepEqual(withoutOwn({ kind: "put", instance: other }, "mesh"), [{ kind: "put", instance: other }]);
  const gone = { kind: "removed", key: own.key, because: "deleted" } as const;
  assert.deepEqual(withoutOwn({ kind: "put", instance: own }, "mesh"), [gone]);
  const listed = { kind: "listed", instances: [own, other] } as const;
  assert.deepEqual(withoutOwn(listed, "mesh"), [gone, { kind: "listed", instances: [other] }]);
  assert.deepEqual(withoutOwn(gone, "mesh"), [gone]);
});
