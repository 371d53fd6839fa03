/** One stream of an HTTP/2 connection as a gRPC call. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { Http2Connection } from "@weft/protocols/http2/connection";
import type { BidiCall, BidiEvents, CallOptions, GrpcCallHead, GrpcHandler, GrpcPeer } from "./calls.ts";
import { createMessageReader, frameMessage } from "./message-reader.ts";
import { encodeGrpcMessage, GrpcError } from "./status.ts";

/** What a stream needs of its connection. */
export interface CallCarrier {
  readonly codec: Http2Connection;
  /** Sends a body chunk that never changes again, now rather than at the end of the turn where that may be. */
  sendOwned(streamId: number, chunk: Buffer): boolean;
}

type Opened =
  | { readonly kind: "bidi"; readonly events: BidiEvents }
  | { readonly kind: "unary"; readonly handle: (request: Uint8Array, call: GrpcCallHead) => Promise<Uint8Array> };

const contentType = "application/grpc";
const isGrpc = /^application\/grpc(?:$|[+;])/;

const grpcHead = (): ResponseHead => {
  const headers = new HeaderList();
  headers.add("content-type", contentType);
  return { status: 200, headers };
};
const okHead = grpcHead();

const putStatus = (headers: HeaderList, status: number, message: string): HeaderList => {
  headers.add("grpc-status", String(status));
  if (message !== "") headers.add("grpc-message", encodeGrpcMessage(message));
  return headers;
};

const bufferOver = ({ buffer, byteOffset, length }: Uint8Array): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, length);

/** What the peer is told: never the text of an error that was not meant for it. */
const refusalOf = (error: unknown): [status: number, message: string] =>
  error instanceof GrpcError ? [error.status, error.message] : [grpcStatus.internal, "internal error"];

const metadataOf = ({ headers }: RequestHead): ReadonlyMap<string, string> => {
  const metadata = new Map<string, string>();
  for (let i = 0; i < headers.size; i++) {
    const name = headers.nameAt(i);
    const before = metadata.get(name);
    metadata.set(name, before === undefined ? headers.valueAt(i) : `${before},${headers.valueAt(i)}`);
  }
  return metadata;
};

/** True when the request was refused: in HTTP's way when it is not gRPC, else with the status given, if any. */
const refuse = (
  { codec }: CallCarrier,
  streamId: number,
  request: RequestHead,
  refusal: readonly [status: number, message: string] | undefined,
): boolean => {
  const isCall = request.method === "POST" && isGrpc.test(request.headers.get("content-type") ?? "");
  if (!isCall) {
    codec.respond(streamId, { status: request.method === "POST" ? 415 : 405, headers: new HeaderList() }, true);
  } else if (refusal) {
    endWithoutMessages(codec, streamId, refusal[0], refusal[1]);
  }
  return !isCall || refusal !== undefined;
};

const endWithoutMessages = (codec: Http2Connection, streamId: number, status: number, message: string): void => {
  const head = grpcHead();
  putStatus(head.headers, status, message);
  codec.respond(streamId, head, true);
};

/** The call of one HTTP/2 stream, to be begun by `open`; `undefined` when it was refused. */
export const acceptCall = (
  carrier: CallCarrier,
  streamId: number,
  request: RequestHead,
  { peer, options }: { readonly peer: GrpcPeer | undefined; readonly options: CallOptions },
): CallStream | undefined => {
  const { path } = request;
  const handler = options.handlers.get(path);
  const refusal: readonly [number, string] | undefined = !peer
    ? [grpcStatus.unauthenticated, "the client certificate is not of this mesh, or has expired"]
    : handler
      ? undefined
      : [grpcStatus.unimplemented, `no method ${path}`];
  if (refuse(carrier, streamId, request, refusal) || !peer || !handler) return undefined;
  return new CallStream(carrier, streamId, { request, peer, handler, options });
};

interface CallParts {
  readonly request: RequestHead;
  readonly peer: GrpcPeer;
  readonly handler: GrpcHandler;
  readonly options: CallOptions;
}

export class CallStream implements BidiCall {
  readonly path: string;
  readonly peer: GrpcPeer;
  readonly #carrier: CallCarrier;
  readonly #id: number;
  readonly #head: RequestHead;
  readonly #handler: GrpcHandler;
  readonly #options: CallOptions;
  readonly #read: (chunk: Buffer) => readonly Buffer[];
  #opened: Opened | undefined;
  /** Of a unary call. */
  #request: Buffer | undefined;
  /** A status was given, or the stream is gone. */
  #ended = false;

  constructor(carrier: CallCarrier, id: number, { request, peer, handler, options }: CallParts) {
    this.path = request.path;
    this.peer = peer;
    this.#head = request;
    this.#carrier = carrier;
    this.#id = id;
    this.#handler = handler;
    this.#options = options;
    this.#read = createMessageReader(options.messageBytesMax);
  }

  get metadata(): ReadonlyMap<string, string> {
    return metadataOf(this.#head);
  }

  open(): void {
    const handler = this.#handler;
    if (handler.kind === "unary") {
      this.#opened = { kind: "unary", handle: handler.handle };
      return;
    }
    this.#carrier.codec.respond(this.#id, okHead, false);
    this.#options.calls.add(this);
    this.#guarded(() => {
      this.#opened = { kind: "bidi", events: handler.open(this) };
    });
  }

  send(framed: Uint8Array): boolean {
    if (this.#ended) return false;
    return this.#carrier.sendOwned(this.#id, Buffer.isBuffer(framed) ? framed : bufferOver(framed));
  }

  end(status: number, message = ""): void {
    if (this.#ended) return;
    this.#ended = true;
    const { codec } = this.#carrier;
    if (this.#opened?.kind === "unary") endWithoutMessages(codec, this.#id, status, message);
    else codec.trailers(this.#id, putStatus(new HeaderList(), status, message));
  }

  /** The chunk is good during the call only. */
  onData(chunk: Buffer): void {
    const bytes = chunk.length;
    // What is not read any more must not hold the window either.
    if (!this.#ended && bytes > 0) {
      try {
        this.#take(this.#read(Buffer.from(chunk)));
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#carrier.codec.consume(this.#id, bytes);
  }

  /** The client has sent all. */
  onEnd(): void {
    const opened = this.#opened;
    if (this.#ended || !opened) return;
    if (opened.kind === "bidi") this.#guarded(() => opened.events.halfClosed());
    else this.#answer(opened.handle);
  }

  onWritable(): void {
    const opened = this.#opened;
    if (!this.#ended && opened?.kind === "bidi") this.#guarded(() => opened.events.drained());
  }

  /** The stream is gone, whatever ended it. */
  onGone(): void {
    this.#ended = true;
    this.#options.calls.delete(this);
    const opened = this.#opened;
    this.#opened = undefined;
    if (opened?.kind === "bidi") this.#guarded(() => opened.events.closed());
  }

  #take(messages: readonly Buffer[]): void {
    const opened = this.#opened;
    if (opened?.kind === "bidi") {
      for (const message of messages) if (!this.#ended) opened.events.message(message);
      return;
    }
    for (const message of messages) {
      if (this.#request) throw new GrpcError(grpcStatus.invalidArgument, "more than one request message");
      this.#request = message;
    }
  }

  #answer(handle: (request: Uint8Array, call: GrpcCallHead) => Promise<Uint8Array>): void {
    if (!this.#request) {
      this.end(grpcStatus.invalidArgument, "no request message");
      return;
    }
    handle(this.#request, this).then(
      (response) => {
        if (this.#ended) return;
        this.#ended = true;
        const { codec } = this.#carrier;
        codec.respond(this.#id, okHead, false);
        codec.dataOwned(this.#id, frameMessage(response), false);
        codec.trailers(this.#id, putStatus(new HeaderList(), grpcStatus.ok, ""));
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (!(error instanceof GrpcError)) {
      const stack = error instanceof Error ? (error.stack ?? "") : String(error);
      this.#options.log.error("gRPC call failed", { path: this.path, error: stack });
    }
    this.end(...refusalOf(error));
  }
}
