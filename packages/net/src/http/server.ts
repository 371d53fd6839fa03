/** A small HTTP server for APIs over node:http: routes, JSON, limits and refusals. Never in the data path. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { ServerOptions } from "node:https";
import type { SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import type { Logger } from "@weft/core/world";
import { attachGrpc } from "../grpc/attach.ts";
import type { GrpcHandler } from "../grpc/calls.ts";
import { listenError } from "../grpc/server.ts";
import { closeDescriptors } from "../tcp/hold.ts";
import { descriptorOf } from "../tcp/libc.ts";
import { findRoute, type Routes } from "./routes.ts";

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  /** Named parts of the route's path, decoded. */
  readonly params: ReadonlyMap<string, string>;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Empty when there was none. */
  readonly body: Buffer;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

export type HttpReply =
  | { readonly kind: "json"; readonly status?: number; readonly body: unknown; readonly headers?: HttpHeaders }
  | { readonly kind: "text"; readonly status?: number; readonly body: string; readonly type?: string }
  /** One JSON document per line for as long as `start` likes; it is told when the client is gone by the request's signal. */
  | { readonly kind: "lines"; readonly start: (out: LineOutput) => void };
export type HttpHeaders = Readonly<Record<string, string>>;

export interface LineOutput {
  /** False: the client does not keep up. */
  write(item: unknown): boolean;
  /** What the client has not taken yet. */
  queuedBytes(): number;
  end(): void;
}

export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;

export interface HttpServerOptions {
  readonly address: SocketAddress;
  readonly routes: Routes;
  readonly log: Logger;
  /** Looks at every request before its route does and before its body is read; what it throws is the answer. */
  readonly guard?: (head: RequestHeadFacts) => void;
  readonly bodyBytesMax?: number;
  /** How long a request may take to arrive in full. */
  readonly requestTimeoutMs?: number;
  /** Serves HTTPS. Clients are not asked for certificates. */
  readonly tls?: HttpTls;
  /** gRPC methods by path, for clients that begin with HTTP/2 on this port. The guard does not look at them. */
  readonly grpc?: ReadonlyMap<string, GrpcHandler>;
  /** A socket that listens at the address already; nothing is accepted before `accepting` resolves. */
  readonly inherited?: { readonly descriptor: number; readonly accepting: Promise<void> } | undefined;
}

/** PEM. */
export interface HttpTls {
  readonly key: string;
  readonly cert: string;
}

export interface RequestHeadFacts {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly peerAddress: string;
}

export interface HttpServer {
  readonly address: SocketAddress;
  /** The listening socket; `undefined` while it does not accept. */
  readonly descriptor: number | undefined;
  /** New connections get the new certificate. Only for a server that was opened with one. */
  setTls(tls: HttpTls): void;
  /** Lets running requests end, at the latest after the time given. */
  close(timeoutMs?: number): Promise<void>;
}

// An import of it would evaluate all it exports, a WebSocket client with an HTTP client of its own among them.
const { createServer } = process.getBuiltinModule("node:http");

const bodyBytesDefault = 16 * 1024 * 1024;
const headBytesMax = 32 * 1024;
const connectionsMax = 4096;
const headTimeoutMs = 10_000;
const requestTimeoutMs = 60_000;
/** How often connections are looked over for what is too slow; Node's own default. */
const lateCheckMs = 30_000;
const closeTimeoutDefaultMs = 2_000;

/** Listens. Refuses with WF2010 when the address cannot be had. */
export const openHttpServer = async (options: HttpServerOptions): Promise<HttpServer> => {
  const streams = new Set<ServerResponse>();
  const { requestTimeoutMs: arrivalMs = requestTimeoutMs, tls } = options;
  const bounds = {
    maxHeaderSize: headBytesMax,
    headersTimeout: Math.min(headTimeoutMs, arrivalMs),
    requestTimeout: arrivalMs,
    connectionsCheckingInterval: Math.min(lateCheckMs, Math.ceil(arrivalMs / 2)),
  };
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response, { ...options, streams }).catch((error: unknown) => {
      options.log.error("HTTP request failed", { path: request.url ?? "", error: String(error) });
      response.destroy();
    });
  };
  const secure = tls && openSecureServer({ ...bounds, ...tlsOptions(tls) }, take);
  const server: Server = secure ?? createServer(bounds, take);
  server.maxConnections = connectionsMax;
  const { grpc: handlers, log, inherited } = options;
  const attached = handlers && attachGrpc(server, { handlers, log });
  const address = inherited ? options.address : await listen(server, options.address);
  let closed = false;
  void inherited?.accepting.then(() => {
    if (closed) closeDescriptors([inherited.descriptor]);
    else server.listen({ fd: inherited.descriptor });
  });
  return {
    address,
    get descriptor() {
      return descriptorOf(server);
    },
    setTls: (renewed) => secure?.setSecureContext(tlsOptions(renewed)),
    close: (timeoutMs = closeTimeoutDefaultMs) =>
      new Promise((resolve) => {
        closed = true;
        const force = setTimeout(() => server.closeAllConnections(), timeoutMs);
        for (const stream of streams) stream.end();
        attached?.[Symbol.dispose]();
        server.close(() => {
          clearTimeout(force);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
};

/** Loaded only where HTTPS is served. */
const openSecureServer = (options: ServerOptions, take: (request: IncomingMessage, response: ServerResponse) => void) =>
  process.getBuiltinModule("node:https").createServer({ ...options, handshakeTimeout: headTimeoutMs }, take);

const tlsOptions = ({ key, cert }: HttpTls) => ({ key, cert, minVersion: "TLSv1.2" }) as const;

const listen = (server: Server, address: SocketAddress): Promise<SocketAddress> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(address, error)));
    server.listen({ host: address.host, port: address.port }, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound ? { host: address.host, port: bound.port } : address);
    });
  });

/** A refusal with its HTTP status. Other WeftErrors are answered 400. */
export class HttpRefusal extends WeftError {
  readonly status: number;
  /** Members of the answer beside code, message and next. */
  readonly details?: object;
  /** Said as `retry-after`. */
  readonly retryAfterSeconds: number | undefined;
  constructor(
    status: number,
    code: string,
    message: string,
    options?: ConstructorParameters<typeof WeftError>[2] & { readonly retryAfterSeconds?: number },
  ) {
    super(code, message, options);
    this.name = "HttpRefusal";
    this.status = status;
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }
}

interface AnswerOptions extends HttpServerOptions {
  /** Answers without an end of their own, to be ended when the server closes. */
  readonly streams: Set<ServerResponse>;
}

/** Made once: the error that an abort makes by itself costs as much as a small answer. */
const closed = new Error("the connection of the request is closed");

/** Aborts when the connection is closed, be it already. */
const goneSignal = (response: ServerResponse): AbortSignal => {
  const gone = new AbortController();
  if (response.destroyed) gone.abort(closed);
  else response.once("close", () => gone.abort(closed));
  return gone.signal;
};

const ignore = (): void => {};

const answer = async (
  request: IncomingMessage,
  response: ServerResponse,
  { routes, guard, log, streams, bodyBytesMax = bodyBytesDefault }: AnswerOptions,
): Promise<void> => {
  response.on("error", ignore);
  try {
    const method = request.method ?? "GET";
    const { path, search } = parseTarget(request.url ?? "/");
    const peerAddress = request.socket.remoteAddress ?? "";
    guard?.({ method, path, headers: request.headers, peerAddress });
    const found = findRoute(routes, method, path);
    if (found.kind === "absent") throw new HttpRefusal(404, "WF8404", `there is nothing at ${path}`);
    if (found.kind === "method") {
      response.setHeader("allow", found.allowed.join(", "));
      throw new HttpRefusal(405, "WF8405", `${path} does not take ${method}`);
    }
    const body = await readBody(request, bodyBytesMax);
    let signal: AbortSignal | undefined;
    const reply = await found.handler({
      ...{ method, path, body },
      params: found.params,
      query: new URLSearchParams(search),
      headers: request.headers,
      // Few ask for it.
      get signal() {
        signal ??= goneSignal(response);
        return signal;
      },
    });
    if (reply.kind === "lines") {
      streams.add(response);
      response.once("close", () => streams.delete(response));
    }
    send(response, reply, method);
  } catch (error) {
    if (!(error instanceof WeftError))
      log.error("HTTP request failed", { path: request.url ?? "", error: String(error) });
    // A body that is not read would be taken for the next request.
    if (!request.complete) {
      if (!response.headersSent) response.setHeader("connection", "close");
      response.once("finish", () => request.destroy());
    }
    if (!response.headersSent) send(response, refusalOf(error), request.method ?? "GET");
  }
};

/** A path that reads as it is written: no dots at the beginning of a part, nothing encoded, no query. */
const plainTarget = /^(?:\/[\w~-][\w.~-]*)+$/;

const parseTarget = (target: string): { readonly path: string; readonly search: string } => {
  if (plainTarget.test(target)) return { path: target, search: "" };
  try {
    const { pathname, search } = new URL(target.startsWith("/") ? `http://api${target}` : target);
    return { path: pathname, search };
  } catch {
    throw new HttpRefusal(400, "WF8400", "the request target is not a URL");
  }
};

const readBody = (request: IncomingMessage, bytesMax: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > bytesMax) {
        request.pause();
        reject(new HttpRefusal(413, "WF8413", `the body is over ${bytesMax} bytes`));
      } else chunks.push(chunk);
    });
    request.once("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size)));
    request.once("error", reject);
    request.once("close", () => reject(closed));
  });

const refusalOf = (error: unknown): HttpReply => {
  if (!(error instanceof WeftError)) {
    return { kind: "json", status: 500, body: { code: "WF2500", message: "internal error" } };
  }
  const status = error instanceof HttpRefusal ? error.status : 400;
  const { code, message, next, where } = error;
  const { details, retryAfterSeconds } = error instanceof HttpRefusal ? error : {};
  const headers = retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
  return { kind: "json", status, body: { code, message, next, where, ...details }, headers };
};

const always = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

const send = (response: ServerResponse, reply: HttpReply, method: string): void => {
  if (reply.kind === "lines") {
    response.writeHead(200, { ...always, "content-type": "application/x-ndjson" });
    response.flushHeaders();
    reply.start({
      write: (item) => !response.destroyed && response.write(`${JSON.stringify(item)}\n`),
      queuedBytes: () => response.writableLength,
      end: () => response.end(),
    });
    return;
  }
  const text = reply.kind === "json" ? `${JSON.stringify(reply.body, null, 2)}\n` : reply.body;
  const type = reply.kind === "json" ? "application/json" : (reply.type ?? "text/plain; charset=utf-8");
  const extra = reply.kind === "json" ? (reply.headers ?? {}) : {};
  response.writeHead(reply.status ?? 200, {
    ...always,
    ...extra,
    "content-type": type,
    "content-length": Buffer.byteLength(text),
  });
  response.end(method === "HEAD" ? undefined : text);
};
