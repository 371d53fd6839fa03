import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { OutputBuffers, OutputQueue } from "./output.ts";
import { FRAME } from "./protocol.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** What was put in by reference and taken, and the arrays it was taken in, by their turn. */
const passThrough = (queue: OutputQueue, turns: number): readonly WeakRef<object>[] =>
  Array.from({ length: turns }, (_, turn) => {
    const chunk = Buffer.allocUnsafeSlow(100_000);
    if (turn % 2 === 0) queue.whole(chunk);
    else {
      queue.frame(FRAME.data, 0, 1, 0);
      queue.advance(queue.at + 9);
      queue.reference(chunk);
    }
    const taken = queue.take();
    assert.equal(taken.at(-1), chunk);
    if (turn % 4 < 2) queue.written();
    return [new WeakRef<object>(chunk), new WeakRef<object>(chunk.buffer), new WeakRef<object>(taken)];
  }).flat();

test("a queue keeps nothing of what was taken, whether it was written or not", async () => {
  const buffers = new OutputBuffers();
  const queue = new OutputQueue(buffers, () => {});
  const refs = passThrough(queue, 1_000);
  assert.equal(refs.length, 3_000);
  await new Promise(setImmediate);
  collect();
  assert.equal(refs.filter((ref) => ref.deref() !== undefined).length, 0);
  assert.equal(queue.bytes, 0);
  assert.equal(queue.take().length, 0);
});

test("buffers are used again only once what was in them is written", () => {
  const buffers = new OutputBuffers();
  const queue = new OutputQueue(buffers, () => {});
  const write = (streamId: number): Buffer => {
    queue.frame(FRAME.data, 0, streamId, 0);
    queue.advance(queue.at + 9);
    return queue.take()[0] as Buffer;
  };
  const first = write(1);
  const second = write(3);
  assert.notEqual(first.buffer, second.buffer);
  assert.deepEqual([first[8], second[8]], [1, 3]);
  queue.written();
  assert.ok([first.buffer, second.buffer].includes(write(5).buffer));
});
