/** After the same requests our sidecar's admin interface tells what Envoy's does, by the same names and in the same shapes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { envoyPath } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { type Program, startProgram, startWeft } from "@weft/testkit/processes";
import { sendRaw } from "@weft/testkit/raw-http";
import { sharedBootstrap } from "./same-bootstrap/bootstrap.ts";

interface Proxy {
  readonly name: string;
  readonly program: Program;
  readonly http: string;
  readonly tcp: string;
  readonly admin: string;
  readonly upstreams: readonly EchoServer[];
}

const folder = mkdtempSync(join(tmpdir(), "weft-admin-"));
const proxies: Proxy[] = [];

const start = async (name: "weft" | "envoy"): Promise<Proxy> => {
  const port = (): Promise<number> => findFreePort("127.0.0.1", 0);
  const [http, tcp, admin, closed] = [await port(), await port(), await port(), await port()];
  // Upstreams of its own: one that fails every other time must treat both proxies alike.
  const upstreams = [await startEchoServer("one"), await startEchoServer("two")] as const;
  const ports = [upstreams[0].port, upstreams[1].port] as const;
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(sharedBootstrap({ http, tcp, admin, upstreams: ports, closed })));
  const program =
    name === "weft"
      ? startWeft(["sidecar", "--bootstrap", file])
      : startProgram(envoyPath, ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
  await eventually(`${name} is ready`, async () =>
    (await fetch(`http://127.0.0.1:${admin}/ready`)).status === 200 ? true : undefined,
  );
  return { name, program, http: `127.0.0.1:${http}`, tcp: `127.0.0.1:${tcp}`, admin: `127.0.0.1:${admin}`, upstreams };
};

/** One of each way a request can end, most of them told by the path. */
const paths = [
  "/hello",
  "/hello",
  "/status/404",
  "/status/503",
  "/flaky",
  "/direct",
  "/redirect-host",
  "/forbidden",
  "/abort",
  "/no-cluster",
  "/empty",
  "/refused",
  "/status/301",
  "/hang",
  "/big/5000",
  "/chunked",
];
const request = (path: string, host = "a.example"): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

const send = async ({ http, tcp }: Proxy): Promise<void> => {
  for (const path of paths) await sendRaw(http, request(path), { graceMs: 0 });
  await sendRaw(http, request("/other", "none.example"), { graceMs: 0 });
  await sendRaw(http, "NOT HTTP\r\n\r\n");
  await sendRaw(tcp, request("/tcp"), { graceMs: 0 });
};

const ask = async ({ admin }: Proxy, path: string, method = "GET") => {
  const answer = await fetch(`http://${admin}${path}`, { method });
  const type = answer.headers.get("content-type") ?? "";
  return { status: answer.status, type, body: await answer.text() };
};

/** Names without what differs by nature: ports. */
const plainName = (name: string): string => name.replace(/^listener\.127\.0\.0\.1_\d+/, "listener");

type Stats = ReadonlyMap<string, number>;
const readStats = async (proxy: Proxy): Promise<Stats> => {
  const { stats } = JSON.parse((await ask(proxy, "/stats?format=json")).body) as {
    stats: readonly { readonly name?: string; readonly value: number }[];
  };
  const sums = new Map<string, number>();
  for (const { name, value } of stats)
    if (name !== undefined) sums.set(plainName(name), (sums.get(plainName(name)) ?? 0) + value);
  return sums;
};

const readAll = (): Promise<readonly Stats[]> => Promise.all(proxies.map(readStats));

before(async () => {
  for (const name of ["envoy", "weft"] as const) proxies.push(await start(name));
  await Promise.all(proxies.map(send));
  // Envoy adds up what its workers counted now and then.
  await eventually("every connection is counted as gone", async () => {
    const all = await readAll();
    return all.every((stats) => stats.get("listener.downstream_cx_destroy") === paths.length + 3) ? true : undefined;
  });
});

after(async () => {
  for (const { program, upstreams } of proxies) {
    await program[Symbol.asyncDispose]();
    for (const upstream of upstreams) await upstream[Symbol.asyncDispose]();
  }
  rmSync(folder, { recursive: true, force: true });
});

/** Counted alike by both: the same name, the same value. */
const equalNames = [
  ...["one", "flaky", "refused", "empty", "two"].flatMap((cluster) =>
    [
      "upstream_rq_total",
      "upstream_rq_completed",
      "upstream_rq_active",
      "upstream_rq_pending_active",
      "upstream_rq_timeout",
      "upstream_rq_retry",
      "upstream_rq_retry_success",
      "upstream_rq_tx_reset",
      "upstream_cx_connect_fail",
      "upstream_cx_none_healthy",
      "upstream_cx_tx_bytes_total",
      "upstream_cx_rx_bytes_total",
      "membership_total",
      "membership_healthy",
      "membership_degraded",
      "circuit_breakers.default.rq_open",
      "circuit_breakers.default.cx_open",
    ].map((name) => `cluster.${cluster}.${name}`),
  ),
  ...["200", "2xx", "301", "3xx", "404", "4xx", "503", "504", "5xx"].map((code) => `cluster.one.upstream_rq_${code}`),
  "cluster.flaky.upstream_rq_200",
  "cluster.refused.upstream_rq_503",
  "cluster.empty.upstream_rq_503",
  "cluster.flaky.retry.upstream_rq_503",
  "cluster.flaky.retry.upstream_rq_5xx",
  "cluster.flaky.retry.upstream_rq_completed",
  ...[
    "downstream_rq_total",
    "downstream_rq_active",
    "downstream_rq_completed",
    "downstream_rq_http1_total",
    "downstream_rq_http2_total",
    "downstream_rq_2xx",
    "downstream_rq_3xx",
    "downstream_rq_4xx",
    "downstream_rq_5xx",
    "downstream_rq_rx_reset",
    "downstream_rq_timeout",
    "downstream_rq_idle_timeout",
    "downstream_rq_ws_on_non_ws_route",
    "downstream_cx_total",
    "downstream_cx_active",
    "downstream_cx_destroy",
    "downstream_cx_http1_total",
    "downstream_cx_http1_active",
    "downstream_cx_http2_total",
    "downstream_cx_ssl_total",
    "downstream_cx_protocol_error",
    "downstream_cx_rx_bytes_total",
    "no_route",
    "no_cluster",
    "rq_total",
    "rq_direct_response",
    "rbac.allowed",
    "rbac.denied",
    "fault.aborts_injected",
  ].map((name) => `http.http.${name}`),
  "listener.downstream_cx_total",
  "listener.downstream_cx_active",
  "listener.downstream_cx_destroy",
  "listener.downstream_cx_overflow",
  "listener.no_filter_chain_match",
  ...["2xx", "3xx", "4xx", "5xx", "completed"].map((what) => `listener.http.http.downstream_rq_${what}`),
  "tcp.tcp.downstream_cx_total",
  "tcp.tcp.downstream_cx_rx_bytes_total",
  "tcp.tcp.downstream_cx_no_route",
  "tcp.tcp.idle_timeout",
  "cluster_manager.cluster_added",
  "cluster_manager.cluster_modified",
  "cluster_manager.cluster_removed",
  "cluster_manager.active_clusters",
  "cluster_manager.warming_clusters",
  "listener_manager.listener_added",
  "listener_manager.listener_create_success",
  "listener_manager.total_listeners_active",
  "server.live",
  "server.state",
  "server.concurrency",
];

test("what is counted has Envoy's name and Envoy's value", async () => {
  await eventually("Envoy has added up its workers' counts", async () => {
    const [envoy] = await readAll();
    return envoy?.get("tcp.tcp.downstream_cx_rx_bytes_total") ? true : undefined;
  });
  const [envoy, weft] = await readAll();
  const pick = (stats: Stats | undefined) => equalNames.map((name) => [name, stats?.get(name)] as const);
  assert.deepEqual(pick(weft), pick(envoy));
});

/** There in both; their values are each proxy's own. */
const presentNames = [
  "http.http.downstream_cx_tx_bytes_total",
  "server.memory_allocated",
  "server.uptime",
  "filesystem.write_completed",
  "filesystem.reopen_failed",
  "cluster.one.upstream_cx_http1_total",
  "cluster.one.upstream_cx_destroy",
];
const histograms = [
  "cluster.one.upstream_rq_time",
  "cluster.one.upstream_cx_connect_ms",
  "http.http.downstream_rq_time",
  "http.http.downstream_cx_length_ms",
];

test("what is measured has Envoy's name", async () => {
  for (const stats of await readAll()) for (const name of presentNames) assert.ok(stats.has(name), name);
});

test("histograms have Envoy's text, JSON and Prometheus form", async () => {
  for (const proxy of proxies) {
    // Envoy shows histograms once it has added up those of its workers, which it does every five seconds.
    const body = await eventually("histograms have values", async () => {
      const shown = (await ask(proxy, "/stats?type=Histograms")).body;
      return shown.includes("cluster.one.upstream_rq_time: P0") ? shown : undefined;
    });
    for (const name of histograms)
      assert.match(body, new RegExp(`^${name}: P0\\(\\S+,\\S+\\) P25\\(.* P99\\.9\\(\\S+\\) P100\\(\\S+\\)$`, "m"));
    const buckets = (await ask(proxy, "/stats?histogram_buckets=cumulative&filter=^cluster.one.upstream_rq_time$"))
      .body;
    assert.match(
      buckets,
      /^cluster\.one\.upstream_rq_time: B0\.5\(\d+,\d+\) .* B1\.8e\+06\(\d+,\d+\) B3\.6e\+06\(\d+,\d+\)$/m,
    );
    const json = JSON.parse((await ask(proxy, "/stats?format=json&type=Histograms")).body);
    const [{ histograms: group }] = json.stats;
    assert.deepEqual(group.supported_quantiles, [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100], proxy.name);
    assert.deepEqual(Object.keys(group.computed_quantiles[0].values[0]), ["cumulative", "interval"], proxy.name);
    const prometheus = (await ask(proxy, "/stats/prometheus")).body;
    assert.match(prometheus, /^envoy_cluster_upstream_rq_time_bucket\{envoy_cluster_name="one",le="0\.5"\} \d+$/m);
    assert.match(prometheus, /^envoy_cluster_upstream_rq_time_count\{envoy_cluster_name="one"\} 7$/m);
  }
});

/** Series of interest as Prometheus sees them, labels sorted. */
const prometheusNames = async (proxy: Proxy): Promise<ReadonlySet<string>> => {
  const { body } = await ask(proxy, "/stats/prometheus");
  const names = new Set<string>();
  for (const [, name = "", labels = ""] of body.matchAll(/^(envoy_\w+)\{?([^}\n]*)\}? \S+$/gm))
    names.add(
      `${name}{${labels
        .replace(/127\.0\.0\.1_\d+/, "A")
        .split(",")
        .sort()
        .join(",")}}`,
    );
  return names;
};

test("Prometheus gets the same names with the same labels", async () => {
  const [envoy, weft] = await Promise.all(proxies.map(prometheusNames));
  const wanted =
    /^envoy_(cluster_(retry_)?upstream_(rq|cx)_(total|active|xx|completed|timeout)\{|cluster_upstream_rq\{|http_downstream_(rq|cx)_(total|active|xx)|listener_(http_)?downstream_(rq_xx|cx_total)|tcp_downstream_cx_total)/;
  // Its admin interface is a connection manager of its own; ours is none.
  const expected = [...(envoy ?? [])].filter((name) => wanted.test(name) && !name.includes('"admin"'));
  assert.deepEqual(
    expected.filter((name) => !weft?.has(name)),
    [],
  );
  assert.ok(expected.length > 60);
});

const clusterLines = async (proxy: Proxy): Promise<readonly string[]> => {
  const { body } = await ask(proxy, "/clusters");
  const own = /::(rq_error|cx_active|cx_total|cx_connect_fail)::/;
  return body
    .split("\n")
    .filter((line) => line !== "" && !own.test(line))
    .map((line) => line.replace(/127\.0\.0\.1:\d+/, "HOST"))
    .sort();
};

test("/clusters has Envoy's lines", async () => {
  const [envoy, weft] = await Promise.all(proxies.map(clusterLines));
  assert.deepEqual(weft, envoy);
});

/** The paths of all members: lists by their first element. */
const shape = (value: unknown, at = ""): readonly string[] => {
  if (Array.isArray(value)) return value.length === 0 ? [at] : shape(value[0], `${at}[]`);
  if (typeof value !== "object" || value === null) return [at];
  return Object.entries(value).flatMap(([key, inner]) => shape(inner, `${at}.${key}`));
};

for (const path of ["/listeners?format=json", "/memory", "/certs", "/runtime", "/init_dump"]) {
  test(`${path} has Envoy's shape`, async () => {
    const [envoy, weft] = await Promise.all(proxies.map(async (proxy) => ask(proxy, path)));
    assert.deepEqual(weft?.type, envoy?.type);
    assert.deepEqual([...shape(JSON.parse(weft?.body ?? ""))].sort(), [...shape(JSON.parse(envoy?.body ?? ""))].sort());
  });
}

test("the sections of /config_dump are Envoy's", async () => {
  const sections = async (proxy: Proxy) =>
    (JSON.parse((await ask(proxy, "/config_dump?include_eds")).body).configs as { "@type": string }[]).map(
      (section) => section["@type"],
    );
  const [envoy, weft] = await Promise.all(proxies.map(sections));
  assert.deepEqual(weft, envoy);
});

for (const [method, path] of [
  ["GET", "/nothing-here"],
  ["GET", "/deep/nothing"],
  ["GET", "/quitquitquit"],
  ["GET", "/reopen_logs"],
  ["GET", "/stats?type=Foo"],
  ["GET", "/stats?histogram_buckets=Foo"],
  ["GET", "/stats?format=Foo"],
  ["GET", "/stats?filter=("],
  ["POST", "/logging?level=loud"],
  ["POST", "/logging?nobody=debug"],
  ["POST", "/reopen_logs"],
  ["POST", "/runtime_modify?a=b"],
  ["GET", "/hot_restart_version"],
  ["GET", "/contention"],
  ["GET", "/help"],
  ["GET", "/"],
] as const) {
  test(`${method} ${path} is answered with Envoy's status and type`, async () => {
    const [envoy, weft] = await Promise.all(proxies.map((proxy) => ask(proxy, path, method)));
    assert.deepEqual([weft?.status, weft?.type], [envoy?.status, envoy?.type]);
    // Beginnings: what follows lists commands or quotes a library, which are each proxy's own.
    if (weft?.type.startsWith("text/plain")) assert.equal(weft.body.slice(0, 18), envoy?.body.slice(0, 18));
  });
}

test("reset counters count on from 0", async () => {
  for (const proxy of proxies) {
    assert.equal((await ask(proxy, "/reset_counters", "POST")).status, 200);
    const { body } = await ask(proxy, "/stats?filter=^http.http.downstream_rq_total$");
    assert.equal(body.trim(), "http.http.downstream_rq_total: 0", proxy.name);
  }
});
