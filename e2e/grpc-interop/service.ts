/** gRPC's interop service on grpc-js. */
import {
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { inputResponse, readInputSize, readRequest, response } from "./messages.ts";

const bytes = (message: Buffer): Buffer => message;

export const method = (
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): MethodDefinition<Buffer, Buffer> => ({
  path: `/grpc.testing.TestService/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

export const methods = {
  empty: method("EmptyCall", false, false),
  unary: method("UnaryCall", false, false),
  output: method("StreamingOutputCall", false, true),
  input: method("StreamingInputCall", true, false),
  duplex: method("FullDuplexCall", true, true),
};

export const echoInitial = "x-grpc-test-echo-initial";
export const echoTrailing = "x-grpc-test-echo-trailing-bin";

type Call = { readonly metadata: Metadata; sendMetadata(metadata: Metadata): void };
type Reply = (error: { code: number; details: string } | null, message?: Buffer, trailers?: Metadata) => void;

/** Sends the initial metadata that is to be echoed; returns the trailing one. */
const echo = (call: Call): Metadata => {
  const initial = new Metadata();
  for (const value of call.metadata.get(echoInitial)) initial.add(echoInitial, value);
  if (call.metadata.get(echoInitial).length > 0) call.sendMetadata(initial);
  const trailing = new Metadata();
  for (const value of call.metadata.get(echoTrailing)) trailing.add(echoTrailing, value);
  return trailing;
};

const unary = (call: ServerUnaryCall<Buffer, Buffer>, reply: Reply): void => {
  const { responseSizes, status } = readRequest(call.request);
  const trailing = echo(call);
  if (status !== undefined && status.code !== 0) reply({ code: status.code, details: status.message });
  else reply(null, response(responseSizes[0] ?? 0), trailing);
};
const output = (call: ServerWritableStream<Buffer, Buffer>): void => {
  for (const size of readRequest(call.request).responseSizes) call.write(response(size));
  call.end();
};
const input = (call: ServerReadableStream<Buffer, Buffer>, reply: Reply): void => {
  let total = 0;
  call.on("data", (message: Buffer) => {
    total += readInputSize(message);
  });
  call.on("end", () => reply(null, inputResponse(total)));
};
const duplex = (call: ServerDuplexStream<Buffer, Buffer>): void => {
  const trailing = echo(call);
  call.on("data", (message: Buffer) => {
    const { responseSizes, status } = readRequest(message);
    if (status !== undefined && status.code !== 0) {
      call.emit("error", { code: status.code, details: status.message });
      return;
    }
    for (const size of responseSizes) call.write(response(size));
  });
  call.on("end", () => call.end(trailing));
};

export const startInteropServer = async (): Promise<{ readonly port: number } & Disposable> => {
  const server = new Server({ "grpc.max_receive_message_length": -1 });
  server.addService(methods, {
    empty: ((_call: unknown, reply: Reply) => reply(null, Buffer.alloc(0))) as UntypedHandleCall,
    unary: unary as UntypedHandleCall,
    output: output as UntypedHandleCall,
    input: input as UntypedHandleCall,
    duplex: duplex as UntypedHandleCall,
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  return { port, [Symbol.dispose]: () => server.forceShutdown() };
};
