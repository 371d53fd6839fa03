/** Many delta ADS clients in one process, a connection each, that acknowledge what they get and count it. */
import { createGrpcChannel } from "@weft/net/grpc/client";
import { adsDeltaPath, type DeltaRequest, decodeDeltaResponse, encodeDeltaRequest } from "@weft/xds/discovery";
import { typeUrl } from "@weft/xds/resource";

export interface Subscribers {
  /** Responses so far, over all streams. */
  readonly received: () => number;
  readonly lastAtMs: () => number;
  readonly close: () => void;
}

const endpoints = typeUrl("envoy.config.endpoint.v3.ClusterLoadAssignment");
const clusters = typeUrl("envoy.config.cluster.v3.Cluster");

const nodeOf = (index: number): NonNullable<DeltaRequest["node"]> => ({
  id: `sidecar~10.1.0.${index % 250}~bench-${index}.default~default.svc.cluster.local`,
  metadata: { NAMESPACE: "default" },
});

const request = (over: Partial<DeltaRequest>): Uint8Array =>
  encodeDeltaRequest({
    node: undefined,
    typeUrl: endpoints,
    subscribe: [],
    unsubscribe: [],
    initialVersions: new Map(),
    responseNonce: "",
    errorDetail: undefined,
    ...over,
  });

export interface Storm extends Disposable {
  /** Bytes of responses, over all streams. */
  readonly bytes: number;
  readonly tookMs: number;
}

/** Opens all streams at once, each asking for all clusters, then for the endpoints named; resolves when all have both. */
export const connectStorm = async (address: string, names: readonly string[], count: number): Promise<Storm> => {
  const [host = "", port = ""] = address.split(":");
  const channels = new Set<Disposable>();
  const startedMs = performance.now();
  let bytes = 0;
  const one = (index: number): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const channel = createGrpcChannel({ target: { kind: "tcp", host, port: Number(port) } });
    channels.add(channel);
    const missing = new Set(names);
    let asked = false;
    const stream = channel.open(
      { path: adsDeltaPath },
      {
        onMessage: (message) => {
          bytes += message.length;
          const { typeUrl, nonce, resources } = decodeDeltaResponse(message);
          stream.send(request({ typeUrl, responseNonce: nonce }));
          if (typeUrl === clusters && !asked) stream.send(request({ subscribe: names }));
          asked = true;
          if (typeUrl === endpoints) for (const { name } of resources) missing.delete(name);
          if (missing.size === 0) resolve();
        },
        onEnd: (error) => reject(error ?? new Error("the server ended the stream")),
      },
    );
    stream.send(request({ node: nodeOf(index), typeUrl: clusters }));
    return promise;
  };
  await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  return {
    bytes,
    tookMs: performance.now() - startedMs,
    [Symbol.dispose]: () => {
      for (const channel of channels) channel[Symbol.dispose]();
    },
  };
};

/** Opens the streams one after another and resolves when each has its first answer. */
export const openSubscribers = async (address: string, resource: string, count: number): Promise<Subscribers> => {
  const [host = "", port = ""] = address.split(":");
  const channels = new Set<Disposable>();
  let received = 0;
  let lastAtMs = 0;
  for (let i = 0; i < count; i++) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const channel = createGrpcChannel({ target: { kind: "tcp", host, port: Number(port) } });
    channels.add(channel);
    const stream = channel.open(
      { path: adsDeltaPath },
      {
        onMessage: (message) => {
          received++;
          lastAtMs = performance.now();
          stream.send(request({ responseNonce: decodeDeltaResponse(message).nonce }));
          resolve();
        },
        onEnd: (error) => reject(error ?? new Error("the server ended the stream")),
      },
    );
    stream.send(request({ node: nodeOf(i), subscribe: [resource] }));
    await promise;
  }
  return {
    received: () => received,
    lastAtMs: () => lastAtMs,
    close: () => {
      for (const channel of channels) channel[Symbol.dispose]();
    },
  };
};
