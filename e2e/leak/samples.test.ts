import assert from "node:assert/strict";
import { test } from "node:test";
import { findGrowth, type Sample, slopePerMillion } from "./samples.ts";

const noise = [0, 300_000, -200_000, 100_000, -100_000];
const sample = (i: number, more: Partial<Sample> = {}): Sample => ({
  requests: i * 500_000,
  openFiles: 30,
  handles: { TCPServerWrap: 4 },
  heapBytes: 20e6 + (noise[i % 5] ?? 0),
  externalBytes: 5e6,
  residentBytes: 100e6 + 10 * (noise[i % 5] ?? 0),
  ...more,
});
const samplesOf = (more: (i: number) => Partial<Sample>): readonly Sample[] =>
  Array.from({ length: 21 }, (_, i) => sample(i, more(i)));

test("noise about a level is no growth, and neither is a start that fills caches", () => {
  assert.deepEqual(findGrowth(samplesOf(() => ({}))), []);
  assert.deepEqual(findGrowth(samplesOf((i) => ({ residentBytes: 100e6 + 40e6 * Math.min(1, i / 8) }))), []);
});

test("a byte a request is found, wherever it is", () => {
  const line = (i: number): number => i * 500_000;
  for (const key of ["heapBytes", "externalBytes"] as const)
    assert.equal(findGrowth(samplesOf((i) => ({ [key]: 20e6 + line(i) }))).length, 1, key);
  assert.equal(findGrowth(samplesOf((i) => ({ residentBytes: 100e6 + 3 * line(i) }))).length, 1);
});

test("handles and descriptors that pile up are found", () => {
  assert.deepEqual(findGrowth(samplesOf((i) => ({ openFiles: 30 + i }))), ["open files: 40 → 50"]);
  assert.deepEqual(findGrowth(samplesOf((i) => ({ handles: { Timeout: i } }))), ["Timeout: 10 → 20"]);
});

test("two samples say nothing", () => {
  assert.deepEqual(findGrowth([sample(0), sample(1)]), ["too few samples to tell"]);
});

test("the slope is that of the line", () => {
  const samples = [0, 1, 2, 3].map((i) => sample(i, { heapBytes: 7 + 3 * i }));
  assert.equal(
    slopePerMillion(samples, ({ heapBytes }) => heapBytes),
    6,
  );
});
