import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessLogJson } from "@weft/xds/gen/envoy/config/accesslog/v3/accesslog";
import { compileCluster } from "../clusters/compile-cluster.ts";
import { staticCluster } from "../clusters/testing/fixtures.ts";
import {
  compileTools,
  downstream,
  exchange,
  headerList,
  request,
  testClock,
  tlsInfo,
} from "../compile/testing/fixtures.ts";
import type { Exchange } from "../http/exchange.ts";
import { compileAccessLog } from "./access-log.ts";
import { createStats } from "./create-stats.ts";
import { createIstioMetrics } from "./istio-metrics.ts";
import { printStats, printStatsJson } from "./print-stats.ts";
import { extractTags, printPrometheus } from "./prometheus.ts";
import type { TcpExchange } from "./tcp-exchange.ts";
import { createTextOut } from "./text-out.ts";

const file = (json: object): AccessLogJson => ({
  typedConfig: {
    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
    path: "/dev/stdout",
    ...json,
  } as object,
});

const log = (json: AccessLogJson, parts: Partial<Exchange> = {}, advanceMs = 0): string => {
  const lines: string[] = [];
  const clock = testClock();
  const compiled = compileAccessLog([json], "accessLog", {
    ...compileTools(undefined, clock),
    open: (path) => createTextOut((line) => lines.push(`${path} ${line}`)),
  });
  clock.advance(advanceMs);
  compiled?.http(exchange(parts));
  return lines.join("");
};

const text = (format: string, parts: Partial<Exchange> = {}, advanceMs = 0): string =>
  log(file({ logFormat: { textFormat: format } }), parts, advanceMs).replace("/dev/stdout ", "");

const istioFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

test("Istio's access log line comes out as Envoy writes it", () => {
  const line = text(
    istioFormat,
    {
      request: request("/b", { "x-envoy-original-path": "/a", "user-agent": "curl" }),
      response: { status: 503, headers: headerList({ "x-envoy-upstream-service-time": "7" }) },
      flags: "UF,URX",
      details: "upstream_reset",
      requestBodyBytes: 3,
      responseBodyBytes: 19,
    },
    12,
  );
  assert.equal(
    line,
    '[2024-01-02T03:04:05.678Z] "GET /a HTTP/1.1" 503 UF,URX upstream_reset - "-" 3 19 12 7 "-" "curl" "-" ' +
      '"a.example" "-" - - 10.0.0.2:8080 10.0.0.1:40000 - -\n',
  );
});

test("operators take lengths, alternatives, time formats and escapes", () => {
  assert.equal(
    text("%REQ(user-agent):3%|%%|%RESP(x?y)%", { request: request("/", { "user-agent": "curl/8" }) }),
    "cur|%|-",
  );
  assert.equal(text("%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s)%"), "2024/01/02 03:04:05.678 1704164645");
  assert.equal(
    text("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%", { grpcStatus: 4 }),
    "DeadlineExceeded DEADLINE_EXCEEDED 4",
  );
  assert.equal(text("%RESPONSE_FLAGS_LONG%", { flags: "UH" }), "NoHealthyUpstream");
  const tls = tlsInfo({ peerUris: ["spiffe://a"], sni: "s" });
  assert.equal(
    text("%DOWNSTREAM_PEER_URI_SAN% %REQUESTED_SERVER_NAME%", { downstream: downstream({ tls }) }),
    "spiffe://a s",
  );
});

test("JSON logs keep numbers, nest, and say null for what is missing", () => {
  const jsonFormat = {
    code: "%RESPONSE_CODE%",
    path: "p=%REQ(:PATH)%",
    none: "%REQ(x)%",
    deep: { list: ["%PROTOCOL%", 1] },
  };
  const line = log(file({ logFormat: { jsonFormat } })).replace("/dev/stdout ", "");
  assert.deepEqual(JSON.parse(line), { code: 200, path: "p=/", none: null, deep: { list: ["HTTP/1.1", 1] } });
  const omitting = log(file({ logFormat: { jsonFormat, omitEmptyValues: true } })).replace("/dev/stdout ", "");
  assert.equal("none" in JSON.parse(omitting), false);
  const strings = log(file({ jsonFormat: { code: "%RESPONSE_CODE%", none: "%REQ(x)%" } })).replace("/dev/stdout ", "");
  assert.deepEqual(JSON.parse(strings), { code: "200", none: "-" });
});

test("filters choose what is logged", () => {
  const logged = (filter: AccessLogJson["filter"] & object, parts: Partial<Exchange> = {}) =>
    log({ ...file({ format: "x" }), filter }, parts) !== "";
  const status = (op: "GE" | "LE", defaultValue: number) => ({
    statusCodeFilter: { comparison: { op, value: { defaultValue } } },
  });
  assert.equal(logged(status("GE", 400)), false);
  assert.equal(logged(status("LE", 200)), true);
  assert.equal(logged({ responseFlagFilter: { flags: ["NR"] } }, { flags: "NR" }), true);
  assert.equal(logged({ responseFlagFilter: { flags: ["NR"] } }), false);
  assert.equal(logged({ andFilter: { filters: [status("GE", 100), status("LE", 199)] } }), false);
  assert.equal(logged({ orFilter: { filters: [status("GE", 100), status("LE", 199)] } }), true);
  assert.equal(logged({ headerFilter: { header: { name: "x-debug" } } }), false);
  assert.throws(
    () => logged({ responseFlagFilter: { flags: ["ZZ"] } }),
    /accessLog\[0\].filter.responseFlagFilter.flags: "ZZ"/,
  );
});

test("a log that cannot be written as asked is refused by its path", () => {
  const cases: [AccessLogJson, RegExp][] = [
    [
      file({ logFormat: { textFormat: "%NO_SUCH%" } }),
      /accessLog\[0\].typedConfig.logFormat.textFormat: format operator %NO_SUCH%/,
    ],
    [file({ logFormat: { jsonFormat: { a: { b: "%START_TIME(%Q)%" } } } }), /logFormat.jsonFormat.a.b: time format/],
    [{ typedConfig: { "@type": "type.googleapis.com/x.Y" } as object }, /typedConfig: the access logger x.Y is not/],
    [{}, /typedConfig: has no @type/],
  ];
  for (const [json, message] of cases) assert.throws(() => log(json), { name: "ConfigError", message });
});

test("the same name gives the same series, and printing sorts and filters", () => {
  const stats = createStats();
  stats.counter("b.total").add(2);
  stats.counter("b.total").add(1);
  stats.gauge("a.active").set(5);
  stats.counter("c.never");
  stats.histogram("h").record(3);
  using _ = stats.collect(() => [["cluster.x.upstream_rq_total", 4, "counter"] as const]);
  const all = printStats(stats.series(), {});
  assert.match(
    all,
    /^a\.active: 5\nb\.total: 3\nc\.never: 0\ncluster\.x\.upstream_rq_total: 4\nserver\.stats_refused: 0\nh: P0\(nan,1\) /,
  );
  assert.equal(printStats(stats.series(), { filter: "^[bc]\\.", usedOnly: true }), "b.total: 3\n");
  const json = JSON.parse(printStatsJson(stats.series(), { filter: "total" }));
  assert.deepEqual(json.stats[0], { name: "b.total", value: 3 });
  assert.throws(() => printStats(stats.series(), { filter: "(" }), /filter: is not an RE2/);
});

test("a collection that is disposed is not printed any more", () => {
  const stats = createStats();
  const registration = stats.collect(() => [["x", 1, "gauge"] as const]);
  registration[Symbol.dispose]();
  assert.doesNotMatch(printStats(stats.series(), {}), /^x:/m);
});

test("Envoy's names lose their variable parts to labels", () => {
  const cases: [string, string, object][] = [
    [
      "cluster.outbound|80||a.b.svc.upstream_rq_total",
      "envoy_cluster_upstream_rq_total",
      { envoy_cluster_name: "outbound|80||a.b.svc" },
    ],
    [
      "cluster.x.upstream_rq_5xx",
      "envoy_cluster_upstream_rq_xx",
      { envoy_cluster_name: "x", envoy_response_code_class: "5" },
    ],
    ["cluster.x.upstream_rq_503", "envoy_cluster_upstream_rq", { envoy_cluster_name: "x", envoy_response_code: "503" }],
    [
      "http.inbound_0.0.0.0_80.downstream_rq_total",
      "envoy_http_downstream_rq_total",
      { envoy_http_conn_manager_prefix: "inbound_0.0.0.0_80" },
    ],
    [
      "listener.0.0.0.0_80.downstream_cx_active",
      "envoy_listener_downstream_cx_active",
      { envoy_listener_address: "0.0.0.0_80" },
    ],
    [
      "cluster.x.outlier_detection.ejections_active",
      "envoy_cluster_outlier_detection_ejections_active",
      { envoy_cluster_name: "x" },
    ],
    [
      "cluster.x.grpc.p.S.M.total",
      "envoy_cluster_grpc_total",
      { envoy_cluster_name: "x", envoy_grpc_bridge_service: "p.S", envoy_grpc_bridge_method: "M" },
    ],
    ["http.in.rbac.allowed", "envoy_http_rbac_allowed", { envoy_http_conn_manager_prefix: "in" }],
    ["server.uptime", "envoy_server_uptime", {}],
  ];
  for (const [dotted, name, labels] of cases) {
    const tags = extractTags(dotted);
    assert.equal(tags.name, name);
    assert.deepEqual(Object.fromEntries(tags.labels), labels);
  }
});

test("Prometheus text has each family once, cumulative buckets, and escaped labels", () => {
  const stats = createStats();
  stats.counter("cluster.a.upstream_rq_total").add(1);
  stats.counter("cluster.b.upstream_rq_total").add(2);
  stats.labelledCounter("istio_requests_total", [["reporter", 'so"urce\n']]).add(1);
  stats.labelledGauge("istio_build", [["component", "proxy"]]).set(1);
  const times = stats.labelledHistogram("istio_request_duration_milliseconds", [["r", "s"]]);
  for (const ms of [0.2, 7, 4_000_000]) times.record(ms);
  const out = printPrometheus(stats.series(), {});
  assert.equal(out.match(/# TYPE envoy_cluster_upstream_rq_total counter/g)?.length, 1);
  assert.match(out, /envoy_cluster_upstream_rq_total\{envoy_cluster_name="b"\} 2/);
  assert.match(out, /# TYPE istio_build gauge\nistio_build\{component="proxy"\} 1\n/);
  assert.match(out, /istio_requests_total\{reporter="so\\"urce\\n"\} 1/);
  assert.match(out, /milliseconds_bucket\{r="s",le="0.5"\} 1\n/);
  assert.match(out, /milliseconds_bucket\{r="s",le="10"\} 2\n/);
  assert.match(out, /milliseconds_bucket\{r="s",le="\+Inf"\} 3\n/);
  assert.match(out, /milliseconds_count\{r="s"\} 3\n/);
});

const node = {
  id: "n",
  cluster: "",
  metadata: { WORKLOAD_NAME: "web-v1", NAMESPACE: "shop", LABELS: { app: "web", version: "v1" }, CLUSTER_ID: "k" },
};

const metricsFor = () => {
  const stats = createStats();
  return { stats, metrics: createIstioMetrics({ stats, node, clock: testClock(), hostHeaderFallback: true }) };
};

const labelsOf = (stats: ReturnType<typeof createStats>, name: string): Record<string, string>[] =>
  [...stats.series()].filter((series) => series.name === name).map(({ labels }) => Object.fromEntries(labels));

const meshCluster = () =>
  compileCluster(
    staticCluster(["10.0.0.9"], {
      metadata: {
        filterMetadata: { istio: { services: [{ host: "ratings.shop.svc", name: "ratings", namespace: "shop" }] } },
      },
    }),
    undefined,
    compileTools(),
  );

test("a client's request is counted with Istio's 25 labels", () => {
  const { stats, metrics } = metricsFor();
  const cluster = meshCluster();
  const [host] = cluster.hosts();
  if (host) host.metadata = { istio: { workload: "ratings-v1;shop;ratings;v1;k2" } };
  metrics.request(exchange({ cluster, host }));
  metrics.request(exchange({ cluster, host }));
  const [labels, ...more] = labelsOf(stats, "istio_requests_total");
  assert.equal(more.length, 0);
  assert.equal(Object.keys(labels ?? {}).length, 25);
  assert.deepEqual(
    [labels?.reporter, labels?.source_workload, labels?.source_canonical_service, labels?.destination_workload],
    ["source", "web-v1", "web", "ratings-v1"],
  );
  assert.deepEqual(
    [labels?.destination_service, labels?.destination_service_name, labels?.response_flags, labels?.request_protocol],
    ["ratings.shop.svc", "ratings", "-", "http"],
  );
  assert.deepEqual([labels?.connection_security_policy, labels?.grpc_response_status], ["unknown", ""]);
  const counted = [...stats.series()].find(({ name }) => name === "istio_requests_total");
  assert.equal(counted?.type === "counter" && counted.value, 2);
});

test("a server's request tells mutual TLS and trusts the certificate's namespace", () => {
  const { stats, metrics } = metricsFor();
  const tls = tlsInfo({
    peerUris: ["spiffe://cluster.local/ns/real/sa/caller"],
    localUris: ["spiffe://cluster.local/ns/shop/sa/web"],
  });
  const peer = {
    workload: "caller",
    namespace: "claimed",
    app: "unknown",
    version: "unknown",
    canonicalService: "caller",
    canonicalRevision: "latest",
    cluster: "k",
  };
  metrics.request(exchange({ downstream: downstream({ direction: "inbound", tls }), peer, cluster: meshCluster() }));
  const [labels] = labelsOf(stats, "istio_requests_total");
  assert.deepEqual(
    [
      labels?.reporter,
      labels?.source_workload_namespace,
      labels?.connection_security_policy,
      labels?.destination_workload,
    ],
    ["destination", "real", "mutual_tls", "web-v1"],
  );
  assert.equal(labels?.source_principal, "spiffe://cluster.local/ns/real/sa/caller");
});

test("answers that differ have their own series, gRPC its status and messages", () => {
  const { stats, metrics } = metricsFor();
  const cluster = meshCluster();
  metrics.request(exchange({ cluster }));
  metrics.request(exchange({ cluster, response: { status: 503, headers: headerList() }, flags: "UH" }));
  const grpc = { request: request("/s/m", { "content-type": "application/grpc" }), grpcStatus: 14, requestMessages: 2 };
  metrics.request(exchange({ cluster, ...grpc }));
  metrics.request(exchange({ cluster, ...grpc, grpcStatus: 0 }));
  const all = labelsOf(stats, "istio_requests_total").map(
    (l) => `${l.response_code}/${l.response_flags}/${l.grpc_response_status}/${l.request_protocol}`,
  );
  assert.deepEqual(all, ["200/-//http", "503/UH//http", "200/-/14/grpc", "200/-/0/grpc"]);
  assert.equal(labelsOf(stats, "istio_request_messages_total").length, 2);
});

test("destinations without metadata are named by Host, special ones by their cluster", () => {
  const { stats, metrics } = metricsFor();
  const named = (name: string) => compileCluster({ ...staticCluster(["10.0.0.9"]), name }, undefined, compileTools());
  metrics.request(exchange({ cluster: named("x"), request: request("/", {}, { authority: "API.example:443" }) }));
  metrics.request(
    exchange({ cluster: named("PassthroughCluster"), request: request("/", {}, { authority: "b.example" }) }),
  );
  const all = labelsOf(stats, "istio_requests_total").map(
    (l) => `${l.destination_service} ${l.destination_service_name}`,
  );
  assert.deepEqual(all, ["api.example:443 api", "b.example PassthroughCluster"]);
});

test("TCP connections count openings, bytes as they come, and closings", () => {
  const { stats, metrics } = metricsFor();
  const tcp: TcpExchange = {
    downstream: downstream(),
    cluster: meshCluster(),
    host: undefined,
    startMs: 0,
    flags: "",
    details: "",
    attempts: 1,
    requestBodyBytes: 0,
    responseBodyBytes: 0,
    upstreamFailure: "",
    peer: undefined,
    reportedRequestBytes: 0,
    reportedResponseBytes: 0,
  };
  metrics.tcpOpened(tcp);
  tcp.requestBodyBytes = 10;
  metrics.tcpProgress(tcp);
  tcp.requestBodyBytes = 15;
  tcp.responseBodyBytes = 100;
  metrics.tcpClosed(tcp);
  const value = (name: string) => {
    const series = [...stats.series()].find((candidate) => candidate.name === name);
    return series?.type === "counter" ? series.value : undefined;
  };
  assert.equal(value("istio_tcp_connections_opened_total"), 1);
  assert.equal(value("istio_tcp_connections_closed_total"), 1);
  assert.equal(value("istio_tcp_received_bytes_total"), 15);
  assert.equal(value("istio_tcp_sent_bytes_total"), 100);
  assert.equal(labelsOf(stats, "istio_tcp_sent_bytes_total")[0]?.request_protocol, "tcp");
});
