/** A check by one request over HTTP, of either version; gRPC's health service is one of those. */
import { grpcStatus } from "@weft/core/grpc-status";
import { encodeGrpcFrame, GRPC_PREFIX_BYTES } from "@weft/protocols/grpc/frames";
import { parseGrpcStatus } from "@weft/protocols/grpc/status";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { ClientStream, UpstreamBreak } from "../http/streams.ts";
import { Http1Pool } from "../pool/http1-pool.ts";
import { Http2Pool } from "../pool/http2-pool.ts";
import type { UpstreamTarget } from "../pool/open-upstream.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import type { PoolWaiter, StreamPool } from "../pool/pool-waiter.ts";
import type { CheckResult } from "./check-state.ts";
import type { Probe } from "./probe.ts";
import { containsInOrder, type GrpcProbeSettings, type HttpProbeSettings } from "./probe-settings.ts";

/** What one request asks and what its answer says. */
interface Question {
  readonly version: "http1" | "http2";
  readonly head: () => RequestHead;
  readonly body: Buffer;
  readonly bodyBytesMax: number;
  readonly judge: (status: number, headers: HeaderList, body: Buffer) => CheckResult;
}

/** Checks have no downstream; values taken from one are those of a connection from here to here. */
const nowhere: DownstreamInfo = {
  listenerName: "",
  filterChainName: "",
  direction: "outbound",
  remoteHost: "127.0.0.1",
  remotePort: 0,
  localHost: "127.0.0.1",
  localPort: 0,
  originalDestination: undefined,
  tls: undefined,
};

const failed = (by: "answer" | "network", retriable = false, exclude = false): CheckResult => ({
  kind: "failed",
  ...{ by, retriable, exclude },
});

export interface HttpProbeOptions {
  readonly tools: PoolTools;
  readonly target: UpstreamTarget;
  readonly authority: string;
  readonly reuse: boolean;
}

const httpQuestion = (settings: HttpProbeSettings, { target, authority }: HttpProbeOptions): Question => ({
  version: settings.version,
  body: settings.body,
  bodyBytesMax: settings.receive.length === 0 ? 0 : settings.bodyBytesMax,
  head: () => {
    const headers = new HeaderList();
    headers.add("user-agent", "Envoy/HC");
    if (settings.body.length > 0) headers.add("content-length", String(settings.body.length));
    const scheme = target.transport.kind === "tls" ? "https" : "http";
    const head = { method: settings.method, scheme, authority, path: settings.path, protocol: "", headers };
    settings.edit(headers, nowhere, head);
    return head;
  },
  judge: (status, headers, body) => {
    const { receive, expects, retriable, service } = settings;
    const exclude = headers.has("x-envoy-immediate-health-check-fail");
    if (receive.length > 0 && !containsInOrder(body, receive)) return failed("answer", false, exclude);
    if (!expects(status)) return failed("answer", retriable(status), exclude);
    const name = headers.get("x-envoy-upstream-healthchecked-cluster") ?? "";
    if (service && !service(name)) return failed("answer");
    return { kind: "passed", degraded: headers.has("x-envoy-degraded") };
  },
});

const healthMessageMax = 256;
/** `HealthCheckResponse.status` in its encoding, and what it is for a server that serves. */
const statusField = 0x08;
const serving = 1;

const healthRequest = (service: string): Buffer => {
  const name = Buffer.from(service);
  if (name.length === 0) return encodeGrpcFrame(Buffer.alloc(0));
  const length: number[] = [];
  let rest = name.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return encodeGrpcFrame(Buffer.concat([Buffer.from([0x0a, ...length, rest]), name]));
};

const grpcQuestion = (settings: GrpcProbeSettings, { target, authority }: HttpProbeOptions): Question => ({
  version: "http2",
  body: healthRequest(settings.service),
  bodyBytesMax: healthMessageMax,
  head: () => {
    const headers = new HeaderList();
    headers.add("te", "trailers");
    headers.add("content-type", "application/grpc");
    headers.add("user-agent", "Envoy/HC");
    const scheme = target.transport.kind === "tls" ? "https" : "http";
    const path = "/grpc.health.v1.Health/Check";
    const head = { method: "POST", scheme, authority, path, protocol: "", headers };
    settings.edit(headers, nowhere, head);
    return head;
  },
  judge: (status, headers, body) => {
    if (status !== 200) return failed("answer");
    if (parseGrpcStatus(headers.get("grpc-status") ?? "") !== grpcStatus.ok) return failed("answer");
    const message = body.subarray(GRPC_PREFIX_BYTES);
    const isServing = message.length >= 2 && message[0] === statusField && message[1] === serving;
    return isServing ? { kind: "passed", degraded: false } : failed("answer");
  },
});

/** One request under way. */
class Asking implements PoolWaiter {
  stream: ClientStream | undefined = undefined;
  private readonly question: Question;
  private readonly tell: (result: CheckResult) => void;
  private status = 0;
  private headers = new HeaderList();
  private readonly body: Buffer[] = [];
  private bytes = 0;
  private over = false;

  constructor(question: Question, tell: (result: CheckResult) => void) {
    this.question = question;
    this.tell = tell;
  }

  stop(): void {
    this.over = true;
    this.stream?.cancel();
  }
  holds(stream: ClientStream): boolean {
    return this.stream === stream;
  }
  onStream(stream: ClientStream): void {
    this.stream = stream;
    const { head, body } = this.question;
    if (!stream.writeHead(head(), body.length === 0 ? "none" : "open")) {
      stream.cancel();
      this.end(failed("network"));
      return;
    }
    if (body.length === 0) return;
    stream.writeData(body);
    stream.writeEnd();
  }
  onNoStream(_how: UpstreamBreak, _detail: string): void {
    this.end(failed("network"));
  }
  onInterim(): void {}
  onHead({ status, headers }: ResponseHead, end: boolean): void {
    this.status = status;
    this.headers.copyFrom(headers);
    if (end) this.answer();
  }
  onData(bytes: Buffer): void {
    const room = this.question.bodyBytesMax - this.bytes;
    if (room <= 0) return;
    const kept = Buffer.from(bytes.subarray(0, room));
    this.bytes += kept.length;
    this.body.push(kept);
  }
  onTrailers(trailers: HeaderList): void {
    const status = trailers.get("grpc-status");
    if (status !== undefined) this.headers.set("grpc-status", status);
    this.answer();
  }
  onEnd(): void {
    this.answer();
  }
  onWritable(): void {}
  onBroken(): void {
    this.end(failed("network"));
  }

  private answer(): void {
    this.end(this.question.judge(this.status, this.headers, Buffer.concat(this.body)));
  }
  private end(result: CheckResult): void {
    if (this.over) return;
    this.over = true;
    this.stream = undefined;
    this.tell(result);
  }
}

/** Asks over a connection that is kept between checks where that is wanted. */
export const createHttpProbe = (settings: HttpProbeSettings | GrpcProbeSettings, options: HttpProbeOptions): Probe => {
  const { tools, target, reuse } = options;
  const question = settings.kind === "grpc" ? grpcQuestion(settings, options) : httpQuestion(settings, options);
  let pool: StreamPool | undefined;
  let asking: Asking | undefined;
  const open = (): StreamPool =>
    question.version === "http2"
      ? new Http2Pool(tools, { ...target, alpn: target.alpn.length > 0 ? target.alpn : ["h2"] })
      : new Http1Pool(tools, target);
  const drop = (): void => {
    pool?.drain();
    pool = undefined;
  };
  const cancel = (): void => {
    const current = asking;
    if (current === undefined) return;
    asking = undefined;
    if (current.stream === undefined) pool?.withdraw(current);
    current.stop();
    // What did not answer in time is not asked again over the same connection.
    drop();
  };
  return {
    start: (tell) => {
      pool ??= open();
      asking = new Asking(question, (result) => {
        asking = undefined;
        if (!reuse) drop();
        tell(result);
      });
      pool.acquire(asking);
    },
    cancel,
    [Symbol.dispose]: () => {
      cancel();
      drop();
    },
  };
};
