/** The two methods of the aggregated discovery service: a gRPC stream on one side, a server stream machine on the other. */
import { WeftError } from "@weft/core/error";
import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { BidiCall, BidiEvents, GrpcHandler } from "@weft/net/grpc/calls";
import { frameMessage } from "@weft/net/grpc/message-reader";
import { GrpcError } from "@weft/net/grpc/status";
import { adsDeltaPath, adsSotwPath, encodeDeltaResponse, encodeDiscoveryResponse } from "@weft/xds/discovery";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { resourceType, resourceTypes } from "@weft/xds/resource";
import { createResponseFrames, type ResponseFrames } from "@weft/xds/response-frames";
import { ServerStream } from "@weft/xds/server-stream";
import type { Snapshot } from "@weft/xds/snapshot";
import type { StreamInput, StreamMode, StreamOutput, StreamRequest } from "@weft/xds/stream-messages";
import { type ProxyFacts, parseProxyFacts } from "../generate/proxy-facts.ts";
import { type AnswerDebug, isDebugType } from "../status/debug-types.ts";
import { version } from "../version.ts";
import type { ConnectedProxy } from "./connected-proxy.ts";
import { asksForMore, createEndpointNames, type EndpointNames } from "./endpoint-names.ts";
import { identityMismatch } from "./identity.ts";
import { messageBytesMaxOf } from "./message-limits.ts";
import type { Publisher, Subscription } from "./publisher.ts";
import type { PushMetrics } from "./push-metrics.ts";
import { createSilence, type Silence } from "./silence.ts";
import { createRequestReader, type ReadStreamRequest } from "./stream-requests.ts";

export interface AdsService {
  /** By path, for the gRPC servers. */
  readonly handlers: ReadonlyMap<string, GrpcHandler>;
  /** Newest stream last where a proxy has several. */
  readonly proxies: () => readonly ConnectedProxy[];
  readonly frames: ResponseFrames;
}

export interface AdsOptions {
  readonly publisher: Publisher;
  readonly trustDomain: string;
  readonly answerDebug: AnswerDebug;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly metrics: PushMetrics;
}

/** A stream that does not say whose it is within this time is ended. */
const identityTimeoutMs = 15_000;
const endpointsUrl = resourceType("endpoints").typeUrl;
/** A text that istioctl reads as JSON. */
const controlPlaneId = JSON.stringify({ Component: "weft", ID: "weft", Info: { version } });

export const createAds = (options: AdsOptions): AdsService => {
  const connected = new Set<AdsStream>();
  const frames = createResponseFrames();
  const shared: Shared = {
    ...options,
    frames,
    read: createRequestReader(),
    count: responseCounter(options.metrics),
    connected: () => [...connected].flatMap((stream) => stream.describe() ?? []),
    opened: (stream) => {
      connected.add(stream);
      options.metrics.connected.set(connected.size);
    },
    silence: createSilence({
      ...{ clock: options.clock, setTimer: options.setTimer, timeoutMs: identityTimeoutMs },
      onTimeout: (stream) => stream.stayedSilent(),
    }),
    gone: (stream) => {
      connected.delete(stream);
      options.metrics.connected.set(connected.size);
    },
  };
  const method = (mode: StreamMode): GrpcHandler => ({
    kind: "bidi",
    open: (call) => new AdsStream(mode, call, shared),
  });
  return {
    handlers: new Map([
      [adsSotwPath, method("sotw")],
      [adsDeltaPath, method("delta")],
    ]),
    proxies: shared.connected,
    frames,
  };
};

interface Shared extends AdsOptions {
  readonly read: ReadStreamRequest;
  readonly frames: ResponseFrames;
  /** Counts a response. */
  readonly count: (typeUrl: string, bytes: number) => void;
  readonly connected: () => readonly ConnectedProxy[];
  /** Until the first request. */
  readonly silence: Silence<AdsStream>;
  readonly opened: (stream: AdsStream) => void;
  readonly gone: (stream: AdsStream) => void;
}

class AdsStream implements BidiEvents {
  readonly #mode: StreamMode;
  readonly #call: BidiCall;
  readonly #shared: Shared;
  readonly #machine: ServerStream;
  readonly #connectedAtMs: number;
  #machineTimer: Disposable | undefined;
  /** What the timer is set for. */
  #armedMs: number | undefined;
  #subscription: Subscription | undefined;
  #endpointNames: EndpointNames | undefined;
  #node: NodeJson | undefined;
  #proxy: ProxyFacts | undefined;
  #snapshot: Snapshot | undefined;
  #over = false;
  #spoke = false;
  #debugAnswers = 0;
  #debugUnread = false;

  constructor(mode: StreamMode, call: BidiCall, shared: Shared) {
    this.#mode = mode;
    this.#call = call;
    this.#shared = shared;
    this.#connectedAtMs = shared.clock.wallMs();
    const { diff, nextEpoch } = shared.publisher;
    const isNative = (): boolean => this.#proxy?.native === true;
    this.#machine = new ServerStream({
      mode,
      diff,
      nextEpoch,
      skipsHeldEndpoints: isNative,
      versionIsExact: isNative,
      messageBytesMax: () => messageBytesMaxOf(this.#proxy),
    });
    shared.silence.begin(this);
  }

  stayedSilent(): void {
    this.#refuse("silent", grpcStatus.deadlineExceeded, "WF3021 no first request came in time");
  }

  message(bytes: Uint8Array): void {
    if (!this.#spoke) this.#shared.silence.end(this);
    this.#spoke = true;
    const request = this.#decode(bytes);
    if (isDebugType(request.typeUrl)) this.#answerDebug(request);
    else this.#take(request);
  }

  /** What it asks for now is answered from what is newest, and pushed to it from now on. */
  #take(request: StreamRequest): void {
    if (!asksForMore(request)) {
      this.#handle({ kind: "request", request });
      return;
    }
    this.#subscription?.catchUp();
    this.#handle({ kind: "request", request });
    if (request.typeUrl !== endpointsUrl || !this.#subscription || this.#over) return;
    this.#endpointNames ??= createEndpointNames(this.#subscription);
    this.#endpointNames.follow(request, this.#machine.subscribed(endpointsUrl));
  }

  drained(): void {
    this.#debugUnread = false;
    this.#handle({ kind: "writable", writable: true });
  }

  halfClosed(): void {
    this.#call.end(grpcStatus.ok);
  }

  closed(): void {
    this.#over = true;
    this.#shared.silence.end(this);
    this.#machineTimer?.[Symbol.dispose]();
    this.#endpointNames?.forget(this.#machine.subscribed(endpointsUrl));
    this.#subscription?.[Symbol.dispose]();
    this.#shared.gone(this);
    if (this.#proxy) this.#shared.log.info("proxy disconnected", { proxy: this.#proxy.id });
  }

  describe(): ConnectedProxy | undefined {
    const [proxy, node] = [this.#proxy, this.#node];
    if (!proxy || !node) return undefined;
    return {
      proxy,
      node,
      mode: this.#mode,
      peerAddress: this.#call.peer.address,
      secure: this.#call.peer.secure,
      connectedAtMs: this.#connectedAtMs,
      types: () => this.#machine.syncz(),
      snapshot: () => {
        this.#subscription?.catchUp();
        return this.#snapshot;
      },
      isSubscribed: (typeUrl, name) => this.#machine.isSubscribed(typeUrl, name),
    };
  }

  #decode(bytes: Uint8Array): StreamRequest {
    try {
      return this.#shared.read(this.#mode, bytes);
    } catch (cause) {
      throw new GrpcError(grpcStatus.invalidArgument, "the message is not a discovery request", { cause });
    }
  }

  /** Questions carry no nonce; what carries one acknowledges an answer. */
  #answerDebug(request: StreamRequest): void {
    if (this.#over || request.nonce !== "") return;
    if (!this.#proxy && !request.node?.id) {
      this.#refuse("protocol", grpcStatus.invalidArgument, "the first request of a stream must have node.id");
      return;
    }
    if (this.#debugUnread) throw new GrpcError(grpcStatus.resourceExhausted, "the last answer is not read yet");
    const { typeUrl } = request;
    const names = request.mode === "delta" ? request.subscribe : request.names;
    const resources = this.#shared.answerDebug(this.#call, { typeUrl, names }, this.#shared.connected());
    const common = { resources, typeUrl, nonce: `debug-${++this.#debugAnswers}`, controlPlaneId };
    const bytes =
      this.#mode === "delta"
        ? encodeDeltaResponse({ ...common, systemVersion: "", removed: [] })
        : encodeDiscoveryResponse({ ...common, versionInfo: "" });
    if (this.#call.send(frameMessage(bytes))) return;
    this.#debugUnread = true;
    this.#machine.handle({ kind: "writable", writable: false }, this.#shared.clock.nowMs());
  }

  #handle(input: StreamInput): void {
    if (this.#over) return;
    let full = false;
    for (const output of this.#machine.handle(input, this.#shared.clock.nowMs())) {
      if (!this.#perform(output)) full = true;
    }
    if (full && !this.#over) this.#machine.handle({ kind: "writable", writable: false }, this.#shared.clock.nowMs());
    this.#arm();
  }

  /** False when the peer takes no more for now. */
  #perform(output: StreamOutput): boolean {
    const { metrics, clock, log, publisher, frames } = this.#shared;
    switch (output.kind) {
      case "node":
        this.#identify(output.node);
        return true;
      case "send": {
        const frame = frames.frame(output.response);
        this.#shared.count(output.response.typeUrl, frame.length);
        return this.#call.send(frame);
      }
      case "acked": {
        const changedAt = publisher.changedAtMs(output.epoch);
        if (changedAt !== undefined) metrics.convergence.observe((clock.nowMs() - changedAt) / 1000);
        return true;
      }
      case "nacked": {
        metrics.rejects.add(1, labelOf(output.typeUrl));
        const resources = output.names.join(",");
        log.warn("proxy rejected configuration", {
          proxy: this.#proxy?.id,
          type: labelOf(output.typeUrl),
          resources: resources === "" ? undefined : resources,
          error: output.error,
        });
        return true;
      }
      case "tooLarge":
        metrics.tooLarge.add(1, labelOf(output.typeUrl));
        log.error("configuration is too large for this proxy, the last good stays", {
          proxy: this.#proxy?.id,
          type: labelOf(output.typeUrl),
          error: output.error,
        });
        return true;
      case "close":
        this.#refuse("protocol", output.status, output.message);
        return true;
      default:
        return output satisfies never;
    }
  }

  #identify(node: NodeJson): void {
    const { publisher, trustDomain, log } = this.#shared;
    let proxy: ProxyFacts;
    try {
      proxy = parseProxyFacts(node, this.#call.peer.secure);
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      this.#refuse("node", grpcStatus.invalidArgument, `${error.code} ${error.message}`);
      return;
    }
    const mismatch = identityMismatch(this.#call.peer, proxy, trustDomain);
    if (mismatch) {
      const status = mismatch.reason === "mismatch" ? grpcStatus.permissionDenied : grpcStatus.unauthenticated;
      this.#refuse(mismatch.reason, status, `WF4001 ${mismatch.message}`);
      return;
    }
    this.#proxy = proxy;
    this.#node = node;
    this.#shared.opened(this);
    log.info("proxy connected", { proxy: proxy.id, mode: this.#mode, address: this.#call.peer.address });
    const push = (snapshot: Snapshot): void => {
      this.#snapshot = snapshot;
      this.#handle({ kind: "push", snapshot });
    };
    this.#subscription = publisher.connect({ proxy, push });
  }

  #refuse(reason: string, status: number, message: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#shared.metrics.refused.add(1, reason);
    this.#shared.log.warn("stream refused", { address: this.#call.peer.address, reason: message });
    this.#call.end(status, message);
  }

  #arm(): void {
    const deadlineMs = this.#over ? undefined : this.#machine.deadlineMs();
    if (deadlineMs === this.#armedMs) return;
    this.#machineTimer?.[Symbol.dispose]();
    this.#armedMs = deadlineMs;
    if (deadlineMs === undefined) return;
    const delayMs = Math.max(0, deadlineMs - this.#shared.clock.nowMs());
    this.#machineTimer = this.#shared.setTimer(() => this.#tick(), delayMs);
  }

  #tick(): void {
    this.#armedMs = undefined;
    this.#handle({ kind: "tick" });
  }
}

const responseCounter = ({ pushes, sentBytes }: PushMetrics): Shared["count"] => {
  const byType = new Map<string, ReturnType<typeof countersOf>>();
  const countersOf = (label: string) => ({ pushes: pushes.of(label), sentBytes: sentBytes.of(label) });
  return (typeUrl, bytes) => {
    const counters = byType.get(typeUrl) ?? countersOf(labelOf(typeUrl));
    if (labels.has(typeUrl)) byType.set(typeUrl, counters);
    counters.pushes.add(1);
    counters.sentBytes.add(bytes);
  };
};

const labels: ReadonlyMap<string, string> = new Map(
  resourceTypes.map(({ typeUrl, label }) => [typeUrl, label.toLowerCase()]),
);

/** Istio's label values: cds, eds, lds … */
const labelOf = (typeUrl: string): string => labels.get(typeUrl) ?? "other";
