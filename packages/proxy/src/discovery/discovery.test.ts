import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { virtualTime } from "@weft/core/testing/virtual-time";
import { silentLogger } from "@weft/core/world";
import type { GrpcChannel, GrpcStreamHandlers } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { encodeResource } from "@weft/xds/codec";
import {
  type DeltaRequest,
  type DeltaResponse,
  decodeDeltaRequest,
  encodeDeltaResponse,
  encodeDiscoveryResponse,
} from "@weft/xds/discovery";
import { type ResourceKind, resourceType } from "@weft/xds/resource";
import { readBootstrap } from "../bootstrap/bootstrap.ts";
import type { CacheDisk } from "./cache/discovery-cache.ts";
import { testCounters } from "./cache/testing/counters.ts";
import { memoryFiles } from "./cache/testing/memory-files.ts";
import { createDiscovery } from "./discovery.ts";
import { createResourceStore } from "./resource-store.ts";

const adsBootstrap = {
  node: { id: "node-1" },
  dynamicResources: {
    adsConfig: {
      apiType: "DELTA_GRPC",
      transportApiVersion: "V3",
      grpcServices: [{ googleGrpc: { targetUri: "127.0.0.1:1", statPrefix: "x" } }],
    },
    ldsConfig: { ads: {} },
    cdsConfig: { ads: {} },
  },
};

/** A virtual clock, a control plane played by the test, and files in memory. */
const setup = (bootstrap: object = adsBootstrap, disk?: CacheDisk, inForce?: () => Promise<void> | undefined) => {
  const { clock, setTimer, pass } = virtualTime();
  const streams: { readonly path: string; readonly handlers: GrpcStreamHandlers; readonly sent: DeltaRequest[] }[] = [];
  const files = new Map<string, (text: string) => void>();
  const applied: string[] = [];
  const channel: GrpcChannel = {
    open: ({ path }, handlers) => {
      const stream = { path, handlers, sent: [] as DeltaRequest[] };
      streams.push(stream);
      return {
        send: (bytes) => void stream.sent.push(decodeDeltaRequest(bytes)),
        finish: () => undefined,
        pause: () => undefined,
        resume: () => undefined,
        cancel: () => handlers.onEnd(new GrpcError(1, "cancelled")),
      };
    },
    unary: () => Promise.reject(new Error("not here")),
    [Symbol.dispose]: () => undefined,
  };
  const store = createResourceStore({
    dataPlane: {
      check: () => undefined,
      apply: (changes) => {
        applied.push(...changes.map(({ kind, name, json }) => `${json ? "+" : "-"}${kind} ${name}`));
        return [];
      },
    },
    clock,
    log: silentLogger,
  });
  const series = { add: () => undefined, set: () => undefined, value: 0, record: () => undefined };
  const discovery = createDiscovery({
    bootstrap: readBootstrap(bootstrap, () => undefined),
    store,
    connect: () => channel,
    watchFile: (path, onText) => {
      files.set(path, onText);
      return { [Symbol.dispose]: () => files.delete(path) };
    },
    ownSecrets: new Set(["default"]),
    cache: { disk },
    cacheCounters: testCounters(),
    clock,
    random: () => 0,
    setTimer,
    log: silentLogger,
    ...(inForce ? { inForce } : {}),
    metrics: { connected: series, connectionErrors: series, latencySeconds: series, answered: () => undefined },
  });
  discovery.start();
  pass(1);
  const connect = (index = -1) => {
    const stream = streams.at(index);
    assert.ok(stream);
    stream.handlers.onOpen?.();
    const asked = (of: ResourceKind): DeltaRequest | undefined =>
      stream.sent.findLast(
        ({ typeUrl, responseNonce }) => typeUrl === resourceType(of).typeUrl && responseNonce === "",
      );
    const give = (of: ResourceKind, jsons: readonly object[], removed: readonly string[] = []): void => {
      const response: DeltaResponse = {
        systemVersion: "",
        typeUrl: resourceType(of).typeUrl,
        nonce: `n${stream.sent.length}`,
        removed,
        resources: jsons.map((json) => {
          const { name, clusterName } = json as { name?: string; clusterName?: string };
          const value = encodeResource(of, json as never);
          return { name: name ?? clusterName ?? "", version: "v1", typeUrl: resourceType(of).typeUrl, value };
        }),
      };
      const { typeUrl, nonce, resources } = response;
      const isWhole = /\/Stream(Endpoints|Secrets)$/.test(stream.path);
      const whole = { versionInfo: "v1", typeUrl, nonce, resources };
      stream.handlers.onMessage(isWhole ? encodeDiscoveryResponse(whole) : encodeDeltaResponse(response));
    };
    return { ...stream, asked, give };
  };
  const fail = (): void => {
    streams.at(-1)?.handlers.onEnd(new GrpcError(14, "refused"));
  };
  return { discovery, store, applied, streams, files, connect, fail, pass };
};

const eds = (name: string) => ({ name, type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } });

test("endpoints are asked for when a cluster refers to them, and the cluster is ready with them", () => {
  const { discovery, applied, connect } = setup();
  const stream = connect();
  assert.equal(discovery.ready(), false);
  stream.give("cluster", [eds("a")]);
  assert.deepEqual(stream.asked("endpoints")?.subscribe, ["a"]);
  stream.give("listener", []);
  assert.deepEqual(discovery.waitingFor(), ["cluster a (waits for endpoints a)"]);
  stream.give("endpoints", [{ clusterName: "a" }]);
  assert.deepEqual(applied, ["+cluster a", "+endpoints a"]);
  assert.equal(discovery.ready(), true);
});

test("the ACK of the clusters goes out before the endpoints are asked for", () => {
  const { connect } = setup();
  const stream = connect();
  stream.give("cluster", [eds("a")]);
  const [ack, ask] = stream.sent.slice(-2);
  assert.notEqual(ack?.responseNonce, "");
  assert.deepEqual(ask?.subscribe, ["a"]);
});

test("what other threads are to serve is acknowledged when they do, and not at all when the stream is lost before", async () => {
  let { promise, resolve } = Promise.withResolvers<void>();
  const { connect, fail, pass, streams } = setup(adsBootstrap, undefined, () => promise);
  const first = connect();
  const acknowledged = () => first.sent.filter(({ responseNonce }) => responseNonce !== "").length;
  first.give("cluster", [eds("a")]);
  assert.equal(acknowledged(), 0);
  assert.equal(first.asked("endpoints"), undefined);
  resolve();
  await promise;
  assert.equal(acknowledged(), 1);
  assert.deepEqual(first.asked("endpoints")?.subscribe, ["a"]);
  ({ promise, resolve } = Promise.withResolvers<void>());
  first.give("listener", []);
  fail();
  pass(60_000);
  assert.equal(streams.length, 2);
  const second = connect();
  resolve();
  await promise;
  assert.equal(acknowledged(), 1);
  assert.deepEqual(
    second.sent.filter(({ responseNonce }) => responseNonce !== ""),
    [],
  );
});

test("endpoints are given up when their cluster is removed", () => {
  const { applied, connect } = setup();
  const stream = connect();
  stream.give("cluster", [eds("a")]);
  stream.give("endpoints", [{ clusterName: "a" }]);
  stream.give("cluster", [], ["a"]);
  assert.deepEqual(stream.asked("endpoints")?.unsubscribe, ["a"]);
  assert.deepEqual(applied.slice(-2), ["-cluster a", "-endpoints a"]);
});

test("what the identity provides is not asked of a server", () => {
  const { discovery, streams, connect, applied } = setup();
  const secret = (name: string) => ({
    name,
    sdsConfig: { apiConfigSource: { apiType: "GRPC", grpcServices: [{ envoyGrpc: { clusterName: "sds" } }] } },
  });
  const typedConfig = {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    commonTlsContext: { tlsCertificateSdsSecretConfigs: [secret("default")] },
  };
  const stream = connect();
  stream.give("listener", [{ name: "l", filterChains: [{ transportSocket: { name: "tls", typedConfig } }] }]);
  assert.equal(streams.length, 1);
  assert.deepEqual(applied, []);
  discovery.provide("identity", "secret", [{ name: "default", version: "1", json: { name: "default" } }]);
  assert.deepEqual(applied, ["+secret default", "+listener l"]);
});

test("with the control plane away the last good resources serve, and are claimed when it is back", () => {
  const disk = { files: memoryFiles(), bytesMax: 1e6, writerId: "one" };
  const first = setup(adsBootstrap, disk);
  const stream = first.connect();
  stream.give("cluster", [eds("a")]);
  stream.give("endpoints", [{ clusterName: "a" }]);
  stream.give("listener", [{ name: "l" }]);
  first.pass(1_000);
  first.discovery[Symbol.dispose]();
  const second = setup(adsBootstrap, disk);
  assert.deepEqual(second.applied, []);
  second.fail();
  assert.deepEqual(second.applied, ["+cluster a", "+endpoints a", "+listener l"]);
  assert.equal(second.discovery.ready(), true);
  second.pass(1_000);
  const again = second.connect();
  assert.deepEqual([...(again.asked("cluster")?.initialVersions ?? [])], [["a", "v1"]]);
  assert.deepEqual([...(again.asked("endpoints")?.initialVersions ?? [])], [["a", "v1"]]);
  again.give("cluster", [], ["a"]);
  assert.deepEqual(second.applied.slice(-2), ["-cluster a", "-endpoints a"]);
});

test("a resource that is lost on disk costs that one only, and is claimed by a version that no server gives", () => {
  const disk = { files: memoryFiles(), bytesMax: 1e6, writerId: "one" };
  const first = setup(adsBootstrap, disk);
  const stream = first.connect();
  stream.give("cluster", [eds("a"), eds("b")]);
  stream.give("endpoints", [{ clusterName: "a" }, { clusterName: "b" }]);
  stream.give("listener", [{ name: "l" }]);
  first.pass(1_000);
  first.discovery[Symbol.dispose]();
  for (const [name, bytes] of disk.files.content) {
    const at = bytes.indexOf('{"clusterName":"a"');
    if (at >= 0) disk.files.content.set(name, Buffer.from(bytes).fill("x", at + 16, at + 17));
  }
  const second = setup(adsBootstrap, disk);
  second.fail();
  const inForce = ["+cluster a", "+cluster b", "+endpoints a", "+endpoints b", "+listener l"];
  assert.deepEqual([...second.applied].sort(), inForce);
  assert.equal(second.discovery.ready(), true);
  second.pass(1_000);
  const again = second.connect();
  const claimed = new Map(again.asked("endpoints")?.initialVersions);
  assert.deepEqual([claimed.get("a"), claimed.get("b")], ["weft-lost", "v1"]);
  again.give("endpoints", [{ clusterName: "a" }]);
  assert.equal(second.applied.at(-1), "+endpoints a");
});

test("what an older sidecar kept is read once, and goes when it is in the cache", () => {
  const content = JSON.stringify([["listener", [{ name: "l", version: "v1", json: { name: "l" } }]]]);
  const sha256 = createHash("sha256").update(content).digest("hex");
  let text: string | undefined =
    `${JSON.stringify({ format: "weft-last-good-1", node: "node-1", sha256 })}\n${content}`;
  const former = { read: () => text, remove: () => (text = undefined) };
  const disk = { files: memoryFiles(), bytesMax: 1e6, writerId: "one", former };
  const first = setup(adsBootstrap, disk);
  first.fail();
  assert.deepEqual(first.applied, ["+listener l"]);
  first.pass(1_000);
  first.discovery[Symbol.dispose]();
  assert.equal(text, undefined);
  const second = setup(adsBootstrap, disk);
  second.fail();
  assert.deepEqual(second.applied, ["+listener l"]);
});

test("what a server of its own gave is kept too, and keys that an agent gave are not", () => {
  const source = { apiConfigSource: { apiType: "DELTA_GRPC", grpcServices: [{ envoyGrpc: { clusterName: "x" } }] } };
  const endpoint = { address: { socketAddress: { address: "127.0.0.1", portValue: 1 } } };
  const loadAssignment = { clusterName: "x", endpoints: [{ lbEndpoints: [{ endpoint }] }] };
  const server = { name: "x", type: "STATIC", loadAssignment };
  const cluster = { name: "a", type: "EDS", edsClusterConfig: { edsConfig: source } };
  const typedConfig = {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: "key", sdsConfig: source }] },
  };
  const secured = { ...cluster, name: "b", transportSocket: { name: "tls", typedConfig } };
  const files = memoryFiles();
  const disk = { files, bytesMax: 1e6, writerId: "one" };
  const first = setup({ node: { id: "node-1" }, staticResources: { clusters: [server, cluster, secured] } }, disk);
  for (const [index, { path }] of first.streams.entries()) {
    const stream = first.connect(index);
    if (path.includes("Endpoint")) stream.give("endpoints", [{ clusterName: "a" }, { clusterName: "b" }]);
    else stream.give("secret", [{ name: "key" }]);
  }
  first.pass(1_000);
  first.discovery[Symbol.dispose]();
  assert.equal([...files.content.values()].join().includes("secret"), false);
  const second = setup({ node: { id: "node-1" }, staticResources: { clusters: [server, cluster] } }, disk);
  assert.equal(second.applied.includes("+endpoints a"), false);
  second.fail();
  assert.ok(second.applied.includes("+endpoints a"));
});

test("a control plane that connects and says nothing is given up for the resources on disk", () => {
  const disk = { files: memoryFiles(), bytesMax: 1e6, writerId: "one" };
  const first = setup(adsBootstrap, disk);
  const stream = first.connect();
  stream.give("cluster", []);
  stream.give("listener", [{ name: "l" }]);
  first.discovery[Symbol.dispose]();
  const second = setup(adsBootstrap, disk);
  second.connect();
  second.pass(5_000);
  assert.deepEqual(second.applied, ["+listener l"]);
});

test("an unreachable control plane without resources on disk leaves the sidecar not ready", () => {
  const { discovery, fail, pass, streams } = setup();
  fail();
  pass(60_000);
  assert.equal(discovery.ready(), false);
  assert.ok(streams.length > 1);
});

test("a response that cannot be read ends the stream, and the next one is tried", () => {
  const { streams, connect, pass } = setup();
  connect().handlers.onMessage(Buffer.from([0xff, 0xff]));
  pass(1_000);
  assert.equal(streams.length, 2);
});

test("listeners and clusters from files follow their files; what a file no longer has is removed", () => {
  const path = (name: string) => ({ pathConfigSource: { path: `/${name}.yaml` } });
  const { discovery, applied, files } = setup({ dynamicResources: { cdsConfig: path("cds"), ldsConfig: path("lds") } });
  const cds = (names: readonly string[]): string =>
    JSON.stringify({
      resources: names.map((name) => ({ "@type": resourceType("cluster").typeUrl, name, type: "STATIC" })),
    });
  assert.equal(discovery.ready(), false);
  files.get("/cds.yaml")?.(cds(["a", "b"]));
  files.get("/lds.yaml")?.("resources: []");
  assert.equal(discovery.ready(), true);
  files.get("/cds.yaml")?.("resources: [");
  files.get("/cds.yaml")?.(cds(["b", "c"]));
  assert.deepEqual(applied, ["+cluster a", "+cluster b", "+cluster c", "-cluster a"]);
});

test("endpoints from a file are taken for the clusters that name it", () => {
  const cluster = { name: "a", type: "EDS", edsClusterConfig: { edsConfig: { path: "/eds.yaml" } } };
  const { discovery, applied, files } = setup({ staticResources: { clusters: [cluster] } });
  const { typeUrl } = resourceType("endpoints");
  const resources = ["a", "unused"].map((clusterName) => ({ "@type": typeUrl, clusterName }));
  files.get("/eds.yaml")?.(JSON.stringify({ resources }));
  assert.deepEqual(applied, ["+cluster a", "+endpoints a"]);
  assert.equal(discovery.ready(), true);
});
