/** An xDS client made of grpc-js and the codec, for tests: it sends what it is told and collects what comes. */
import * as grpc from "@grpc/grpc-js";
import {
  adsDeltaPath,
  adsSotwPath,
  decodeDeltaResponse,
  decodeDiscoveryResponse,
  encodeDeltaRequest,
  encodeDiscoveryRequest,
} from "@weft/xds/discovery";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { type ResourceKind, resourceType } from "@weft/xds/resource";

export const testNode = (over: Readonly<Record<string, unknown>> = {}): NodeJson => ({
  id: "sidecar~127.0.0.1~web-1.default~default.svc.cluster.local",
  metadata: {
    NAMESPACE: "default",
    SERVICE_ACCOUNT: "web",
    WORKLOAD_NAME: "web",
    INTERCEPTION_MODE: "NONE",
    WEFT_OUTBOUND: "127.0.0.1:15001",
    ...over,
  } as NonNullable<NodeJson["metadata"]>,
});

export interface Received {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly version: string;
  readonly names: readonly string[];
  readonly removed: readonly string[];
  /** The message's bytes as characters: texts in it can be found. */
  readonly text: string;
}

export interface AdsClient extends Disposable {
  ask(
    kind: ResourceKind,
    over?: { readonly names?: readonly string[]; readonly nonce?: string; readonly error?: string },
  ): void;
  /** The next response, in order; rejects when the stream ends. */
  next(): Promise<Received>;
  readonly ended: Promise<grpc.StatusObject>;
}

const raw = { to: (bytes: Buffer) => bytes, from: (bytes: Buffer) => bytes };

export const openAdsClient = (
  address: string,
  mode: "sotw" | "delta",
  options: {
    readonly credentials?: grpc.ChannelCredentials;
    readonly node?: NodeJson | undefined;
    readonly serverName?: string;
  } = {},
): AdsClient => {
  const client = new grpc.Client(address, options.credentials ?? grpc.credentials.createInsecure(), {
    "grpc.ssl_target_name_override": options.serverName ?? "localhost",
  });
  const call = client.makeBidiStreamRequest(mode === "delta" ? adsDeltaPath : adsSotwPath, raw.to, raw.from);
  const queue: Received[] = [];
  const waiting: { resolve: (received: Received) => void; reject: (error: unknown) => void }[] = [];
  call.on("data", (bytes: Buffer) => {
    const received = { ...(mode === "delta" ? readDelta(bytes) : readSotw(bytes)), text: bytes.toString("latin1") };
    const first = waiting.shift();
    if (first) first.resolve(received);
    else queue.push(received);
  });
  call.on("error", () => {});
  const ended = new Promise<grpc.StatusObject>((resolve) => {
    call.on("status", (status: grpc.StatusObject) => {
      resolve(status);
      for (const { reject } of waiting) reject(new Error(`ended: ${status.details}`));
    });
  });
  let node = "node" in options ? options.node : testNode();
  return {
    ask(kind, { names = [], nonce = "", error } = {}) {
      const { typeUrl } = resourceType(kind);
      const errorDetail = error === undefined ? undefined : { code: 13, message: error };
      const common = { node, typeUrl, responseNonce: nonce, errorDetail };
      const bytes =
        mode === "delta"
          ? encodeDeltaRequest({ ...common, subscribe: names, unsubscribe: [], initialVersions: new Map() })
          : encodeDiscoveryRequest({ ...common, versionInfo: "", resourceNames: names });
      node = undefined;
      call.write(Buffer.from(bytes));
    },
    next: () =>
      new Promise((resolve, reject) => {
        const first = queue.shift();
        if (first) resolve(first);
        else waiting.push({ resolve, reject });
      }),
    ended,
    [Symbol.dispose]: () => {
      call.cancel();
      client.close();
    },
  };
};

const readDelta = (bytes: Buffer): Omit<Received, "text"> => {
  const { typeUrl, nonce, systemVersion, resources, removed } = decodeDeltaResponse(bytes);
  return { typeUrl, nonce, version: systemVersion, names: resources.map(({ name }) => name), removed };
};

const readSotw = (bytes: Buffer): Omit<Received, "text"> => {
  const { typeUrl, nonce, versionInfo, resources } = decodeDiscoveryResponse(bytes);
  return {
    typeUrl,
    nonce,
    version: versionInfo,
    names: resources.map(({ value }) => value?.length ?? 0).map(String),
    removed: [],
  };
};
