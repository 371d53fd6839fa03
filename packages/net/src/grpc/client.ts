/**
 * A gRPC client for control traffic: discovery, certificates, secrets. One channel is one HTTP/2 connection at a time,
 * made when a call needs it; when it breaks, its calls fail with UNAVAILABLE and the next call connects anew.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type PeerCertificate } from "node:tls";
import { grpcStatus } from "@weft/core/grpc-status";
import { createMessageReader, frameMessage } from "./message-reader.ts";
import { GrpcError } from "./status.ts";

export type GrpcTarget =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "pipe"; readonly path: string };

/** Read anew for every connection, so that rotated keys are used from the next one on. */
export interface GrpcTls {
  /** The only roots trusted, PEM. */
  readonly roots: string;
  readonly certificate?: string;
  readonly key?: string;
  /** For SNI, and for the name check unless `checkPeer` is given. */
  readonly serverName: string;
  /** Replaces the check of the server's name. Returns why the peer is refused. */
  readonly checkPeer?: (certificate: PeerCertificate) => Error | undefined;
}

export interface GrpcChannelOptions {
  /** Asked for every connection, so that several addresses can take turns. */
  readonly target: GrpcTarget | (() => GrpcTarget);
  readonly tls?: () => GrpcTls;
  readonly connectTimeoutMs?: number;
  /** A PING after so long; the connection is given up when it is not answered within `keepaliveTimeoutMs`. */
  readonly keepaliveMs?: number;
  readonly keepaliveTimeoutMs?: number;
  readonly messageBytesMax?: number;
  /** A stream with more than this written and not taken by the peer is cancelled. */
  readonly queuedBytesMax?: number;
}

export interface GrpcCall {
  readonly path: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
}

export interface GrpcStreamHandlers {
  /** The connection is up and the request head is sent. */
  readonly onOpen?: () => void;
  readonly onMessage: (message: Uint8Array) => void;
  /** Called once, last. Without an error the server ended the call with status 0. */
  readonly onEnd: (error: GrpcError | undefined) => void;
}

export interface GrpcStream {
  send(message: Uint8Array): void;
  /** No more messages from here; the server may still send. */
  finish(): void;
  /** Stops reading, which stops the peer by HTTP/2 flow control. */
  pause(): void;
  resume(): void;
  cancel(): void;
}

export interface GrpcChannel extends Disposable {
  open(call: GrpcCall, handlers: GrpcStreamHandlers): GrpcStream;
  /** One message there, one back. Rejects with GrpcError. */
  unary(call: GrpcCall, message: Uint8Array): Promise<Uint8Array>;
}

const defaults = {
  connectTimeoutMs: 10_000,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  messageBytesMax: 64 * 1024 * 1024,
  queuedBytesMax: 16 * 1024 * 1024,
};
const windowBytes = 1024 * 1024;

type Settings = typeof defaults & GrpcChannelOptions;

/** Nothing is dialled before the first call. */
export const createGrpcChannel = (options: GrpcChannelOptions): GrpcChannel => {
  const settings: Settings = { ...defaults, ...options };
  let session: ClientHttp2Session | undefined;
  let closed = false;

  const current = (): ClientHttp2Session => {
    if (session && !session.closed && !session.destroyed) return session;
    const made = dial(settings);
    made.once("close", () => {
      if (session === made) session = undefined;
    });
    // A session that says goodbye takes no new calls; those it has go on.
    made.once("goaway", () => {
      if (session === made) session = undefined;
    });
    session = made;
    return made;
  };

  const open = (call: GrpcCall, handlers: GrpcStreamHandlers): GrpcStream => {
    if (closed) throw new GrpcError(grpcStatus.cancelled, "the channel is closed");
    return startCall(current(), call, handlers, settings);
  };

  const unary = (call: GrpcCall, message: Uint8Array): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      let answer: Uint8Array | undefined;
      const stream = open(call, {
        onMessage: (bytes) => {
          answer ??= bytes;
        },
        onEnd: (error) => {
          if (error) reject(error);
          else if (answer) resolve(answer);
          else reject(new GrpcError(grpcStatus.internal, "the call ended without an answer"));
        },
      });
      stream.send(message);
      stream.finish();
    });

  return {
    open,
    unary,
    [Symbol.dispose]: () => {
      closed = true;
      session?.destroy();
    },
  };
};

const dial = (settings: Settings): ClientHttp2Session => {
  const target = typeof settings.target === "function" ? settings.target() : settings.target;
  const tls = settings.tls?.();
  const authority = tls?.serverName ?? (target.kind === "tcp" ? formatHost(target.host, target.port) : "localhost");
  const session = connectHttp2(`${tls ? "https" : "http"}://${authority}`, {
    createConnection: () => connectSocket(target, tls),
    settings: { initialWindowSize: windowBytes, enablePush: false },
  });
  session.setTimeout(0);
  // Each call listens for the session's error.
  session.setMaxListeners(0);
  session.on("connect", () => session.setLocalWindowSize(4 * windowBytes));
  // Every call hears of a broken session by its own stream's end.
  session.on("error", () => undefined);
  const connecting = setTimeout(() => {
    session.destroy(new Error(`no connection within ${settings.connectTimeoutMs} ms`));
  }, settings.connectTimeoutMs);
  session.once("connect", () => clearTimeout(connecting));
  session.once("close", () => clearTimeout(connecting));
  keepAlive(session, settings);
  return session;
};

const formatHost = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

const connectSocket = (target: GrpcTarget, tls: GrpcTls | undefined): Socket => {
  const address = target.kind === "tcp" ? { host: target.host, port: target.port } : { path: target.path };
  if (!tls) return "path" in address ? connectTcp(address) : connectTcp({ ...address, noDelay: true });
  const { checkPeer } = tls;
  return connectTls({
    ...address,
    servername: /^[\d.]+$|:/.test(tls.serverName) ? "" : tls.serverName,
    ca: tls.roots,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.2",
    ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(checkPeer ? { checkServerIdentity: (_: string, certificate: PeerCertificate) => checkPeer(certificate) } : {}),
  });
};

const keepAlive = (session: ClientHttp2Session, { keepaliveMs, keepaliveTimeoutMs }: Settings): void => {
  let unanswered: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.connecting || session.destroyed || unanswered) return;
    unanswered = setTimeout(() => session.destroy(new Error("keepalive was not answered")), keepaliveTimeoutMs);
    unanswered.unref();
    session.ping(() => {
      clearTimeout(unanswered);
      unanswered = undefined;
    });
  }, keepaliveMs);
  timer.unref();
  session.once("close", () => {
    clearInterval(timer);
    clearTimeout(unanswered);
  });
};

const startCall = (
  session: ClientHttp2Session,
  call: GrpcCall,
  handlers: GrpcStreamHandlers,
  settings: Settings,
): GrpcStream => {
  const stream = session.request(
    {
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: call.path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
      te: "trailers",
      "user-agent": "weft",
      ...(call.deadlineMs === undefined ? {} : { "grpc-timeout": `${Math.max(1, Math.ceil(call.deadlineMs))}m` }),
      ...call.metadata,
    },
    { endStream: false },
  );
  const read = createMessageReader(settings.messageBytesMax);
  let ended = false;
  const end = (error: GrpcError | undefined): void => {
    if (ended) return;
    ended = true;
    clearTimeout(deadline);
    if (error && !stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
    handlers.onEnd(error);
  };
  const deadline =
    call.deadlineMs === undefined
      ? undefined
      : setTimeout(
          () => end(new GrpcError(grpcStatus.deadlineExceeded, `no answer within ${call.deadlineMs} ms`)),
          call.deadlineMs,
        );
  const opened = (): void => {
    if (!ended) handlers.onOpen?.();
  };
  if (session.connecting) session.once("connect", opened);
  else queueMicrotask(opened);
  listen(session, stream, { end, onMessage: handlers.onMessage, isEnded: () => ended, read });
  return {
    send: (message) => {
      if (ended || stream.destroyed || stream.writableEnded) return;
      stream.write(frameMessage(message));
      if (stream.writableLength > settings.queuedBytesMax)
        end(new GrpcError(grpcStatus.resourceExhausted, "the peer does not read what is sent to it"));
    },
    finish: () => {
      if (!stream.destroyed) stream.end();
    },
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    cancel: () => end(new GrpcError(grpcStatus.cancelled, "cancelled here")),
  };
};

interface CallState {
  readonly end: (error: GrpcError | undefined) => void;
  readonly onMessage: (message: Uint8Array) => void;
  readonly isEnded: () => boolean;
  readonly read: ReturnType<typeof createMessageReader>;
}

const listen = (session: ClientHttp2Session, stream: ClientHttp2Stream, state: CallState): void => {
  let status: GrpcError | undefined | "none" = "none";
  let sessionError: Error | undefined;
  const note = (error: Error): void => {
    sessionError = error;
  };
  session.once("error", note);
  stream.on("response", (headers) => {
    if (headers["grpc-status"] !== undefined) status = statusOf(headers);
    else if (headers[":status"] !== 200) status = httpError(Number(headers[":status"]));
  });
  stream.on("trailers", (headers) => {
    status = statusOf(headers);
  });
  stream.on("data", (chunk: Buffer) => {
    try {
      for (const message of state.read(chunk)) if (!state.isEnded()) state.onMessage(message);
    } catch (error) {
      state.end(
        error instanceof GrpcError ? error : new GrpcError(grpcStatus.internal, String(error), { cause: error }),
      );
    }
  });
  stream.on("error", note);
  stream.on("close", () => {
    session.off("error", note);
    if (status === "none") {
      const cause = sessionError?.cause ?? sessionError;
      const why = cause instanceof Error ? cause.message : "the connection ended";
      state.end(new GrpcError(grpcStatus.unavailable, why, { cause: sessionError }));
    } else state.end(status);
  });
};

const statusOf = (headers: IncomingHttpHeaders): GrpcError | undefined => {
  const code = Number(headers["grpc-status"]);
  if (code === 0) return undefined;
  const message = String(headers["grpc-message"] ?? "");
  return new GrpcError(Number.isInteger(code) ? code : grpcStatus.unknown, decodeMessage(message));
};

/** Undoes gRPC's percent-encoding; a malformed message is shown as it came. */
const decodeMessage = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** What a plain HTTP status means to a gRPC client, by the table of the gRPC documentation. */
const httpError = (status: number): GrpcError => {
  const codes = new Map([
    [400, grpcStatus.internal],
    [401, grpcStatus.unauthenticated],
    [403, grpcStatus.permissionDenied],
    [404, grpcStatus.unimplemented],
    [429, grpcStatus.unavailable],
    [502, grpcStatus.unavailable],
    [503, grpcStatus.unavailable],
    [504, grpcStatus.unavailable],
  ]);
  return new GrpcError(codes.get(status) ?? grpcStatus.unknown, `the server answered HTTP ${status}`);
};
