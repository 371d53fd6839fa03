import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualTime } from "@weft/core/testing/virtual-time";
import { silentLogger } from "@weft/core/world";
import type { GrpcChannel, GrpcStreamHandlers } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { encodeResource } from "@weft/xds/codec";
import { encodeDeltaResponse } from "@weft/xds/discovery";
import { decodeLoadReport, encodeLoadWish, type LoadReport, streamLoadStatsPath } from "@weft/xds/load-reports";
import { resourceType } from "@weft/xds/resource";
import { readBootstrap } from "../bootstrap/bootstrap.ts";
import type { Cluster } from "../clusters/cluster.ts";
import { testCounters } from "./cache/testing/counters.ts";
import { createDiscovery } from "./discovery.ts";
import { createResourceStore } from "./resource-store.ts";

const server = (apiType: string) => ({
  ...{ apiType, transportApiVersion: "V3" },
  grpcServices: [{ googleGrpc: { targetUri: "127.0.0.1:1", statPrefix: "x" } }],
});
const withAds = { node: { id: "n" }, dynamicResources: { adsConfig: server("DELTA_GRPC"), cdsConfig: { ads: {} } } };
const withLoad = { node: { id: "n" }, clusterManager: { loadStatsConfig: server("GRPC") } };

/** Counters under the test's hands, a virtual clock, and servers played by the test. */
const setUp = (bootstrap: object) => {
  const { clock, setTimer, pass } = virtualTime();
  const streams: { readonly path: string; readonly handlers: GrpcStreamHandlers; readonly sent: Uint8Array[] }[] = [];
  const channel: GrpcChannel = {
    open: ({ path }, handlers) => {
      const sent: Uint8Array[] = [];
      streams.push({ path, handlers, sent });
      const nothing = (): void => undefined;
      const cancel = (): void => handlers.onEnd(new GrpcError(1, "cancelled"));
      return { send: (bytes) => void sent.push(bytes), finish: nothing, pause: nothing, resume: nothing, cancel };
    },
    unary: () => Promise.reject(new Error("not here")),
    [Symbol.dispose]: () => undefined,
  };
  const counts = { rqTotal: 0, rqSuccess: 0, rqError: 0 };
  const clusterNamed = (name: string) =>
    ({
      ...{ name, discovery: { kind: "eds", serviceName: `${name}-service` } },
      counters: { upstreamRqPendingOverflow: 3 },
      hosts: () => [
        {
          address: "1",
          priority: 0,
          locality: { region: "eu", zone: "", subZone: "" },
          stats: counts,
          activeRequests: 1,
        },
      ],
    }) as unknown as Cluster;
  const dataPlane = { check: () => undefined, apply: () => [] };
  const store = createResourceStore({ dataPlane, clock, log: silentLogger });
  const series = { add: () => undefined, set: () => undefined, value: 0, record: () => undefined };
  const discovery = createDiscovery({
    bootstrap: readBootstrap(bootstrap, () => undefined),
    cacheCounters: testCounters(),
    ...{ store, clock, log: silentLogger, random: () => 0, ownSecrets: new Set<string>() },
    connect: () => channel,
    watchFile: () => ({ [Symbol.dispose]: () => undefined }),
    setTimer,
    metrics: { connected: series, connectionErrors: series, latencySeconds: series, answered: () => undefined },
    clusters: () => [clusterNamed("told"), clusterNamed("untold")],
  });
  discovery.start();
  const loadStreams = () => streams.filter(({ path }) => path === streamLoadStatsPath);
  const reports = (): readonly LoadReport[] => (loadStreams().at(-1)?.sent ?? []).map(decodeLoadReport);
  return { discovery, streams, loadStreams, reports, counts, pass };
};
const wish = encodeLoadWish({ clusters: "all", intervalMs: 5_000 });

test("the server of the bootstrap is told the load of what it asks for, at the pace it wants", () => {
  const { loadStreams, reports, counts, pass } = setUp(withLoad);
  const [stream] = loadStreams();
  stream?.handlers.onOpen?.();
  assert.equal(reports()[0]?.node?.id, "n");
  stream?.handlers.onMessage(wish);
  Object.assign(counts, { rqTotal: 6, rqSuccess: 4, rqError: 1 });
  pass(4_999);
  assert.equal(reports().length, 1);
  pass(1);
  const told = reports()[1]?.clusters.find(({ cluster }) => cluster === "told");
  assert.deepEqual([told?.service, told?.dropped, told?.intervalMs], ["told-service", 0, 5_000]);
  assert.deepEqual(told?.localities, [
    { region: "eu", zone: "", subZone: "", priority: 0, issued: 6, succeeded: 4, failed: 1, inProgress: 1 },
  ]);
});

test("a lost stream comes back after a wait, and nothing is sent after the end", () => {
  const { discovery, loadStreams, pass } = setUp(withLoad);
  loadStreams()[0]?.handlers.onEnd(new GrpcError(14, "gone"));
  assert.equal(loadStreams().length, 1);
  pass(1_000);
  assert.equal(loadStreams().length, 2);
  discovery[Symbol.dispose]();
  loadStreams()[1]?.handlers.onEnd(undefined);
  pass(100_000);
  assert.equal(loadStreams().length, 2);
});

test("an answer that cannot be read ends the stream, and the next one is tried", () => {
  const { loadStreams, pass } = setUp(withLoad);
  const [stream] = loadStreams();
  stream?.handlers.onOpen?.();
  stream?.handlers.onMessage(new Uint8Array([0xff]));
  pass(1_000);
  assert.equal(loadStreams().length, 2);
});

test("clusters that ask for it have their load told to the server they came from, and only they", () => {
  const { streams, loadStreams, reports, pass } = setUp(withAds);
  pass(1);
  const [ads] = streams;
  ads?.handlers.onOpen?.();
  assert.deepEqual(loadStreams(), []);
  const { typeUrl } = resourceType("cluster");
  const resources = ["told", "untold"].map((name) => {
    const json = { name, type: "STATIC" as const, ...(name === "told" ? { lrsServer: { self: {} } } : {}) };
    return { name, version: "1", typeUrl, value: encodeResource("cluster", json) };
  });
  ads?.handlers.onMessage(encodeDeltaResponse({ systemVersion: "", typeUrl, resources, removed: [], nonce: "1" }));
  const [stream, ...more] = loadStreams();
  assert.equal(more.length, 0);
  stream?.handlers.onOpen?.();
  stream?.handlers.onMessage(wish);
  pass(5_000);
  assert.deepEqual(
    reports()[1]?.clusters.map(({ cluster }) => cluster),
    ["told"],
  );
});
