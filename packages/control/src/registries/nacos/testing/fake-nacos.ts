/** A Nacos in memory behind the seams of a channel and of an HTTP client, with users, versions and bad days; for tests. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { GrpcCall, GrpcChannel, GrpcStream, GrpcStreamHandlers } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import type { HttpAnswer, HttpCall } from "@weft/net/http/client";
import { decodePayload, encodePayload, nacosMethods } from "@weft/protocols/nacos/payload";
import type { NacosServer } from "../nacos-source.ts";

export type FakeHost = Readonly<Record<string, unknown>> & { readonly ip: string; readonly port: number };

export interface FakeNacos {
  readonly dial: () => NacosServer;
  /** Calls seen, by type or path and what matters of them. */
  readonly calls: string[];
  /** Answers to what was pushed. */
  readonly answered: string[];
  /** Sets what a service of `GROUP@@SERVICE` has, and pushes it. */
  set(service: string, hosts: readonly unknown[]): void;
  /** As `set`, without a push. */
  setQuietly(service: string, hosts: readonly unknown[]): void;
  forget(service: string): void;
  /** Sends to every stream. */
  push(type: string, body: unknown): void;
  /** Ends every call and stream, and refuses new ones while it is down. */
  down(reason: string): void;
  up(): void;
  /** Only HTTP is down, or only gRPC. */
  grpcDown: boolean;
  /** Which HTTP interface there is. */
  version: "v1" | "v2" | "v3";
  /** `USER:PASSWORD`; "" lets everybody in. */
  user: string;
  /** Services whose instances it refuses to tell. */
  readonly broken: Set<string>;
  /** Services of which every answer is larger than is taken. */
  readonly huge: Set<string>;
  /** So many calls by HTTP come by a connection of their own. */
  newConnections: number;
  /** Says that it closes each connection. */
  closes: boolean;
  /** How often a call is refused before the connection counts as registered. */
  unregisteredFor: number;
  /** Instances that an answer about a service tells instead, once `answerLate` lets it go. */
  readonly late: Map<string, readonly unknown[]>;
  answerLate(): void;
  /** How many services it says there are, whatever it shows. */
  count: number | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

const unavailable = (reason: string): GrpcError => new GrpcError(grpcStatus.unavailable, reason);
const bytesOf = (body: unknown): Buffer => Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
const payloadOf = (type: string, body: unknown): Uint8Array =>
  encodePayload({ type, clientIp: "", headers: new Map(), body: bytesOf(body) });
const validToken = "secret-token";

export const createFakeNacos = (): FakeNacos => {
  const services = new Map<string, readonly unknown[]>();
  const subscribed = new Set<string>();
  const streams = new Set<GrpcStreamHandlers>();
  const calls: string[] = [];
  const answered: string[] = [];
  const waiting: (() => void)[] = [];
  let downFor: string | undefined;
  const namesOf = (group: string): readonly string[] =>
    [...services.keys()].filter((name) => name.startsWith(`${group}@@`)).sort();
  const page = (names: readonly string[], number: unknown, size: unknown): readonly string[] =>
    names.slice((Number(number) - 1) * Number(size), Number(number) * Number(size));
  const infoOf = (service: string): Fields => {
    const [groupName, name] = service.split("@@");
    return { name, groupName, hosts: services.get(service) ?? [], lastRefTime: 1 };
  };
  const pushService = (service: string): void => {
    const [groupName, serviceName] = service.split("@@");
    const body = { requestId: "9", namespace: "public", groupName, serviceName, serviceInfo: infoOf(service) };
    if (subscribed.has(service)) fake.push("NotifySubscriberRequest", body);
  };

  const grpcAnswer = (type: string, request: Fields, token: string | undefined): Fields => {
    const service = `${request.groupName}@@${request.serviceName}`;
    const refuse = (errorCode: number, message: string): Fields => ({ resultCode: 500, errorCode, message });
    if (type === "ServerCheckRequest") return { resultCode: 200, connectionId: "1" };
    if (fake.unregisteredFor-- > 0) return refuse(301, "Connection is unregistered.");
    if (type === "HealthCheckRequest") return { resultCode: 200 };
    if (fake.user !== "" && token !== validToken) return refuse(403, "unknown user!");
    if (type === "ServiceListRequest") {
      const names = namesOf(String(request.groupName));
      const count = fake.count ?? names.length;
      return { resultCode: 200, count, serviceNames: page(names, request.pageNo, request.pageSize) };
    }
    if (fake.broken.has(service)) return refuse(500, "no such luck");
    if (type === "SubscribeServiceRequest") {
      if (request.subscribe === true) subscribed.add(service);
      else subscribed.delete(service);
    }
    return { resultCode: 200, serviceInfo: infoOf(service) };
  };
  const unary = async (_: GrpcCall, message: Uint8Array): Promise<Uint8Array> => {
    if (downFor !== undefined || fake.grpcDown) throw unavailable(downFor ?? "no gRPC here");
    const { type, headers, body } = decodePayload(message);
    const request = JSON.parse(Buffer.from(body).toString()) as Fields;
    calls.push(`${type} ${request.serviceName || request.pageNo || ""}`.trim());
    const answer = grpcAnswer(type, request, headers.get("accessToken"));
    const service = `${request.groupName}@@${request.serviceName}`;
    if (fake.huge.has(service)) throw new GrpcError(grpcStatus.resourceExhausted, "too large");
    const late = fake.late.get(service);
    if (late) {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return payloadOf("QueryServiceResponse", { resultCode: 200, serviceInfo: { hosts: late } });
    }
    return payloadOf(answer.resultCode === 200 ? type.replace("Request", "Response") : "ErrorResponse", answer);
  };
  const open = ({ path }: GrpcCall, handlers: GrpcStreamHandlers): GrpcStream => {
    streams.add(handlers);
    if (downFor !== undefined || path !== nacosMethods.stream)
      queueMicrotask(() => handlers.onEnd(unavailable(downFor ?? path)));
    return {
      send: (message) => {
        const { type, body } = decodePayload(message);
        const { requestId } = JSON.parse(Buffer.from(body).toString()) as Fields;
        if (type === "ConnectionSetupRequest") calls.push(type);
        else answered.push(`${type} ${requestId}`);
      },
      finish: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
      cancel: () => {
        if (streams.delete(handlers)) handlers.onEnd(new GrpcError(grpcStatus.cancelled, "cancelled here"));
      },
    };
  };

  const httpBody = (path: string, query: URLSearchParams): unknown => {
    const group = query.get("groupName") ?? query.get("groupNameParam") ?? "";
    const wrap = (data: unknown): unknown => (fake.version === "v1" ? data : { code: 0, message: "success", data });
    if (path.endsWith("/service/list")) {
      const names = namesOf(group);
      const plain = page(names, query.get("pageNo"), query.get("pageSize")).map((name) => name.split("@@")[1]);
      if (fake.version === "v1") return { count: names.length, doms: plain };
      if (fake.version === "v2") return wrap({ count: names.length, services: plain });
      return wrap({ totalCount: names.length, pageItems: plain.map((name) => ({ name, groupName: group })) });
    }
    const info = infoOf(`${group}@@${query.get("serviceName")}`);
    return wrap(fake.version === "v3" ? info.hosts : info);
  };
  const call = async ({ path, headers, body }: HttpCall): Promise<HttpAnswer> => {
    if (downFor !== undefined) throw new Error(downFor);
    const answer = (status: number, said: unknown): HttpAnswer => ({
      ...{ status, headers: fake.closes ? { connection: "close" } : {} },
      ...{ body: bytesOf(said), reused: fake.newConnections-- <= 0 },
    });
    const url = new URL(path, "http://nacos");
    calls.push(`${url.pathname} ${url.searchParams.get("serviceName") ?? ""}`.trim());
    const version = url.pathname.split("/")[2];
    if (version !== fake.version && !(version === "v1" && fake.version === "v2" && url.pathname.includes("/auth/")))
      return answer(404, "no such path");
    if (url.pathname.endsWith("/login")) {
      const form = new URLSearchParams(body);
      if (`${form.get("username")}:${form.get("password")}` !== fake.user) return answer(403, "unknown user!");
      return answer(200, { accessToken: validToken, tokenTtl: 100 });
    }
    if (fake.user !== "" && headers?.accessToken !== validToken) return answer(403, { message: "unknown user!" });
    return answer(200, httpBody(url.pathname, url.searchParams));
  };

  const fake: FakeNacos = {
    ...{ calls, answered, broken: new Set<string>(), huge: new Set<string>(), unregisteredFor: 0, count: undefined },
    late: new Map(),
    answerLate: () => {
      for (const go of waiting.splice(0)) go();
    },
    ...{ newConnections: 0, closes: false },
    ...{ grpcDown: false, version: "v2", user: "" },
    dial: () => {
      const channel: GrpcChannel = { open, unary, [Symbol.dispose]: () => undefined };
      return { channel, http: { call, [Symbol.dispose]: () => undefined }, [Symbol.dispose]: () => undefined };
    },
    set: (service, hosts) => {
      services.set(service, hosts);
      pushService(service);
    },
    setQuietly: (service, hosts) => void services.set(service, hosts),
    forget: (service) => void services.delete(service),
    push: (type, body) => {
      for (const { onMessage } of [...streams]) onMessage(payloadOf(type, body));
    },
    down: (reason) => {
      downFor = reason;
      subscribed.clear();
      for (const handlers of [...streams]) {
        streams.delete(handlers);
        handlers.onEnd(unavailable(reason));
      }
    },
    up: () => {
      downFor = undefined;
    },
  };
  return fake;
};
