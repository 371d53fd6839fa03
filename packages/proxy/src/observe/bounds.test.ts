import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createStats, nameCharsMax, seriesMax } from "./create-stats.ts";
import { parseWorkload } from "./peer.ts";
import { quantile } from "./print-histogram.ts";
import { decodeStruct, encodeStruct } from "./struct-codec.ts";

const json = fc.letrec<{ value: unknown; struct: object }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string(),
    fc.boolean(),
    fc.double({ noNaN: true }),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 3 }),
    tie("struct"),
  ),
  struct: fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }),
}));

test("a struct comes back as it was encoded", () => {
  fc.assert(
    fc.property(json.struct, (struct) => {
      const decoded = decodeStruct(encodeStruct(struct));
      assert.deepEqual(Object.fromEntries(decoded ?? [["undecoded", 1]]), struct);
    }),
  );
});

test("any bytes decode to a struct or to nothing, never to an error", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void decodeStruct(bytes)));
});

test("a struct nested too deep or too large is refused", () => {
  let deep: object = {};
  for (let i = 0; i < 12; i++) deep = { x: deep };
  assert.equal(decodeStruct(encodeStruct(deep)), undefined);
  const large = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`k${i}`, i]));
  assert.equal(decodeStruct(encodeStruct(large)), undefined);
});

test("names made by peers cannot grow the statistics without end", () => {
  const stats = createStats();
  for (let i = 0; i < seriesMax + 9; i++) stats.labelledCounter("c", [["peer", String(i)]]).add(1);
  const all = [...stats.series()];
  assert.ok(all.length <= seriesMax + 2);
  const find = (name: string) => all.find((series) => series.name === name);
  const overflow = find("overflow");
  assert.equal(overflow?.type === "counter" && overflow.value, 10);
  const refused = find("server.stats_refused");
  assert.equal(refused?.type === "counter" && refused.value, 10);
});

test("long names and label values are cut", () => {
  const stats = createStats();
  stats.labelledCounter("c", [["path", "x".repeat(5000)]]).add(1);
  const series = [...stats.series()].find(({ name }) => name === "c");
  assert.equal(series?.labels[0]?.[1].length, nameCharsMax);
});

test("quantiles lie within the buckets of the values", () => {
  const stats = createStats();
  const histogram = stats.histogram("h");
  for (let i = 0; i < 90; i++) histogram.record(3);
  for (let i = 0; i < 10; i++) histogram.record(700);
  const series = [...stats.series()].find(({ name }) => name === "h");
  assert.ok(series?.type === "histogram");
  const median = quantile(series.values, 50);
  const high = quantile(series.values, 99);
  assert.ok(median > 1 && median <= 5, String(median));
  assert.ok(high > 500 && high <= 1000, String(high));
});

test("an endpoint's workload may leave parts out", () => {
  assert.equal(parseWorkload("w;n;c;v1;k").canonicalRevision, "v1");
  const partial = parseWorkload("w;n;c");
  assert.deepEqual([partial.workload, partial.canonicalRevision, partial.cluster], ["w", "latest", "unknown"]);
  assert.equal(parseWorkload("").workload, "unknown");
});
