/** For tests: a data plane whose store follows a management server that the test plays. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { virtualTime } from "@weft/core/testing/virtual-time";
import { silentLogger } from "@weft/core/world";
import type { GrpcChannel, GrpcStreamHandlers } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { encodeResource } from "@weft/xds/codec";
import { type DeltaRequest, decodeDeltaRequest, encodeDeltaResponse } from "@weft/xds/discovery";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import {
  any,
  type ResourceKind,
  resourceType,
  type SubscribedKind,
  subscribedTypes,
  virtualHostType,
} from "@weft/xds/resource";
import { readBootstrap } from "../../bootstrap/bootstrap.ts";
import { cacheCounters } from "../../discovery/cache/cache-stats.ts";
import type { CacheSettings } from "../../discovery/cache/discovery-cache.ts";
import { createDiscovery } from "../../discovery/discovery.ts";
import { createResourceStore, type ResourceOffer, type ResourceStore } from "../../discovery/resource-store.ts";
import type { DataPlaneTools } from "../../runtime/create-data-plane.ts";
import type { DataPlane, ResourceChange } from "../../runtime/data-plane.ts";
import { openPlane } from "../../runtime/testing/test-plane.ts";
import { createOnDemand, type OnDemandDesk } from "../on-demand.ts";

const adsOf = (apiType: string) => ({
  node: { id: "node-1" },
  dynamicResources: {
    adsConfig: {
      apiType,
      transportApiVersion: "V3",
      grpcServices: [{ googleGrpc: { targetUri: "127.0.0.1:1", statPrefix: "x" } }],
    },
  },
});
/** Bootstraps with nothing but an aggregated stream. */
export const delta = adsOf("DELTA_GRPC");
export const sotw = adsOf("GRPC");

export interface PlayedHost {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly json?: VirtualHostJson;
}

export interface PlayedStream {
  readonly path: string;
  readonly handlers: GrpcStreamHandlers;
  readonly sent: DeltaRequest[];
  /** All names of that kind that it was ever asked for. */
  readonly subscriptions: (of: SubscribedKind) => readonly string[];
  readonly give: (of: ResourceKind, jsons: readonly object[], removed?: readonly string[]) => void;
  /** Virtual hosts by their names and aliases; one without a body is said not to be there. */
  readonly giveHosts: (hosts: readonly PlayedHost[], removed?: readonly string[]) => void;
}

export interface OnDemandMesh extends AsyncDisposable {
  readonly plane: DataPlane;
  readonly store: ResourceStore;
  readonly onDemand: OnDemandDesk;
  readonly port: number;
  /** The application's. */
  readonly app: number;
  readonly logLines: readonly string[];
  readonly streams: readonly PlayedStream[];
  readonly stream: PlayedStream;
  readonly connect: () => void;
  readonly fail: () => void;
  /** Time passes for the streams. */
  readonly pass: (ms: number) => void;
  /** Time passes for those that wait. */
  readonly late: (ms: number) => void;
  /** Waits of requests that have a timer. */
  readonly timers: () => number;
  readonly count: (counter: string) => number;
  readonly put: (...changes: ResourceChange[]) => Promise<void>;
  readonly until: (holds: () => boolean) => Promise<unknown>;
  /** The present stream was asked for that cluster, so many times. */
  readonly subscribed: (name: string, times?: number, of?: SubscribedKind) => Promise<unknown>;
}

const lookMs = 5;
const looksMost = 2_000;

const accessLog = [
  {
    name: "log",
    typedConfig: any("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", {
      logFormat: { textFormatSource: { inlineString: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%" } },
    }),
  },
];

const urlOf = (of: SubscribedKind): string => subscribedTypes.find(({ kind }) => kind === of)?.typeUrl ?? "";

const playStream = (path: string, handlers: GrpcStreamHandlers): PlayedStream => {
  const sent: DeltaRequest[] = [];
  return {
    path,
    handlers,
    sent,
    subscriptions: (of) => sent.flatMap(({ typeUrl, subscribe }) => (typeUrl === urlOf(of) ? subscribe : [])),
    give: (of, jsons, removed = []) => {
      const { typeUrl } = resourceType(of);
      const resources = jsons.map((json) => {
        const { name, clusterName } = json as { name?: string; clusterName?: string };
        return { name: name ?? clusterName ?? "", version: "v1", typeUrl, value: encodeResource(of, json as never) };
      });
      const nonce = `n${sent.length}`;
      handlers.onMessage(encodeDeltaResponse({ systemVersion: "", typeUrl, nonce, removed, resources }));
    },
    giveHosts: (hosts, removed = []) => {
      const { typeUrl } = virtualHostType;
      const resources = hosts.map(({ name, aliases = [], json }) => ({
        ...{ name, aliases, version: "v1", typeUrl },
        value: json && encodeResource("virtualHost", json),
      }));
      const nonce = `n${sent.length}`;
      handlers.onMessage(encodeDeltaResponse({ systemVersion: "", typeUrl, nonce, removed, resources }));
    },
  };
};

const startApp = async () => {
  const server = createServer((request, response) => {
    let bytes = 0;
    request.on("data", (part: Buffer) => {
      bytes += part.length;
    });
    request.on("end", () => response.end(bytes === 0 ? "app" : `app${bytes}`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { port: (server.address() as { port: number }).port, close };
};

export interface OnDemandMeshOptions {
  readonly bootstrap?: object;
  readonly random?: () => number;
  readonly cache?: CacheSettings;
}

/** Opens one with that listener, and connects its stream where it has one. */
export const openMesh = async (
  listener: ResourceChange,
  { bootstrap: json = delta, random = Math.random, cache }: OnDemandMeshOptions = {},
): Promise<OnDemandMesh> => {
  const app = await startApp();
  const bootstrap = readBootstrap(json, () => undefined);
  const [waits, time] = [virtualTime(), virtualTime()];
  const streams: PlayedStream[] = [];
  const counters = new Map<string, { value: number }>();
  const counter = (name: string) => {
    const made = {
      value: 0,
      add: (n: number) => {
        made.value += n;
      },
    };
    counters.set(name, made);
    return made;
  };
  const onDemand = createOnDemand(bootstrap, waits.setTimer, { counter } as never);
  const tools: Partial<DataPlaneTools> = { onDemand, random };
  const { plane, logLines, portOf, ...all } = openPlane(tools);
  const store = createResourceStore({ dataPlane: plane, clock: time.clock, log: silentLogger });
  const series = { add: () => undefined, set: () => undefined, value: 0, record: () => undefined };
  const channel: GrpcChannel = {
    open: ({ path }, handlers) => {
      const stream = playStream(path, handlers);
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
  const discovery = createDiscovery({
    bootstrap,
    store,
    connect: () => channel,
    watchFile: () => ({ [Symbol.dispose]: () => undefined }),
    ownSecrets: new Set(),
    cache,
    cacheCounters: cacheCounters({ counter } as never),
    clusters: () => plane.clusters(),
    clock: time.clock,
    random: () => 0,
    setTimer: time.setTimer,
    log: silentLogger,
    onDemand,
    metrics: { connected: series, connectionErrors: series, latencySeconds: series, answered: () => undefined },
  });
  const connect = (): void => streams.at(-1)?.handlers.onOpen?.();
  const put = async (...changes: readonly ResourceChange[]): Promise<void> => {
    for (const { kind, name, json: resource } of changes)
      if (kind !== "virtualHost")
        discovery.provide("static", kind, [{ name, version: "", json: withLog(resource) } as ResourceOffer]);
    await plane.settled();
  };
  const until = async (holds: () => boolean): Promise<void> => {
    for (let looks = 0; !holds(); looks++) {
      if (looks >= looksMost) throw new Error("what the test waits for did not happen");
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  };
  const current = (): PlayedStream => streams.at(-1) ?? assert.fail("no stream");
  discovery.start();
  time.pass(1);
  connect();
  await put(listener);
  return {
    plane,
    onDemand,
    app: app.port,
    store,
    get port() {
      return portOf(listener.name);
    },
    logLines,
    streams,
    get stream() {
      return current();
    },
    connect,
    fail: () => current().handlers.onEnd(new GrpcError(14, "refused")),
    pass: time.pass,
    late: waits.pass,
    timers: () => waits.timers.size,
    count: (name) => counters.get(name)?.value ?? 0,
    put,
    until,
    subscribed: (name, times = 1, of = "cluster") =>
      until(
        () =>
          current()
            .subscriptions(of)
            .filter((one) => one === name).length >= times,
      ),
    async [Symbol.asyncDispose]() {
      discovery[Symbol.dispose]();
      await all[Symbol.asyncDispose]();
      app.close();
    },
  };
};

/** A listener's connection managers write how requests ended. */
const withLog = (json: ResourceChange["json"]): unknown =>
  JSON.parse(JSON.stringify(json ?? null), (key, value) =>
    key === "typedConfig" && value?.["@type"]?.endsWith(".HttpConnectionManager") ? { ...value, accessLog } : value,
  ) ?? undefined;
