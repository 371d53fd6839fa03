import { Server, ServerCredentials } from "@grpc/grpc-js";

/** A gRPC server that answers `/shop.Names/Get` with its name and the `x-forwarded-client-cert` it was sent. */
export interface GrpcNames extends AsyncDisposable {
  readonly port: number;
}

const same = (bytes: Buffer): Buffer => bytes;
const codecs = {
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

export const startGrpcNames = async (name: string): Promise<GrpcNames> => {
  const server = new Server();
  server.addService(
    { Get: { path: "/shop.Names/Get", requestStream: false, responseStream: false, ...codecs } },
    {
      Get: (call: { metadata: { get(key: string): unknown[] } }, done: (error: null, value: Buffer) => void): void =>
        done(null, Buffer.from([name, ...call.metadata.get("x-forwarded-client-cert")].join(" "))),
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { port, [Symbol.asyncDispose]: async () => server.forceShutdown() };
};
