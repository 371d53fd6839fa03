/** Calls of a gRPC server: from an HTTP/2 stream to messages in, messages and a status out. */
import type http2 from "node:http2";
import { constants } from "node:http2";
import type { TLSSocket } from "node:tls";
import { grpcStatus } from "@weft/core/grpc-status";
import { parseIdentity } from "@weft/core/identity";
import type { Logger } from "@weft/core/world";
import { createMessageReader, frameMessage } from "./message-reader.ts";
import { encodeGrpcMessage, GrpcError } from "./status.ts";

/** Who is at the other end. */
export interface GrpcPeer {
  readonly address: string;
  readonly secure: boolean;
  /** The SPIFFE URI of a client certificate that a trusted root signed; never of another. */
  readonly spiffe: string | undefined;
}

export interface GrpcCallHead {
  readonly path: string;
  /** Lower-case names; of a repeated name the values are joined with commas. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly peer: GrpcPeer;
}

export interface BidiCall extends GrpcCallHead {
  /** Takes a framed message. False: the peer does not keep up; `drained` will be called when it does. */
  send(framed: Uint8Array): boolean;
  /** Ends the call with a status. Later calls of anything do nothing. */
  end(status: number, message?: string): void;
}

export interface BidiEvents {
  /** May throw GrpcError, which ends the call. */
  message(bytes: Uint8Array): void;
  drained(): void;
  /** The client will send no more; the server may go on. */
  halfClosed(): void;
  /** Once, whatever ended it. */
  closed(): void;
}

export type GrpcHandler =
  | { readonly kind: "unary"; readonly handle: (request: Uint8Array, call: GrpcCallHead) => Promise<Uint8Array> }
  | { readonly kind: "bidi"; readonly open: (call: BidiCall) => BidiEvents };

export interface CallOptions {
  readonly handlers: ReadonlyMap<string, GrpcHandler>;
  readonly log: Logger;
  readonly messageBytesMax: number;
  /** Where open streams are kept, for whoever ends them all. */
  readonly calls: Set<BidiCall>;
}

/** Takes one HTTP/2 stream to its handler, or refuses it in gRPC's way. */
export const acceptStream = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  options: CallOptions,
): void => {
  stream.on("error", () => {});
  const path = headers[":path"] ?? "";
  if (headers[":method"] !== "POST" || !/^application\/grpc(?:$|[+;])/.test(headers["content-type"] ?? "")) {
    stream.respond({ ":status": headers[":method"] === "POST" ? 415 : 405 }, { endStream: true });
    return;
  }
  const peer = peerOf(stream.session);
  const handler = options.handlers.get(path);
  if (!peer) {
    endWithoutMessages(
      stream,
      grpcStatus.unauthenticated,
      "the client certificate is not of this mesh, or has expired",
    );
    return;
  }
  if (!handler) {
    endWithoutMessages(stream, grpcStatus.unimplemented, `no method ${path}`);
    return;
  }
  const head: GrpcCallHead = { path, metadata: metadataOf(headers), peer };
  const read = createMessageReader(options.messageBytesMax);
  if (handler.kind === "unary") serveUnary(stream, head, { handle: handler.handle, read, log: options.log });
  else serveBidi(stream, head, { open: handler.open, read, log: options.log, calls: options.calls });
};

const endWithoutMessages = (stream: http2.ServerHttp2Stream, status: number, message: string): void => {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", ...trailersOf(status, message) },
    { endStream: true },
  );
};

const trailersOf = (status: number, message: string): http2.OutgoingHttpHeaders => ({
  "grpc-status": String(status),
  ...(message === "" ? {} : { "grpc-message": encodeGrpcMessage(message) }),
});

const metadataOf = (headers: http2.IncomingHttpHeaders): ReadonlyMap<string, string> => {
  const metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    metadata.set(name, Array.isArray(value) ? value.join(",") : value);
  }
  return metadata;
};

/** `undefined` when the peer shows a certificate that does not verify. */
const peerOf = (session: http2.Http2Session | undefined): GrpcPeer | undefined => {
  const address = session?.socket.remoteAddress ?? "";
  if (!session?.encrypted) return { address, secure: false, spiffe: undefined };
  const socket = session.socket as TLSSocket;
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return { address, secure: true, spiffe: undefined };
  // A connection may outlive the certificate it was made with.
  if (!socket.authorized || Date.parse(certificate.validTo) < Date.now()) return undefined;
  return { address, secure: true, spiffe: spiffeOf(certificate.subjectAltName) };
};

/** The one SPIFFE URI of a certificate's alternative names as Node prints them; more than one URI is none. */
export const spiffeOf = (subjectAltName: string | undefined): string | undefined => {
  const uris = (subjectAltName ?? "").split(", ").filter((name) => name.startsWith("URI:"));
  const uri = uris[0]?.slice("URI:".length);
  return uris.length === 1 && uri !== undefined && parseIdentity(uri) ? uri : undefined;
};

/** What the peer is told: never the text of an error that was not meant for it. */
const refusalOf = (error: unknown): [status: number, message: string] =>
  error instanceof GrpcError ? [error.status, error.message] : [grpcStatus.internal, "internal error"];

interface Unary {
  readonly handle: (request: Uint8Array, call: GrpcCallHead) => Promise<Uint8Array>;
  readonly read: (chunk: Buffer) => readonly Buffer[];
  readonly log: Logger;
}

const serveUnary = (stream: http2.ServerHttp2Stream, head: GrpcCallHead, { handle, read, log }: Unary): void => {
  const messages: Buffer[] = [];
  const fail = (error: unknown): void => {
    if (!(error instanceof GrpcError)) log.error("gRPC call failed", { path: head.path, error: String(error) });
    const [status, message] = refusalOf(error);
    endWithoutMessages(stream, status, message);
  };
  stream.on("data", (chunk: Buffer) => {
    try {
      messages.push(...read(chunk));
      if (messages.length > 1) throw new GrpcError(grpcStatus.invalidArgument, "more than one request message");
    } catch (error) {
      fail(error);
      stream.removeAllListeners("data").resume();
    }
  });
  stream.once("end", () => {
    if (stream.headersSent) return;
    const [request] = messages;
    if (!request) {
      fail(new GrpcError(grpcStatus.invalidArgument, "no request message"));
      return;
    }
    handle(request, head).then((response) => {
      if (stream.destroyed) return;
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers(trailersOf(grpcStatus.ok, "")));
      stream.end(frameMessage(response));
    }, fail);
  });
};

interface Bidi {
  readonly open: (call: BidiCall) => BidiEvents;
  readonly read: (chunk: Buffer) => readonly Buffer[];
  readonly log: Logger;
  readonly calls: Set<BidiCall>;
}

const serveBidi = (stream: http2.ServerHttp2Stream, head: GrpcCallHead, { open, read, log, calls }: Bidi): void => {
  let ended = false;
  let status = trailersOf(grpcStatus.ok, "");
  const call: BidiCall = {
    ...head,
    send: (framed) => !ended && !stream.destroyed && stream.write(framed),
    end: (code, message = "") => {
      if (ended || stream.destroyed) return;
      ended = true;
      status = trailersOf(code, message);
      stream.end();
      // Nothing more is read, but the peer's bytes must not hold the window.
      stream.removeAllListeners("data").resume();
    },
  };
  const guarded = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      const stack = error instanceof Error ? (error.stack ?? "") : "";
      if (!(error instanceof GrpcError)) log.error("gRPC stream failed", { path: head.path, error: stack });
      call.end(...refusalOf(error));
    }
  };
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => {
    stream.sendTrailers(status);
    // RFC 9113 section 8.1: the answer is complete, so a client that has not finished asking is told to stop.
    setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
  });
  calls.add(call);
  const events = open(call);
  stream.on("data", (chunk: Buffer) =>
    guarded(() => {
      for (const message of read(chunk)) if (!ended) events.message(message);
    }),
  );
  stream.on("drain", () => guarded(() => events.drained()));
  stream.once("end", () => guarded(() => events.halfClosed()));
  stream.once("close", () => {
    ended = true;
    calls.delete(call);
    guarded(() => events.closed());
  });
};
