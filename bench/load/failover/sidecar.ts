/** One sidecar as far as discovery sees it: our client's own machine with its waits and turns, on a raw connection. */
import type { SecureContext } from "node:tls";
import { shuffled } from "@weft/core/shuffled";
import { discoveryFeatures, withFeatures } from "@weft/xds/client-features";
import { type ClientInput, type ClientOutput, createClientStream } from "@weft/xds/client-stream";
import { adsDeltaPath, decodeDeltaResponse, type EncodedResource, encodeDeltaRequest } from "@weft/xds/discovery";
import { resourceType } from "@weft/xds/resource";
import { dataFrames, RawStream } from "../ads/raw-stream.ts";

export interface BenchSidecar {
  /** Of the present connection, from the wire; and how many of them TLS's handshake took. */
  bytes(): number;
  handshakeBytes(): number;
}

export interface BenchSidecarOptions {
  readonly index: number;
  readonly addresses: readonly string[];
  readonly tls?: SecureContext | undefined;
  readonly names: readonly string[];
  /** All that was asked for on this stream is answered; with how many resources came. */
  readonly onSync: (resources: number) => void;
  readonly onLost: () => void;
  readonly onConnect: () => void;
}

const kinds = ["cluster", "endpoints"] as const;
const endpointsUrl = resourceType("endpoints").typeUrl;

const nodeOf = (index: number) =>
  withFeatures(
    {
      id: `sidecar~10.200.${index >> 8}.${index & 255}~bench-${index}.default~default.svc.cluster.local`,
      metadata: { NAMESPACE: "default", WEFT_VERSION: "0.1.0" },
    },
    discoveryFeatures,
  );

/** Read no further than its name: thousands of sidecars share a core here. */
const named = (resource: EncodedResource): EncodedResource => ({
  ...resource,
  json: resource.typeUrl === endpointsUrl ? { clusterName: resource.name } : { name: resource.name },
});

export const startBenchSidecar = (options: BenchSidecarOptions): BenchSidecar => {
  const machine = createClientStream({ form: "delta", node: nodeOf(options.index), random: Math.random });
  let stream: RawStream | undefined;
  let timer: NodeJS.Timeout | undefined;
  const [first = "", ...others] = options.addresses;
  const addresses = [first, ...shuffled(others, Math.random)];
  let turn = 0;
  let resources = 0;
  let connected = false;
  const answered = new Set<string>();

  const feed = (input: ClientInput): void => {
    for (const output of machine.handle(input, performance.now())) act(output);
    clearTimeout(timer);
    const deadlineMs = machine.deadlineMs();
    if (deadlineMs === undefined) return;
    timer = setTimeout(() => feed({ kind: "tick" }), Math.max(0, deadlineMs - performance.now()));
  };
  const act = (output: ClientOutput): void => {
    if (output.kind === "open") dial();
    else if (output.kind === "offer") feed({ kind: "verdict", offer: output.offer, rejections: [] });
    else if (output.kind === "send" && output.request.form === "delta")
      stream?.send(dataFrames(Buffer.from(encodeDeltaRequest(output.request))));
  };
  const message = (bytes: Buffer): void => {
    if (!connected) options.onConnect();
    connected = true;
    // What is kept of it must not be a view of the reading buffer.
    const response = decodeDeltaResponse(Buffer.from(bytes));
    resources += response.resources.length;
    feed({ kind: "response", response: { form: "delta", ...response, resources: response.resources.map(named) } });
    const before = answered.size;
    answered.add(response.typeUrl);
    if (before < kinds.length && answered.size === kinds.length) options.onSync(resources);
  };
  const dial = (): void => {
    const [host = "", port = ""] = (addresses[turn++ % addresses.length] ?? "").split(":");
    answered.clear();
    resources = 0;
    connected = false;
    const opened = new RawStream(
      { host, port: Number(port), path: adsDeltaPath, ...(options.tls ? { tls: options.tls } : {}) },
      {
        message: (bytes) => stream === opened && message(bytes),
        ended: () => {
          if (stream !== opened) return;
          stream = undefined;
          options.onLost();
          feed({ kind: "closed" });
        },
      },
    );
    stream = opened;
    queueMicrotask(() => feed({ kind: "opened" }));
  };
  for (const of of kinds) feed({ kind: "want", of, names: new Set(options.names) });
  feed({ kind: "tick" });
  return { bytes: () => stream?.wireBytes() ?? 0, handshakeBytes: () => stream?.handshakeBytes ?? 0 };
};
