import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { collectGarbage, giveBackMemory } from "./give-back-memory.ts";

const megabytes = 1024 * 1024;

test("garbage is given back, what is in use stays, and the program gets no gc of its own", () => {
  const kept = Array.from({ length: 1000 }, (_, i) => ({ i }));
  let garbage: object[] | undefined = Array.from({ length: 200_000 }, (_, i) => ({ i, text: `${i}` }));
  assert.equal(garbage.length, 200_000);
  const before = process.memoryUsage().heapUsed;
  garbage = undefined;
  giveBackMemory();
  assert.ok(process.memoryUsage().heapUsed < before - 5 * megabytes);
  assert.equal(kept[999]?.i, 999);
  assert.equal("gc" in globalThis, false);
});

test("garbage is collected where requests wait too, and what is in use stays", () => {
  let garbage: object[] | undefined = Array.from({ length: 200_000 }, (_, i) => ({ i, text: `${i}` }));
  const before = process.memoryUsage().heapUsed;
  assert.equal(garbage.length, 200_000);
  garbage = undefined;
  collectGarbage();
  assert.ok(process.memoryUsage().heapUsed < before - 5 * megabytes);
});

test("threads that collect at the same time do not take it from each other", async () => {
  const path = JSON.stringify(new URL("./give-back-memory.ts", import.meta.url).href);
  const code = `import { parentPort } from "node:worker_threads";
    const { giveBackMemory } = await import(${path});
    let collected = 0;
    for (let i = 0; i < 10; i++) {
      let garbage = Array.from({ length: 50_000 }, (_, at) => ({ at }));
      const ref = new WeakRef(garbage);
      garbage = undefined;
      await new Promise(setImmediate);
      giveBackMemory();
      if (ref.deref() === undefined) collected++;
    }
    parentPort.postMessage(collected);`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const counts = await Promise.all(
    [1, 2].map((_) => new Promise((resolve) => new Worker(url).once("message", resolve))),
  );
  assert.deepEqual(counts, [10, 10]);
});
