/** Calls of any method with bytes in and out over grpc-js, for tests. */
import * as grpc from "@grpc/grpc-js";
import { createQueue, type Queue } from "./queue.ts";

const same = (bytes: Buffer): Buffer => bytes;

export interface RawCall extends Disposable {
  send(bytes: Uint8Array): void;
  /** The next message, in order; rejects when the call ends. */
  next(): Promise<Buffer>;
  readonly ended: Promise<grpc.StatusObject>;
}

const clientTo = (address: string, credentials = grpc.credentials.createInsecure()): grpc.Client =>
  new grpc.Client(address, credentials, {
    "grpc.max_receive_message_length": -1,
    "grpc.ssl_target_name_override": "localhost",
  });

export const openRawCall = (address: string, path: string, credentials?: grpc.ChannelCredentials): RawCall => {
  const client = clientTo(address, credentials);
  const call = client.makeBidiStreamRequest(path, same, same);
  const queue: Queue<Buffer> = createQueue();
  call.on("data", (bytes: Buffer) => queue.put(bytes));
  call.on("error", () => {});
  const ended = new Promise<grpc.StatusObject>((resolve) => {
    call.on("status", (status: grpc.StatusObject) => {
      resolve(status);
      queue.fail(new Error(`ended: ${status.code} ${status.details}`));
    });
  });
  return {
    send: (bytes) => void call.write(Buffer.from(bytes)),
    next: queue.next,
    ended,
    [Symbol.dispose]: () => {
      call.cancel();
      client.close();
    },
  };
};

/** Rejects with the call's ServiceError. */
export const rawUnary = (address: string, path: string, bytes: Uint8Array): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const client = clientTo(address);
    client.makeUnaryRequest(path, same, same, Buffer.from(bytes), (error, value) => {
      client.close();
      if (error || !value) reject(error ?? new Error("no answer"));
      else resolve(value);
    });
  });
