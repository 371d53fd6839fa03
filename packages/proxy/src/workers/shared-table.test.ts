import assert from "node:assert/strict";
import { test } from "node:test";
import { startThread } from "@weft/net/process/thread";
import fc from "fast-check";
import { createTableMemory, openSharedTable, type SharedTable, type TableMemory } from "./shared-table.ts";

const cells = { parts: [[0, 0]], passing: [1] } as const;
const shape = { rows: 8, lanes: 4, sharedCells: 2, laneCells: 3 };
const open = (memory: TableMemory, lane: number): SharedTable => openSharedTable(memory, lane, cells);
const held = (table: SharedTable, name: string): number => table.hold(name) ?? assert.fail("no room");

/** What one lane puts into a name's row, as a worker does: into the sum, and into its own part of it. */
const put = (table: SharedTable, row: number, lane: number, n: number): void => {
  Atomics.add(table.shared, table.sharedAt(row), n);
  const own = table.lanes[lane] ?? assert.fail();
  own[table.laneAt(row)] = (own[table.laneAt(row)] as number) + n;
};

test("threads that name the same thing share a row, and a row let go by all begins at zero again", () => {
  const memory = createTableMemory(shape);
  const [a, b] = [open(memory, 1), open(memory, 2)];
  const row = held(a, "c");
  assert.equal(held(b, "c"), row);
  assert.notEqual(held(b, "d"), row);
  put(a, row, 1, 5);
  assert.equal(b.shared[b.sharedAt(row)], 5);
  a.letGo(row);
  assert.equal(b.shared[b.sharedAt(row)], 5, "b still holds it");
  b.letGo(row);
  const again = held(a, "c");
  assert.equal(a.shared[a.sharedAt(again)], 0);
});

test("a full table has no room for another name, but for those it has", () => {
  const table = open(createTableMemory({ ...shape, rows: 2 }), 0);
  held(table, "a");
  const b = held(table, "b");
  assert.equal(table.hold("c"), undefined);
  assert.equal(table.hold("b"), b);
  table.letGo(b);
  assert.equal(table.hold("c"), undefined, "b is held once more");
  table.letGo(b);
  assert.notEqual(table.hold("c"), undefined);
});

test("the first thread takes the lock of one that died with it, before it can hear of the death", () => {
  const memory = createTableMemory(shape);
  const main = openSharedTable(memory, 0, cells, 3);
  const lock = new Int32Array(memory.index);
  lock[0] = 1 + 1;
  const row = held(main, "c");
  assert.equal(lock[0], 0, "it is free again");
  assert.equal(held(open(memory, 2), "c"), row);
});

test("what a dead thread had in use is free, what it only counted stays, and its lock does not hold the others", () => {
  const memory = createTableMemory(shape);
  const [main, dead, alive] = [open(memory, 0), open(memory, 1), open(memory, 2)];
  const row = held(dead, "c");
  held(main, "c");
  held(alive, "c");
  put(dead, row, 1, 3);
  put(alive, row, 2, 2);
  const own = dead.lanes[1] ?? assert.fail();
  own[dead.laneAt(row) + 1] = 7;
  own[dead.laneAt(row) + 2] = 9;
  held(dead, "only its own");
  new Int32Array(memory.index)[0] = 1 + 1;
  main.clearLane(1);
  assert.equal(main.shared[main.sharedAt(row)], 2);
  assert.deepEqual([...own.subarray(dead.laneAt(row), dead.laneAt(row) + 3)], [0, 0, 9]);
  for (let i = 0; i < 7; i++) held(main, `n${i}`);
  assert.equal(main.hold("one more"), undefined, "seven and c fill it: the dead thread's row was free");
});

/** What a table of rows by name with holds and sums does, in the plainest words. */
class Model {
  readonly rows = new Map<string, { sum: number; readonly holds: number[]; readonly parts: number[] }>();
}
const step = fc.record({
  lane: fc.integer({ min: 0, max: shape.lanes - 1 }),
  name: fc.constantFrom(..."abcdefghijkl"),
  what: fc.constantFrom("hold", "letGo", "put", "die"),
});

test("any interleaving of threads that hold, count, let go and die leaves the table as a plain map would be", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const memory = createTableMemory(shape);
      const tables = Array.from({ length: shape.lanes }, (_, lane) => open(memory, lane));
      const places = tables.map(() => new Map<string, number>());
      const { rows } = new Model();
      for (const { lane, name, what } of steps) {
        const table = tables[lane] ?? assert.fail();
        const own = places[lane] ?? assert.fail();
        const model = rows.get(name);
        if (what === "hold") {
          const row = table.hold(name);
          assert.equal(row === undefined, model === undefined && rows.size === shape.rows);
          if (row === undefined) continue;
          own.set(name, row);
          const now = model ?? { sum: 0, holds: tables.map(() => 0), parts: tables.map(() => 0) };
          rows.set(name, now);
          now.holds[lane] = (now.holds[lane] as number) + 1;
        } else if (what === "die") {
          tables[0]?.clearLane(lane);
          own.clear();
          for (const [key, each] of rows) {
            each.sum -= each.parts[lane] as number;
            each.parts[lane] = 0;
            each.holds[lane] = 0;
            if (each.holds.every((n) => n === 0)) rows.delete(key);
          }
        } else if (model && (model.holds[lane] as number) > 0) {
          const row = own.get(name) ?? assert.fail();
          if (what === "put") {
            put(table, row, lane, 1);
            model.sum++;
            model.parts[lane] = (model.parts[lane] as number) + 1;
          } else {
            if (model.holds[lane] === 1) {
              put(table, row, lane, -(model.parts[lane] as number));
              model.sum -= model.parts[lane] as number;
              model.parts[lane] = 0;
            }
            table.letGo(row);
            model.holds[lane] = (model.holds[lane] as number) - 1;
            if (model.holds.every((n) => n === 0)) rows.delete(name);
          }
        }
        for (const [at, table] of tables.entries())
          for (const [key, row] of places[at] ?? []) {
            const expected = rows.get(key);
            if (expected && (expected.holds[at] as number) > 0)
              assert.equal(table.shared[table.sharedAt(row)], expected.sum, `${key} in lane ${at}`);
          }
      }
    }),
    { numRuns: 300 },
  );
});

/** The module of a thread that holds and lets go of names as fast as it can, counting each time. */
const racer = (): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`
import { ownThread } from ${JSON.stringify(new URL("../../../net/src/process/thread.ts", import.meta.url).href)};
import { openSharedTable } from ${JSON.stringify(new URL("./shared-table.ts", import.meta.url).href)};
const { data } = ownThread();
const table = openSharedTable(data.memory, data.lane, { parts: [], passing: [] });
for (let i = 0; i < 20000; i++) {
  const row = table.hold("name" + (i % 5));
  Atomics.add(table.shared, table.sharedAt(data.total), 1);
  Atomics.add(table.shared, table.sharedAt(row), 1);
  if (Atomics.sub(table.shared, table.sharedAt(row), 1) < 1) throw new Error("somebody else's row");
  table.letGo(row);
}
`)}`,
  );

test("real threads that make and free the same rows at the same time lose no count and leave no row", async () => {
  const memory = createTableMemory({ ...shape, rows: 7 });
  const main = open(memory, 0);
  const total = held(main, "total");
  const errors: unknown[] = [];
  await Promise.all(
    [1, 2, 3].map(
      (lane) =>
        new Promise<void>((resolve) => {
          startThread({
            entry: racer(),
            data: { memory, lane, total },
            youngGenerationMb: 6,
            onMessage: () => undefined,
            onExit: (error) => {
              if (error) errors.push(error);
              resolve();
            },
          });
        }),
    ),
  );
  assert.deepEqual(errors, []);
  assert.equal(main.shared[main.sharedAt(total)], 60_000);
  for (let i = 0; i < 6; i++) held(main, `new ${i}`);
});
