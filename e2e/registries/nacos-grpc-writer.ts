/** An application that registers itself at Nacos by gRPC, as the clients of Nacos 2 and 3 do. */
import { createGrpcChannel } from "@weft/net/grpc/client";
import { decodePayload, encodePayload, nacosMethods } from "@weft/protocols/nacos/payload";
import { eventually } from "@weft/testkit/eventually";

export interface NacosGrpcWriter {
  /** The connection ends, and what was registered with it. */
  disconnect(): void;
}

export const registerByGrpc = async (
  { grpcPort }: { readonly grpcPort: number },
  { service, port }: { readonly service: string; readonly port: number },
): Promise<NacosGrpcWriter> => {
  const channel = createGrpcChannel({ target: { kind: "tcp", host: "127.0.0.1", port: grpcPort } });
  const payload = (type: string, fields: Readonly<Record<string, unknown>>): Uint8Array => {
    const body = Buffer.from(JSON.stringify({ requestId: "1", module: "naming", headers: {}, ...fields }));
    return encodePayload({ type, clientIp: "127.0.0.1", headers: new Map(), body });
  };
  const request = async (type: string, fields: Readonly<Record<string, unknown>>): Promise<true | undefined> => {
    const answer = await channel.unary({ path: nacosMethods.request, deadlineMs: 10_000 }, payload(type, fields));
    const { resultCode } = JSON.parse(Buffer.from(decodePayload(answer).body).toString()) as { resultCode: number };
    return resultCode === 200 ? true : undefined;
  };
  const stream = channel.open(
    { path: nacosMethods.stream },
    {
      onMessage: (bytes) => {
        const { type, body } = decodePayload(bytes);
        const { requestId } = JSON.parse(Buffer.from(body).toString()) as { requestId: string };
        stream.send(payload(type.replace(/Request$/, "Response"), { requestId, resultCode: 200 }));
      },
      onEnd: () => undefined,
    },
  );
  stream.send(payload("ConnectionSetupRequest", { clientVersion: "Nacos-Test-Client:v2.4.0", labels: {} }));
  await eventually("the connection is registered", () => request("HealthCheckRequest", {}));
  const instance = {
    ...{ ip: "127.0.0.1", port, weight: 1, healthy: true, enabled: true, ephemeral: true },
    ...{ clusterName: "DEFAULT", serviceName: service, metadata: {} },
  };
  const whole = { namespace: "public", serviceName: service, groupName: "DEFAULT_GROUP", instance };
  await eventually("it is registered", () => request("InstanceRequest", { ...whole, type: "registerInstance" }));
  return { disconnect: () => channel[Symbol.dispose]() };
};
