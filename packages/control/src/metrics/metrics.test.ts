import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "./metrics.ts";

test("counters, gauges and histograms print in Prometheus' form, sorted by name", () => {
  const metrics = createMetrics();
  const seconds = metrics.histogram("z_seconds", "Time.", [0.1, 1], ["type"]);
  seconds.observe(0.05, "a");
  seconds.observe(0.5, "a");
  seconds.observe(5, "a");
  metrics.counter("a_total", "Count.").add(2);
  metrics.gauge("m", "Gauge.", ["name"]).set(7, 'quote " and \\ and \n end');
  assert.equal(
    metrics.print(),
    `# HELP a_total Count.
# TYPE a_total counter
a_total 2
# HELP m Gauge.
# TYPE m gauge
m{name="quote \\" and \\\\ and \\n end"} 7
# HELP z_seconds Time.
# TYPE z_seconds histogram
z_seconds_bucket{type="a",le="0.1"} 1
z_seconds_bucket{type="a",le="1"} 2
z_seconds_bucket{type="a",le="+Inf"} 3
z_seconds_sum{type="a"} 5.55
z_seconds_count{type="a"} 3
`,
  );
});

test("labels without end end in one series", () => {
  const metrics = createMetrics();
  const counter = metrics.counter("c_total", "Count.", ["who"]);
  for (let i = 0; i < 10_100; i++) counter.add(1, String(i));
  const lines = metrics.print().split("\n");
  assert.ok(lines.length < 10_010);
  assert.ok(lines.includes('c_total{who=""} 100'));
});

test("a metric is declared once", () => {
  const metrics = createMetrics();
  metrics.counter("a", "");
  assert.throws(() => metrics.gauge("a", ""), /declared twice/);
});

test("a series that is held on to counts with the one that is looked up, and what is no number is in no bucket", () => {
  const metrics = createMetrics();
  const counter = metrics.counter("c_total", "Count.", ["who"]);
  const held = counter.of("a");
  held.add(2);
  counter.add(3, "a");
  metrics.histogram("h", "Time.", [1]).observe(Number.NaN);
  const lines = metrics.print().split("\n");
  assert.ok(lines.includes('c_total{who="a"} 5'));
  assert.ok(lines.includes('h_bucket{le="1"} 0') && lines.includes('h_bucket{le="+Inf"} 1'));
});
