/** Nacos by gRPC, the same for Nacos 2 and 3: a stream that makes the connection somebody's and brings pushes, and calls. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { GrpcChannel, GrpcStream } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import {
  type NacosNames,
  type ReadHost,
  readHosts,
  readNames,
  readObject,
  splitName,
} from "@weft/protocols/nacos/answers";
import { decodePayload, encodePayload, type NacosPayload, nacosMethods } from "@weft/protocols/nacos/payload";
import type { SourceTools } from "../outside/source-events.ts";
import { callDeadlineMs, type NacosCalls, NacosRefusal, reading, tooLargeCode } from "./nacos-calls.ts";
import type { NacosToken } from "./nacos-login.ts";
import type { NacosService } from "./nacos-record.ts";

export interface NacosGrpcOptions {
  readonly channel: GrpcChannel;
  readonly namespace: string;
  readonly token: NacosToken;
  readonly pushed: (service: NacosService, hosts: readonly ReadHost[]) => void;
  readonly setTimer: SourceTools["setTimer"];
}

export interface NacosGrpc extends NacosCalls {
  /** Why the stream ended; never rejects. */
  readonly ended: Promise<string>;
}

type Fields = Readonly<Record<string, unknown>>;

/** A server registers a new connection after its stream has begun, and refuses calls until then. */
const setUpTries = 8;
const setUpFirstMs = 20;
const clientVersion = "Nacos-Weft-Client:v2.4.0";
const okCode = 200;

/** Rejects when there is no such server; the channel is the caller's. */
export const openNacosGrpc = async (options: NacosGrpcOptions): Promise<NacosGrpc> => {
  const { channel, namespace, token, setTimer } = options;
  let number = 0;
  const request = async (type: string, fields: Fields): Promise<Fields> => {
    const accessToken = await token();
    const headers = new Map(accessToken === undefined ? [] : [["accessToken", accessToken]]);
    const whole = { requestId: String(++number), module: "naming", headers: {}, ...fields };
    const message = encodePayload({ type, clientIp: "", headers, body: jsonOf(whole) });
    const call = { path: nacosMethods.request, deadlineMs: callDeadlineMs };
    const bytes = await channel.unary(call, message).catch((error: Error) => {
      if (!(error instanceof GrpcError) || error.status !== grpcStatus.resourceExhausted) throw error;
      throw new NacosRefusal(tooLargeCode, error.message);
    });
    return reading(() => readAnswer(decodePayload(bytes)));
  };
  const naming = (type: string, { group, service }: NacosService, fields: Fields): Promise<Fields> =>
    request(type, { namespace, groupName: group, serviceName: service, ...fields });
  const hostsOf = (answer: Fields): readonly ReadHost[] => {
    const hosts = reading(() => readHosts(answer));
    if (!hosts) throw new NacosRefusal(500, "the answer has no instances");
    return hosts;
  };

  const leave = async (service: NacosService): Promise<void> => {
    await naming("SubscribeServiceRequest", service, { subscribe: false, clusters: "" });
  };

  await request("ServerCheckRequest", { module: "internal" });
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  openStream(options, end);
  for (let attempt = 0; ; attempt++) {
    try {
      await Promise.race([request("HealthCheckRequest", { module: "internal" }), rejectedBy(ended)]);
      break;
    } catch (error) {
      if (!(error instanceof NacosRefusal) || error.code !== 301 || attempt >= setUpTries) throw error;
      await new Promise<void>((resolve) => void setTimer(resolve, setUpFirstMs * 2 ** attempt));
    }
  }
  return {
    ended,
    async names(group, pageNo, pageSize): Promise<NacosNames> {
      const fields = { namespace, groupName: group, serviceName: "", pageNo, pageSize, selector: "" };
      const answer = await request("ServiceListRequest", fields);
      const { count, names } = reading(() => readNames(answer));
      return { count, names: names.filter((name) => name.group === "" || name.group === group) };
    },
    follow: async (service) => {
      try {
        return hostsOf(await naming("SubscribeServiceRequest", service, { subscribe: true, clusters: "" }));
      } catch (error) {
        // A push of it would be too large as well, and end the stream for all.
        if (error instanceof NacosRefusal && error.code === tooLargeCode) await leave(service).catch(() => undefined);
        throw error;
      }
    },
    query: async (service) =>
      hostsOf(await naming("ServiceQueryRequest", service, { cluster: "", healthyOnly: false, udpPort: 0 })),
    leave,
  };
};

const jsonOf = (fields: Fields): Uint8Array => Buffer.from(JSON.stringify(fields));

const rejectedBy = (ended: Promise<string>): Promise<never> =>
  ended.then((reason) => {
    throw new Error(reason);
  });

/** Throws for a refusal. */
const readAnswer = ({ type, body }: NacosPayload): Fields => {
  const answer = readObject(body);
  if (answer.resultCode === okCode && type !== "ErrorResponse") return answer;
  const said = typeof answer.message === "string" && answer.message !== "" ? answer.message : "it does not say why";
  throw new NacosRefusal(Number(answer.errorCode) || 500, `Nacos refuses: ${said.slice(0, 200)}`);
};

const openStream = ({ channel, namespace, pushed }: NacosGrpcOptions, end: (reason: string) => void): void => {
  let stream: GrpcStream | undefined;
  const send = (type: string, fields: Fields): void =>
    stream?.send(encodePayload({ type, clientIp: "", headers: new Map(), body: jsonOf(fields) }));
  const message = (bytes: Uint8Array): void => {
    try {
      const { type, body } = decodePayload(bytes);
      const request = readObject(body);
      const known = type.endsWith("Request");
      const answered = known ? `${type.slice(0, -"Request".length)}Response` : "ErrorResponse";
      send(answered, { resultCode: okCode, errorCode: 0, message: "", requestId: request.requestId ?? "" });
      if (type === "NotifySubscriberRequest") push(request, pushed);
      else if (type === "ConnectResetRequest") stop("Nacos asks for another connection");
    } catch (error) {
      stop(`a push cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const stop = (reason: string): void => {
    end(reason);
    stream?.cancel();
  };
  stream = channel.open(
    { path: nacosMethods.stream },
    { onMessage: message, onEnd: (error) => end(error?.message ?? "Nacos ended the stream of its pushes") },
  );
  const labels = { source: "sdk", module: "naming", AppName: "weft" };
  send("ConnectionSetupRequest", { clientVersion, tenant: namespace, labels, abilityTable: {} });
};

const push = (request: Fields, pushed: NacosGrpcOptions["pushed"]): void => {
  const info = (request.serviceInfo ?? {}) as Fields;
  const [group, name] = [request.groupName ?? info.groupName, request.serviceName ?? info.name];
  const hosts = readHosts(request);
  if (typeof name !== "string" || !hosts) return;
  const split = splitName(name);
  pushed({ service: split.service, group: typeof group === "string" ? group : split.group }, hosts);
};
