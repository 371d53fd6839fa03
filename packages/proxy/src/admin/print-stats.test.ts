import assert from "node:assert/strict";
import { test } from "node:test";
import { createStats } from "../observe/create-stats.ts";
import { createStatsPrinter } from "./print-stats.ts";

const all = { usedOnly: false, filter: undefined };

test("names are sorted lines; unused ones and those off the filter are left out on request", () => {
  const stats = createStats();
  stats.counter("cluster.b.upstream_rq_total").add(2);
  stats.gauge("server.live").set(1);
  stats.counter("cluster.a.upstream_rq_total");
  const printer = createStatsPrinter(stats);
  const own = (text: string) => text.split("\n").filter((line) => /^(cluster|server\.live)/.test(line));
  assert.deepEqual(own(printer.text(all)), [
    "cluster.a.upstream_rq_total: 0",
    "cluster.b.upstream_rq_total: 2",
    "server.live: 1",
  ]);
  assert.deepEqual(own(printer.text({ ...all, usedOnly: true })).length, 2);
  assert.deepEqual(own(printer.text({ ...all, filter: "^server" })), ["server.live: 1"]);
  assert.throws(() => printer.text({ ...all, filter: "(" }));
});

test("Prometheus names carry Envoy's tags, also where cluster names have dots and bars", () => {
  const stats = createStats();
  stats.counter("cluster.outbound|80||web.default.svc.cluster.local.upstream_rq_2xx").add(3);
  stats.gauge("cluster.c.outlier_detection.ejections_active").set(1);
  stats.counter("http.inbound_0.0.0.0_80.downstream_rq_total").add(1);
  stats.counter("listener.127.0.0.1_80.downstream_cx_total").add(1);
  const text = createStatsPrinter(stats).prometheus(all);
  const expected = [
    'envoy_cluster_upstream_rq_xx{envoy_cluster_name="outbound|80||web.default.svc.cluster.local",envoy_response_code_class="2"} 3',
    'envoy_cluster_outlier_detection_ejections_active{envoy_cluster_name="c"} 1',
    'envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="inbound_0.0.0.0_80"} 1',
    'envoy_listener_downstream_cx_total{envoy_listener_address="127.0.0.1_80"} 1',
  ];
  for (const line of expected) assert.ok(text.includes(`${line}\n`), line);
});

test("Istio's series keep their names and labels, with hostile values escaped", () => {
  const stats = createStats();
  stats.labelledCounter("istio_requests_total", [["source_app", 'a"b\\c\nd']]).add(1);
  stats.labelledHistogram("istio_request_duration_milliseconds", [["reporter", "source"]]).record(3);
  const text = createStatsPrinter(stats).prometheus(all);
  assert.ok(text.includes('istio_requests_total{source_app="a\\"b\\\\c\\nd"} 1\n'));
  assert.ok(text.includes('istio_request_duration_milliseconds_bucket{reporter="source",le="5"} 1\n'));
  assert.ok(text.includes('istio_request_duration_milliseconds_bucket{reporter="source",le="+Inf"} 1\n'));
  assert.ok(text.includes('istio_request_duration_milliseconds_count{reporter="source"} 1\n'));
  assert.equal(createStatsPrinter(stats).text(all).includes("istio_"), false);
});
