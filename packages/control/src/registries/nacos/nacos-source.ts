/**
 * Follows a namespace of Nacos: by gRPC with pushes where the server can be reached so, else by asking over HTTP, from
 * where gRPC is tried again now and then.
 */
import type { GrpcChannel } from "@weft/net/grpc/client";
import type { HttpClient } from "@weft/net/http/client";
import { encodePayload, nacosMethods } from "@weft/protocols/nacos/payload";
import { exponentialBackoff } from "@weft/xds/backoff";
import type { SourceCredentials } from "../outside/driver.ts";
import type { OpenSource, SourceTools } from "../outside/source-events.ts";
import { type NacosCalls, NacosRefusal } from "./nacos-calls.ts";
import { followNacos } from "./nacos-follow.ts";
import { type NacosGrpc, openNacosGrpc } from "./nacos-grpc.ts";
import { nacosHttp } from "./nacos-http.ts";
import { type NacosToken, nacosToken } from "./nacos-login.ts";
import { createNacosServices, type NacosServices } from "./nacos-services.ts";

/** One of the servers. */
export interface NacosServer extends Disposable {
  readonly channel: GrpcChannel;
  readonly http: HttpClient;
}

export interface NacosSourceOptions {
  readonly namespace: string;
  readonly toNamespace: string;
  /** At least one; the first is the one whose services have their own names. */
  readonly groups: readonly string[];
  /** What all paths of the HTTP interface begin with. */
  readonly contextPath: string;
  readonly transport: "auto" | "grpc" | "http";
  readonly credentials: (() => SourceCredentials) | undefined;
  /** The next of the servers. */
  readonly dial: () => NacosServer;
}

const retryLimits = { baseMs: 250, maxMs: 10_000 };
/** Without gRPC: how often it is tried whether there is gRPC now; a server that starts has HTTP first, so sooner then. */
export const retryGrpcMs = 60_000;
const retryGrpcFirstMs = 1_000;
const probeDeadlineMs = 5_000;

export const openNacosSource =
  (options: NacosSourceOptions): OpenSource =>
  (tools) => {
    const backoff = exponentialBackoff(retryLimits, tools.random);
    const services = createNacosServices({ ...options, emit: (event) => !disposed && tools.emit(event) });
    let disposed = false;
    let session: Session | undefined;
    let timer: Disposable | undefined;

    const start = (): void => {
      timer = undefined;
      const own = openSession(options, services, tools, backoff.reset);
      session = own;
      own.ended.then((reason) => {
        own[Symbol.dispose]();
        if (disposed) return;
        if (reason !== undefined) tools.emit({ kind: "lost", reason });
        timer = tools.setTimer(start, reason === undefined ? 0 : backoff.next());
      });
    };
    // What opens a source is done before the source speaks.
    timer = tools.setTimer(start, 0);
    return {
      [Symbol.dispose]: () => {
        disposed = true;
        timer?.[Symbol.dispose]();
        session?.[Symbol.dispose]();
      },
    };
  };

interface Session extends Disposable {
  /** Why it did; `undefined` where a better one can be had at once. Never rejects. */
  readonly ended: Promise<string | undefined>;
}

const openSession = (
  options: NacosSourceOptions,
  services: NacosServices,
  tools: SourceTools,
  worked: () => void,
): Session => {
  const server = options.dial();
  const timers = new Set<Disposable>();
  /** A timer that goes with the session. */
  const setTimer: SourceTools["setTimer"] = (callback, delayMs) => {
    const timer = tools.setTimer(() => {
      timers.delete(timer);
      callback();
    }, delayMs);
    timers.add(timer);
    return timer;
  };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimer(resolve, ms));
  const token = nacosToken({ ...options, http: server.http, clock: tools.clock });
  let over = false;
  const emit: SourceTools["emit"] = (event) => {
    if (!over) tools.emit(event);
  };
  /** What an answer says is nothing any more when the session is over. */
  const whileOpen = (calls: NacosCalls): NacosCalls => {
    const checked = async <T>(answer: Promise<T>): Promise<T> => {
      const ended = await answer.then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      if (over) throw new NacosRefusal(301, "the session is over");
      if ("error" in ended) throw ended.error;
      return ended.value;
    };
    return {
      names: (...given) => checked(calls.names(...given)),
      follow: (service) => checked(calls.follow(service)),
      query: (service) => checked(calls.query(service)),
      leave: (service) => checked(calls.leave(service)),
      restarted: () => calls.restarted?.() ?? false,
    };
  };
  const followed = { services, groups: options.groups, tools: { ...tools, emit }, worked, pause };

  const grpcServer = (): Promise<NacosGrpc> =>
    openNacosGrpc({
      ...{ channel: server.channel, namespace: options.namespace, token, setTimer },
      pushed: (service, hosts) => {
        if (!over) services.told(service, hosts);
      },
    });
  const run = async (): Promise<string | undefined> => {
    let noGrpc = "";
    if (options.transport !== "http") {
      let grpc: NacosGrpc | undefined;
      try {
        grpc = await grpcServer();
      } catch (error) {
        if (options.transport === "grpc" || error instanceof NacosRefusal) throw error;
        noGrpc = messageOf(error);
      }
      if (grpc)
        return await Promise.race([followNacos({ ...followed, calls: whileOpen(grpc), pushes: true }), grpc.ended]);
    }
    const { contextPath, namespace } = options;
    const calls = nacosHttp({ http: server.http, contextPath, namespace, token });
    const answered = (): void => {
      worked();
      if (noGrpc !== "")
        tools.log.warn("WF2140 Nacos is asked over HTTP, as it cannot be reached by gRPC", { reason: noGrpc });
    };
    const polling = followNacos({ ...followed, calls: whileOpen(calls), pushes: false, worked: answered });
    try {
      return await Promise.race(noGrpc === "" ? [polling] : [polling, grpcIsThere(server, pause, token)]);
    } catch (error) {
      throw noGrpc === "" ? error : new Error(`${messageOf(error)}; by gRPC: ${noGrpc}`);
    }
  };
  return {
    ended: run().catch(messageOf),
    [Symbol.dispose]: () => {
      over = true;
      for (const timer of timers) timer[Symbol.dispose]();
      server[Symbol.dispose]();
    },
  };
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Settles once a server answers by gRPC. */
const grpcIsThere = async (
  { channel }: NacosServer,
  pause: (ms: number) => Promise<void>,
  token: NacosToken,
): Promise<undefined> => {
  for (let waitMs = retryGrpcFirstMs; ; waitMs = Math.min(2 * waitMs, retryGrpcMs)) {
    await pause(waitMs);
    const accessToken = await token();
    const headers = new Map(accessToken === undefined ? [] : [["accessToken", accessToken]]);
    const message = encodePayload({ type: "ServerCheckRequest", clientIp: "", headers, body: Buffer.from("{}") });
    try {
      await channel.unary({ path: nacosMethods.request, deadlineMs: probeDeadlineMs }, message);
      return undefined;
    } catch {
      // Asking over HTTP goes on.
    }
  }
};
