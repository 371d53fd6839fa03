/**
 * Drives one discovery client machine over gRPC: opens the stream, feeds it bytes and time, carries its offers to the
 * resource store and the verdicts back. It never gives up; what it was given stays in force while it is away.
 */

import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { GrpcChannel, GrpcStream } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import type { ClientRequest } from "@weft/xds/client-dialect";
import { discoveryFeatures, withFeatures } from "@weft/xds/client-features";
import type { OfferedChange, Refusal } from "@weft/xds/client-offer";
import { type ClientInput, type ClientOutput, createClientStream } from "@weft/xds/client-stream";
import { decodeAhead } from "@weft/xds/decode-ahead";
import {
  decodeDeltaResponse,
  decodeDiscoveryResponse,
  encodeDeltaRequest,
  encodeDiscoveryRequest,
} from "@weft/xds/discovery";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { SubscribedKind } from "@weft/xds/resource";
import { UnknownFields } from "@weft/xds/unknown-fields";
import type { Counter, Gauge, Histogram } from "../observe/stats.ts";
import type { ResourceChange } from "../runtime/data-plane.ts";

export interface XdsClientMetrics {
  readonly connected: Gauge;
  readonly connectionErrors: Counter;
  /** From a response's arrival to its answer, seconds. */
  readonly latencySeconds: Histogram;
  /** Fields that our definitions do not have, in what came. */
  readonly unknownFields?: Counter;
  readonly answered: (of: SubscribedKind, rejected: number) => void;
}

/** Where what came is offered: the resource store, or what stands before it. */
export interface ResourceTaker {
  offer(source: string, of: SubscribedKind, changes: readonly OfferedChange[]): readonly Refusal[];
  missing(of: SubscribedKind, name: string): void;
}

export interface XdsClientOptions {
  /** The name of this source in the store: `ads`, `api:sds-grpc`. */
  readonly source: string;
  readonly form: "delta" | "sotw";
  readonly path: string;
  readonly node: NodeJson;
  /** Called for every stream; the channel's owner decides what is reused. */
  readonly channel: GrpcChannel;
  readonly metadata?: () => Readonly<Record<string, string>>;
  readonly store: ResourceTaker;
  readonly clock: Clock;
  readonly random: Random;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly metrics: XdsClientMetrics;
  /** After every answered response and every lost stream. */
  readonly onProgress?: () => void;
  /** Resolves when what was offered so far serves; `undefined` when it does already. */
  readonly inForce?: (() => Promise<void> | undefined) | undefined;
  /** Where requests are served on this thread; a response is taken in one go when absent. */
  readonly slices?: ResponseSlices | undefined;
}

/** How a response is taken in slices, with requests served in between. */
export interface ResponseSlices {
  /** Compiles step by step what the store will then find compiled. */
  readonly judgeAhead: (changes: readonly ResourceChange[]) => Generator<undefined, void> | undefined;
  /** Runs a function when the requests that wait have been looked at. */
  readonly afterTurn: (callback: () => void) => void;
}

export interface XdsClient extends Disposable {
  /** Says what is wanted of a kind from now on. */
  want(of: SubscribedKind, names: ReadonlySet<string> | "*"): void;
  /** Takes resources that are in force already as held, so that the server sends only what differs. */
  resume(of: SubscribedKind, versions: ReadonlyMap<string, string>): void;
  start(): void;
  /** Gives the present stream up and takes a new one after the usual wait. */
  restart(): void;
  readonly state: XdsClientState;
}

export interface XdsClientState {
  readonly connected: boolean;
  /** A response has come that the store has not been told of. */
  readonly taking: boolean;
  /** Streams that ended before a response came, since the last response. */
  readonly failures: number;
  /** Kinds a response was answered for. */
  readonly received: ReadonlySet<SubscribedKind>;
  readonly lastError: string | undefined;
}

/** Decoding and compiling go on for so long before requests are looked at again. */
const sliceMs = 4;
/** Responses in work and waiting for it; with more the first is finished in one go. */
const responsesWaitingMax = 16;

/** The longest a timer can be set for. */
const timerMaxMs = 2 ** 31 - 1;

export const createXdsClient = (options: XdsClientOptions): XdsClient => {
  const { store, clock, log, metrics } = options;
  const machine = createClientStream({
    form: options.form,
    node: withFeatures(options.node, discoveryFeatures),
    random: options.random,
  });
  const unknown = new UnknownFields({
    onPassed: (count) => metrics.unknownFields?.add(count),
    onNew: ({ type, number }) =>
      log.warn("the control plane sends a field that is not known here: it has no effect", {
        ...{ code: "WF3309", source: options.source, message: type, field: number },
      }),
  });
  const received = new Set<SubscribedKind>();
  let stream: GrpcStream | undefined;
  let timer: Disposable | undefined;
  let connected = false;
  let failures = 0;
  let lastError: string | undefined;
  let disposed = false;
  let started = false;
  /** Responses not yet taken, in the order they came; the first is in work. */
  const waiting: Generator<undefined, void>[] = [];
  let working = false;
  /** The work goes on in a turn to come. */
  let due = false;

  const feed = (input: ClientInput): void => {
    for (const output of machine.handle(input, clock.nowMs())) act(output);
    arm();
  };

  const arm = (): void => {
    timer?.[Symbol.dispose]();
    const deadline = machine.deadlineMs();
    timer =
      disposed || !started || waiting.length > 0 || deadline === undefined
        ? undefined
        : options.setTimer(() => feed({ kind: "tick" }), Math.min(timerMaxMs, Math.max(0, deadline - clock.nowMs())));
  };

  const act = (output: ClientOutput): void => {
    switch (output.kind) {
      case "open":
        open();
        return;
      case "send":
        stream?.send(encode(output.request));
        return;
      case "offer": {
        const startMs = clock.nowMs();
        const rejections = store.offer(options.source, output.of, output.changes);
        received.add(output.of);
        const answer = (): void => {
          feed({ kind: "verdict", offer: output.offer, rejections });
          metrics.latencySeconds.record((clock.nowMs() - startMs) / 1000);
          metrics.answered(output.of, rejections.length);
          options.onProgress?.();
        };
        // What is acknowledged serves, on every thread; a stream lost meanwhile makes the verdict void.
        const inForce = options.inForce?.();
        if (inForce === undefined) answer();
        else void inForce.then(() => disposed || answer());
        return;
      }
      case "missing":
        log.warn("resource was not given in time", { source: options.source, kind: output.of, name: output.name });
        store.missing(output.of, output.name);
        options.onProgress?.();
        return;
      case "expired":
        log.warn("resources were not renewed in time and are given up", {
          code: "WF3307",
          source: options.source,
          kind: output.of,
          names: output.names.join(","),
        });
        store.offer(
          options.source,
          output.of,
          output.names.map((name) => ({ name, version: "", json: undefined })),
        );
        options.onProgress?.();
        return;
      default:
        output satisfies never;
    }
  };

  const open = (): void => {
    if (disposed) return;
    try {
      dial();
    } catch (error) {
      // Keys or roots that are not there yet: the same as a server that is not there yet.
      const failure =
        error instanceof GrpcError ? error : new GrpcError(grpcStatus.unavailable, String(error), { cause: error });
      queueMicrotask(() => lose(failure));
    }
  };

  const dial = (): void => {
    const metadata = options.metadata?.();
    const opened: GrpcStream = options.channel.open(
      { path: options.path, ...(metadata === undefined ? {} : { metadata }) },
      {
        onOpen: () => {
          if (stream !== opened) return;
          setConnected(true);
          feed({ kind: "opened" });
        },
        onMessage: (bytes) => {
          if (stream === opened) receive(bytes);
        },
        onEnd: (error) => {
          if (stream === opened) lose(error);
        },
      },
    );
    stream = opened;
  };

  const setConnected = (now: boolean): void => {
    if (connected !== now) metrics.connected.set(now ? 1 : 0);
    connected = now;
  };

  const receive = (bytes: Uint8Array): void => {
    waiting.push(take(bytes, stream));
    if ((waiting.length === 1 && !due) || waiting.length > responsesWaitingMax) work();
  };

  /** Nothing of the machine's time passes meanwhile: what it gives up for late may be in a response that waits. */
  const work = (): void => {
    if (working) return;
    working = true;
    const until = clock.nowMs() + sliceMs;
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      if (first.next().done) waiting.shift();
      else if (options.slices && waiting.length <= responsesWaitingMax && clock.nowMs() >= until) {
        working = false;
        if (due) return;
        due = true;
        options.slices.afterTurn(() => {
          due = false;
          work();
        });
        return;
      }
    }
    working = false;
    arm();
  };

  /** What is in force stays so until the last step, which is the store's. */
  function* take(bytes: Uint8Array, from: GrpcStream | undefined): Generator<undefined, void> {
    // A stream that has ended takes its responses with it, as in the machine: the next one brings what they brought.
    if (stream !== from) return;
    try {
      const response =
        options.form === "delta"
          ? ({ form: "delta", ...decodeDeltaResponse(bytes) } as const)
          : ({ form: "sotw", ...decodeDiscoveryResponse(bytes) } as const);
      failures = 0;
      lastError = undefined;
      const { slices } = options;
      const resources = slices ? yield* decodeAhead(response.resources, unknown) : response.resources;
      for (const output of machine.handle({ kind: "response", response: { ...response, resources } }, clock.nowMs())) {
        if (output.kind === "offer")
          yield* slices?.judgeAhead(output.changes.map((one) => ({ ...one, kind: output.of }) as ResourceChange)) ?? [];
        if (disposed || stream !== from) return;
        act(output);
      }
    } catch (error) {
      log.error("discovery response cannot be read", { code: "WF3301", source: options.source, error: String(error) });
      if (stream === from) stream?.cancel();
    }
  }

  const lose = (error: GrpcError | undefined): void => {
    stream = undefined;
    setConnected(false);
    failures++;
    lastError = error?.message ?? "the server ended the stream";
    metrics.connectionErrors.add(1);
    if (disposed) return;
    log.warn("discovery stream ended", { code: "WF3302", source: options.source, error: lastError, attempt: failures });
    feed({ kind: "closed" });
    options.onProgress?.();
  };

  return {
    want: (of, names) => feed({ kind: "want", of, names }),
    resume: (of, versions) => feed({ kind: "resume", of, versions }),
    start: () => {
      started = true;
      feed({ kind: "tick" });
    },
    restart: () => stream?.cancel(),
    get state() {
      return { connected, taking: waiting.length > 0, failures, received, lastError };
    },
    [Symbol.dispose]: () => {
      disposed = true;
      waiting.length = 0;
      timer?.[Symbol.dispose]();
      stream?.cancel();
      setConnected(false);
    },
  };
};

const encode = (request: ClientRequest): Uint8Array =>
  request.form === "delta" ? encodeDeltaRequest(request) : encodeDiscoveryRequest(request);
