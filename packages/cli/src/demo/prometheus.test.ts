import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePrometheus, quantile } from "./prometheus.ts";

test("samples are read with their labels, comments and other names passed over", () => {
  const text = '# TYPE a counter\na{x="1",y="a \\"b\\" \\\\ {}"} 3\nb 4\nnot a sample\na 5 1700000000\n';
  const samples = parsePrometheus(text, (name) => name === "a");
  assert.deepEqual(
    samples.map(({ value }) => value),
    [3, 5],
  );
  assert.equal(samples[0]?.labels.get("y"), 'a "b" \\ {}');
});

test("a quantile lies inside the bucket that holds it", () => {
  const buckets = [
    { le: 1, count: 50 },
    { le: 5, count: 90 },
    { le: Number.POSITIVE_INFINITY, count: 100 },
  ];
  assert.equal(quantile(buckets, 0.5), 1);
  assert.equal(quantile(buckets, 0.7), 3);
  assert.equal(quantile(buckets, 0.99), 5, "beyond the last finite bucket it is that bucket's edge");
  assert.equal(quantile([], 0.5), 0);
});
