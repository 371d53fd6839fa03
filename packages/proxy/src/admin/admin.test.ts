import assert from "node:assert/strict";
import { test } from "node:test";
import { type LogLevel, type LogScope, silentLogger } from "@weft/core/world";
import { any } from "@weft/xds/resource";
import type { Cluster } from "../clusters/cluster.ts";
import { localHostCounts } from "../clusters/counts.ts";
import type { Host } from "../clusters/host.ts";
import type { CacheView } from "../discovery/cache/discovery-cache.ts";
import { testCounters } from "../discovery/cache/testing/counters.ts";
import { createResourceStore, type ResourceStore } from "../discovery/resource-store.ts";
import {
  type AdminContext,
  type AdminReply,
  adminPaths,
  answerAdmin,
  refuseForeign,
  type ServerState,
} from "./admin.ts";

const host: Host = {
  address: "10.0.0.1:80",
  target: { kind: "ip", host: "10.0.0.1", port: 80 },
  hostname: "h.example",
  weight: 1,
  priority: 1,
  locality: { region: "eu", zone: "a", subZone: "" },
  metadata: {},
  health: "unhealthy",
  edsStatus: "UNHEALTHY",
  state: "unhealthy",
  healthySinceMs: Number.NaN,
  latency: undefined,
  seen: 0,
  check: undefined,
  ejected: true,
  activeRequests: 2,
  stats: {
    cxTotal: 3,
    cxActive: 1,
    cxConnectFail: 0,
    rqTotal: 9,
    rqSuccess: 8,
    rqError: 1,
    rqTimeout: 0,
    rqPendingActive: 0,
  },
  pool: undefined,
  ties: undefined,
  counts: localHostCounts(),
  removed: false,
};
const cluster = {
  name: "c",
  statName: "c;",
  limits: { maxConnections: 5, maxPendingRequests: Number.POSITIVE_INFINITY, maxRequests: 7, maxRetries: 3 },
  discovery: { kind: "eds", serviceName: "svc" },
  hosts: () => [host],
} as unknown as Cluster;

const cacheView: CacheView = {
  memory: [{ kind: "cluster", source: "ads", name: "c", bytes: 10, ageMs: 1_500, leftMs: 298_500 }],
  memoryBytes: 10,
  disk: { entries: 1, bytes: 200, bytesMax: 1_000 },
  diskEntries: () => [
    {
      kind: "cluster",
      name: "c",
      source: "ads",
      version: "v",
      atMs: -3_000,
      demanded: true,
      aliases: [],
      needs: [],
      length: 9,
      sum: "",
    },
  ],
  counters: testCounters(),
};

const setup = () => {
  const refusing = new Set<string>();
  const store: ResourceStore = createResourceStore({
    dataPlane: {
      apply: () => [],
      check: ({ kind, name }) => (refusing.has(name) ? { kind, name, reason: "no" } : undefined),
    },
    clock: { nowMs: () => 0, wallMs: () => 0 },
    log: silentLogger,
  });
  const done: string[] = [];
  let state: ServerState = "LIVE";
  const levels = new Map<LogScope, LogLevel>([["main", "info"]]);
  const context: AdminContext = {
    bootstrap: { json: { node: { id: "n" } }, atMs: 0 },
    store,
    dataPlane: {
      clusters: () => [cluster],
      listeners: () => [
        { name: "l", address: { host: "127.0.0.1", port: 81 }, state: "active", error: undefined, connections: 0 },
        { name: "unbound", address: undefined, state: "active", error: undefined, connections: 0 },
      ],
    },
    stats: {
      text: () => "a: 1\n",
      json: () => "{}",
      prometheus: () => "# TYPE a counter\na 1\n",
      reset: () => done.push("reset"),
    },
    clock: { nowMs: () => 12_500, wallMs: () => 0 },
    startedAtMs: 0,
    version: "weft/0",
    options: { concurrency: 1, drainTimeMs: 5_000 },
    state: () => state,
    waitingFor: () => ["listener l to be bound"],
    cache: () => cacheView,
    memory: () => ({ allocated: 1, heapSize: 2, physical: 3 }),
    log: {
      levels: () => levels,
      change: (wanted) => void wanted.forEach((level, scope) => void levels.set(scope, level)),
    },
    actions: {
      reopenLogs: () => done.push("reopen"),
      drainListeners: (request) => done.push(`drain ${Object.values(request).join(" ")}`),
      failHealthCheck: (failed) => done.push(`health ${failed}`),
      quit: () => done.push("quit"),
    },
  };
  const ask = (target: string, method = "GET"): AdminReply => {
    const url = new URL(target, "http://admin");
    return answerAdmin({ method, path: url.pathname, query: url.searchParams }, context);
  };
  const json = (target: string) => JSON.parse(ask(target).body) as { configs: Record<string, unknown>[] };
  return { store, refusing, ask, json, done, levels, context, setState: (next: ServerState) => (state = next) };
};

test("every path answers, and what changes state only to POST", () => {
  const { ask, done } = setup();
  for (const { path, method } of adminPaths) {
    assert.equal(ask(path, method).status, path === "/runtime_modify" ? 503 : 200, path);
    assert.equal(ask(path, "DELETE").status, 405, path);
    if (method === "POST") assert.equal(ask(path, "GET").status, 405, path);
  }
  assert.deepEqual(done, ["drain all false false", "health true", "health false", "quit", "reopen", "reset"]);
  assert.equal(ask("/nothing").status, 404);
});

test("a drain is told which listeners it is about, and how gently it goes", () => {
  const { ask, done } = setup();
  ask("/drain_listeners?inboundonly", "POST");
  ask("/drain_listeners?graceful&inboundonly&skip_exit", "POST");
  ask("/drain_listeners?graceful", "POST");
  assert.deepEqual(done, ["drain inbound false false", "drain inbound true true", "drain all true false"]);
});

test("a server that is not live answers 503 and says what it waits for", () => {
  const { ask, setState } = setup();
  assert.deepEqual([ask("/ready").status, ask("/ready").body], [200, "LIVE\n"]);
  setState("INITIALIZING");
  assert.equal(ask("/ready").status, 503);
  assert.equal(ask("/ready?verbose").body, "INITIALIZING\nwaiting for listener l to be bound\n");
});

test("levels are shown and set by /logging, and told by /server_info", () => {
  const { ask, levels } = setup();
  assert.match(ask("/logging?level=warning", "POST").body, /main: warning/);
  assert.equal(levels.get("main"), "warn");
  assert.equal(ask("/logging?level=loud", "POST").status, 400);
  assert.equal(JSON.parse(ask("/server_info").body).command_line_options.log_level, "warning");
});

test("statistics refuse what they do not know, as text", () => {
  const { ask } = setup();
  for (const query of ["type=Foo", "histogram_buckets=Foo", "format=Foo"]) {
    const { status, type } = ask(`/stats?${query}`);
    assert.deepEqual([status, type], [400, "text/plain; charset=UTF-8"], query);
  }
  assert.equal(ask("/stats?type=Gauges&histogram_buckets=disjoint").status, 200);
});

test("clusters may be chosen by an expression", () => {
  const { ask } = setup();
  assert.equal(ask("/clusters?filter=nothing").body, "");
  assert.match(ask("/clusters?filter=^c$").body, /^c::observability_name/);
  assert.equal(ask("/clusters?filter=(").status, 400);
});

test("clusters show hosts, counters, ejection and limits in both forms", () => {
  const { ask } = setup();
  const text = ask("/clusters").body;
  assert.match(text, /^c::default_priority::max_connections::5$/m);
  assert.match(text, /^c::default_priority::max_pending_requests::4294967295$/m);
  assert.match(text, /^c::10\.0\.0\.1:80::health_flags::\/failed_outlier_check\/failed_eds_health$/m);
  const { cluster_statuses: statuses } = JSON.parse(ask("/clusters?format=json").body);
  assert.equal(statuses[0].eds_service_name, "svc");
  const [status] = statuses[0].host_statuses;
  assert.deepEqual(status.address, { socket_address: { address: "10.0.0.1", port_value: 80 } });
  assert.deepEqual(status.health_status, { failed_outlier_check: true, eds_health_status: "UNHEALTHY" });
  assert.deepEqual(status.stats[0], { value: "1", type: "GAUGE", name: "cx_active" });
  assert.deepEqual(status.stats[1], { name: "cx_connect_fail" });
});

test("listeners that are bound are listed", () => {
  const { ask } = setup();
  assert.equal(ask("/listeners").body, "l::127.0.0.1:81\n");
  assert.equal(JSON.parse(ask("/listeners?format=json").body).listener_statuses.length, 1);
});

test("the dump has what is in force, what warms and what was refused, under Envoy's names", () => {
  const { store, refusing, json } = setup();
  const eds = { type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } } as const;
  store.offer("static", "cluster", [{ name: "s", version: "", json: { name: "s", type: "STATIC" } }]);
  store.offer("ads", "cluster", [{ name: "w", version: "v", json: { name: "w", ...eds, connectTimeout: "1s" } }]);
  refusing.add("bad");
  store.offer("ads", "listener", [{ name: "bad", version: "v", json: { name: "bad" } }]);
  const { configs } = json("/config_dump");
  const byType = new Map(configs.map((section) => [String(section["@type"]).split(".").at(-1), section]));
  const clusters = byType.get("ClustersConfigDump") as Record<string, { cluster: Record<string, unknown> }[]>;
  assert.equal(clusters.static_clusters?.[0]?.cluster.name, "s");
  assert.equal(clusters.dynamic_warming_clusters?.[0]?.cluster.connect_timeout, "1s");
  assert.equal(clusters.dynamic_active_clusters, undefined);
  const [listener] = (byType.get("ListenersConfigDump")?.dynamic_listeners ?? []) as Record<string, unknown>[];
  assert.deepEqual(listener?.error_state, { last_update_attempt: "1970-01-01T00:00:00.000Z", details: "no" });
  assert.equal(byType.has("EndpointsConfigDump"), false);
  assert.equal(json("/config_dump?include_eds").configs.length, configs.length + 1);
});

test("resource, mask and name_regex narrow a dump; names off the list and bad patterns are refused", () => {
  const { store, ask, json } = setup();
  const offers = ["a", "ab", "b"].map((name) => ({ name, version: "v", json: { name, type: "STATIC" } as const }));
  store.offer("ads", "cluster", offers);
  const names = (query: string) =>
    json(`/config_dump?resource=dynamic_active_clusters${query}`).configs.map(
      ({ cluster }) => (cluster as { name: string }).name,
    );
  assert.deepEqual(names(""), ["a", "ab", "b"]);
  assert.deepEqual(names("&name_regex=a.*"), ["a", "ab"]);
  const [masked] = json("/config_dump?resource=dynamic_active_clusters&mask=cluster.name").configs;
  assert.deepEqual(Object.keys(masked ?? {}), ["@type", "cluster"]);
  assert.equal(ask("/config_dump?resource=nothing").status, 404);
  assert.equal(ask("/config_dump?name_regex=(").status, 400);
  assert.deepEqual(json("/config_dump?resource=dynamic_warming_clusters").configs, []);
});

test("private keys never leave, wherever they stand", () => {
  const { store, ask } = setup();
  const tlsCertificate = { certificateChain: { inlineString: "CERT" }, privateKey: { inlineString: "TOPSECRET" } };
  const bytes = Buffer.from("TOPSECRET").toString("base64");
  store.offer("identity", "secret", [
    { name: "default", version: "1", json: { name: "default", tlsCertificate } },
    { name: "g", version: "1", json: { name: "g", genericSecret: { secret: { inlineBytes: bytes } } } },
  ]);
  const typedConfig = any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
    commonTlsContext: { tlsCertificates: [tlsCertificate] },
  });
  const filterChains = [{ transportSocket: { name: "tls", typedConfig } }];
  store.offer("ads", "listener", [{ name: "l", version: "1", json: { name: "l", filterChains } }]);
  const { body } = ask("/config_dump");
  assert.equal(body.includes("TOPSECRET") || body.includes(bytes), false);
  assert.match(body, /CERT/);
  assert.match(body, /\[redacted\]/);
});

test("an unknown filter type in a refused resource does not break the dump", () => {
  const { store, json } = setup();
  const typedConfig = { "@type": "type.googleapis.com/acme.Magic", value: "AQ==" };
  const filterChains = [{ filters: [{ name: "m", typedConfig }] }];
  store.offer("ads", "listener", [{ name: "l", version: "1", json: { name: "l", filterChains } as never }]);
  assert.match(JSON.stringify(json("/config_dump")), /acme\.Magic/);
});

test("only addresses and localhost are hosts, and pages of other origins are refused", () => {
  for (const host of ["127.0.0.1:15000", "localhost", "[::1]:15000", "10.1.2.3"])
    assert.equal(refuseForeign({ host }), undefined, host);
  for (const host of ["evil.example", "localhost.evil.example:15000", "127.0.0.1.nip.io", "", undefined])
    assert.match(refuseForeign({ host }) ?? "", /Host/, String(host));
  assert.match(refuseForeign({ host: "127.0.0.1", origin: "http://evil.example" }) ?? "", /origin/);
  assert.match(refuseForeign({ host: "127.0.0.1", origin: "null" }) ?? "", /origin/);
  // A page needs no name to be foreign: any server may be reached by its address.
  for (const origin of ["http://203.0.113.9", "http://127.0.0.1:3000", "http://localhost:15000", "http://[::1]:15000"])
    assert.match(refuseForeign({ host: "127.0.0.1:15000", origin }) ?? "", /origin/, origin);
  assert.equal(refuseForeign({ host: "127.0.0.1:15000", origin: "http://127.0.0.1:15000" }), undefined);
});

test("the discovery cache is shown level by level, and what it keeps on disk where that is asked for", () => {
  const { ask } = setup();
  const shown = JSON.parse(ask("/discovery_cache").body) as Record<string, Record<string, unknown>>;
  assert.deepEqual(shown.l1?.on_demand, [
    { kind: "cluster", name: "c", source: "ads", bytes: 10, age_seconds: 1.5, left_seconds: 298.5 },
  ]);
  const { entries, bytes, bytes_max, oldest_seconds, hits, kept } = shown.l2 ?? {};
  assert.deepEqual([entries, bytes, bytes_max, oldest_seconds, hits, kept], [1, 200, 1_000, 3, 0, undefined]);
  assert.equal(shown.l3?.misses, 0);
  const all = JSON.parse(ask("/discovery_cache?entries").body) as { l2: { kept: readonly object[] } };
  assert.deepEqual(all.l2.kept, [
    { kind: "cluster", name: "c", source: "ads", version: "v", bytes: 9, on_demand: true, age_seconds: 3 },
  ]);
});
