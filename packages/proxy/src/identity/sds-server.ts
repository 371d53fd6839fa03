/**
 * The secret discovery service that `weft agent` runs for a stock Envoy on a Unix socket: answers the names `default`
 * and `ROOTCA`, in both protocols, and sends them again when they are rotated. Any other name is never answered.
 */

import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { BidiCall, BidiEvents, GrpcHandler } from "@weft/net/grpc/calls";
import { GrpcError } from "@weft/net/grpc/status";
import { encodeMessage, resourceSchema } from "@weft/xds/codec";
import { diff } from "@weft/xds/diff";
import { decodeDeltaRequest, decodeDiscoveryRequest } from "@weft/xds/discovery";
import { resourceType } from "@weft/xds/resource";
import { createResponseFrames } from "@weft/xds/response-frames";
import { ServerStream } from "@weft/xds/server-stream";
import { createSnapshotBuilder, type Snapshot } from "@weft/xds/snapshot";
import type { StreamInput, StreamMode, StreamOutput, StreamRequest } from "@weft/xds/stream-messages";
import { type IdentityMaterial, identitySecrets } from "./identity-material.ts";

const service = "/envoy.service.secret.v3.SecretDiscoveryService";
const secretUrl = resourceType("secret").typeUrl;

export interface SdsServer {
  /** By path, for a gRPC server on a Unix socket that only this workload can open. */
  readonly handlers: ReadonlyMap<string, GrpcHandler>;
  /** Sends the secrets to every stream that asked for them, now and later. */
  publish(material: IdentityMaterial): void;
  readonly streams: number;
}

export interface SdsServerOptions {
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export const createSdsServer = (options: SdsServerOptions): SdsServer => {
  const streams = new Set<SdsStream>();
  const builder = createSnapshotBuilder({
    encode: (kind, json) => encodeMessage(resourceSchema(kind), json as Parameters<typeof encodeMessage>[1]),
  });
  const frames = createResponseFrames();
  let epoch = 0;
  let snapshot: Snapshot | undefined;
  const method = (mode: StreamMode): GrpcHandler => ({
    kind: "bidi",
    open: (call) => {
      const machine = new ServerStream({ mode, diff, nextEpoch: () => ++epoch });
      const stream = new SdsStream(machine, call, {
        ...options,
        frame: frames.frame,
        gone: () => streams.delete(stream),
      });
      streams.add(stream);
      if (snapshot) stream.push(snapshot);
      return { ...eventsOf(stream), message: (bytes) => stream.request(decode(mode, bytes)) };
    },
  });
  return {
    handlers: new Map([
      [`${service}/StreamSecrets`, method("sotw")],
      [`${service}/DeltaSecrets`, method("delta")],
    ]),
    publish: (material) => {
      const secrets = new Map(identitySecrets(material).map((secret) => [secret.name ?? "", secret]));
      snapshot = builder.build({ secret: secrets }, ++epoch, snapshot);
      for (const stream of streams) stream.push(snapshot);
    },
    get streams() {
      return streams.size;
    },
  };
};

interface SdsStreamTools extends SdsServerOptions {
  readonly frame: (response: Extract<StreamOutput, { kind: "send" }>["response"]) => Uint8Array;
  readonly gone: () => void;
}

const eventsOf = (stream: SdsStream): Omit<BidiEvents, "message"> => ({
  drained: () => stream.drained(),
  halfClosed: () => stream.end(),
  closed: () => stream.closed(),
});

/** One stream: a server stream machine on one side, a gRPC call on the other. */
class SdsStream {
  private readonly machine: ServerStream;
  private readonly call: BidiCall;
  private readonly tools: SdsStreamTools;
  private timer: Disposable | undefined;
  private over = false;

  constructor(machine: ServerStream, call: BidiCall, tools: SdsStreamTools) {
    this.machine = machine;
    this.call = call;
    this.tools = tools;
  }

  request(request: StreamRequest): void {
    if (request.typeUrl !== secretUrl) {
      throw new GrpcError(grpcStatus.invalidArgument, `only ${secretUrl} is served here`);
    }
    this.handle({ kind: "request", request });
  }

  push(snapshot: Snapshot): void {
    this.handle({ kind: "push", snapshot });
  }

  drained(): void {
    this.handle({ kind: "writable", writable: true });
  }

  end(): void {
    this.call.end(grpcStatus.ok);
  }

  closed(): void {
    this.over = true;
    this.timer?.[Symbol.dispose]();
    this.tools.gone();
  }

  private handle(input: StreamInput): void {
    if (this.over) return;
    const { clock, setTimer } = this.tools;
    let full = false;
    for (const output of this.machine.handle(input, clock.nowMs())) if (!this.perform(output)) full = true;
    if (full) this.machine.handle({ kind: "writable", writable: false }, clock.nowMs());
    this.timer?.[Symbol.dispose]();
    this.timer = undefined;
    const deadlineMs = this.machine.deadlineMs();
    if (deadlineMs === undefined || this.over) return;
    this.timer = setTimer(() => this.handle({ kind: "tick" }), Math.max(0, deadlineMs - clock.nowMs()));
  }

  /** False when the peer takes no more for now. */
  private perform(output: StreamOutput): boolean {
    switch (output.kind) {
      case "send":
        return this.call.send(this.tools.frame(output.response));
      case "nacked":
        this.tools.log.error(`WF7006 the proxy rejected its certificate: ${output.error}`);
        return true;
      case "close":
        this.over = true;
        this.call.end(output.status, output.message);
        return true;
      case "node":
      case "acked":
      case "tooLarge":
        return true;
      default:
        return output satisfies never;
    }
  }
}

/** A client that does not say who it is may ask too: the socket is this workload's own. */
const anyNode = { id: "local" };

const decode = (mode: StreamMode, bytes: Uint8Array): StreamRequest => {
  try {
    if (mode === "sotw") {
      const { versionInfo, node, resourceNames, typeUrl, responseNonce, errorDetail } = decodeDiscoveryRequest(bytes);
      const common = { typeUrl: typeUrl || secretUrl, nonce: responseNonce, error: errorDetail?.message };
      return { mode, ...common, node: node?.id ? node : anyNode, version: versionInfo, names: resourceNames };
    }
    const { node, typeUrl, subscribe, unsubscribe, initialVersions, responseNonce, errorDetail } =
      decodeDeltaRequest(bytes);
    const common = { typeUrl: typeUrl || secretUrl, nonce: responseNonce, error: errorDetail?.message };
    return { mode, ...common, node: node?.id ? node : anyNode, subscribe, unsubscribe, initialVersions };
  } catch (cause) {
    throw new GrpcError(grpcStatus.invalidArgument, "the message is not a discovery request", { cause });
  }
};
