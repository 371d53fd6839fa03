/** gRPC's interop cases on a grpc-js client, as doc/interop-test-descriptions.md has them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Client, credentials, Metadata, type MethodDefinition, type ServiceError, status } from "@grpc/grpc-js";
import { inputRequest, outputRequest, readResponseSize, readTotal, simpleRequest } from "./messages.ts";
import { echoInitial, echoTrailing, method, methods } from "./service.ts";

const bytes = (message: Buffer): Buffer => message;
const empty = Buffer.alloc(0);
const requestSizes = [27_182, 8, 1828, 45_904];
const responseSizes = [31_415, 9, 2653, 58_979];

interface UnaryAnswer {
  readonly message: Buffer;
  readonly error: ServiceError | undefined;
  readonly initial: Metadata;
  readonly trailing: Metadata;
}

const unary = (
  client: Client,
  { path }: MethodDefinition<Buffer, Buffer>,
  message: Buffer,
  metadata = new Metadata(),
): Promise<UnaryAnswer> => {
  const done = Promise.withResolvers<UnaryAnswer>();
  let initial = new Metadata();
  let answer: { message: Buffer; error: ServiceError | undefined } | undefined;
  const call = client.makeUnaryRequest(path, bytes, bytes, message, metadata, (error, reply) => {
    answer = { message: reply ?? empty, error: error ?? undefined };
  });
  call.on("metadata", (got: Metadata) => {
    initial = got;
  });
  call.on("status", ({ metadata: trailing }) =>
    setImmediate(() => done.resolve({ ...(answer ?? { message: empty, error: undefined }), initial, trailing })),
  );
  return done.promise;
};

const openDuplex = (client: Client, metadata = new Metadata(), options: { deadline?: number } = {}) =>
  client.makeBidiStreamRequest(methods.duplex.path, bytes, bytes, metadata, options);
const statusOf = (call: NodeJS.EventEmitter): Promise<{ code: number; details: string; metadata: Metadata }> => {
  call.on("error", () => {});
  return new Promise((resolve) => call.on("status", resolve));
};
const echoMetadata = (): Metadata => {
  const metadata = new Metadata();
  metadata.set(echoInitial, "test_initial_metadata_value");
  metadata.set(echoTrailing, Buffer.from("ababab", "hex"));
  return metadata;
};
const assertEchoed = (initial: Metadata, trailing: Metadata): void => {
  assert.deepEqual(initial.get(echoInitial), ["test_initial_metadata_value"]);
  assert.deepEqual(trailing.get(echoTrailing), [Buffer.from("ababab", "hex")]);
};
const assertStatus = async (client: Client, expected: { code: number; message: string }): Promise<void> => {
  const { error } = await unary(client, methods.unary, simpleRequest(0, 0, expected));
  assert.deepEqual([error?.code, error?.details], [expected.code, expected.message]);
};

export const cases: Readonly<Record<string, (client: Client) => Promise<void>>> = {
  async empty_unary(client) {
    const { message, error } = await unary(client, methods.empty, empty);
    assert.equal(error, undefined);
    assert.equal(message.length, 0);
  },
  async large_unary(client) {
    const { message, error } = await unary(client, methods.unary, simpleRequest(314_159, 271_828));
    assert.equal(error, undefined);
    assert.equal(readResponseSize(message), 314_159);
  },
  async client_streaming(client) {
    const done = Promise.withResolvers<Buffer | undefined>();
    const call = client.makeClientStreamRequest(methods.input.path, bytes, bytes, (error, reply) =>
      error ? done.reject(error) : done.resolve(reply),
    );
    for (const size of requestSizes) call.write(inputRequest(size));
    call.end();
    assert.equal(readTotal((await done.promise) ?? empty), 74_922);
  },
  async server_streaming(client) {
    const call = client.makeServerStreamRequest(methods.output.path, bytes, bytes, outputRequest(responseSizes, 0));
    const got: number[] = [];
    for await (const message of call) got.push(readResponseSize(message));
    assert.deepEqual(got, responseSizes);
  },
  async ping_pong(client) {
    const call = openDuplex(client);
    const ended = statusOf(call);
    for (const [i, size] of responseSizes.entries()) {
      call.write(outputRequest([size], requestSizes[i] ?? 0));
      const [message] = (await once(call, "data")) as [Buffer];
      assert.equal(readResponseSize(message), size);
    }
    call.end();
    assert.equal((await ended).code, status.OK);
  },
  async empty_stream(client) {
    const call = openDuplex(client);
    const ended = statusOf(call);
    call.on("data", () => assert.fail("a message"));
    call.end();
    assert.equal((await ended).code, status.OK);
  },
  async timeout_on_sleeping_server(client) {
    const call = openDuplex(client, new Metadata(), { deadline: Date.now() + 1 });
    const ended = statusOf(call);
    call.write(outputRequest([], 27_182));
    assert.equal((await ended).code, status.DEADLINE_EXCEEDED);
  },
  async cancel_after_begin(client) {
    const done = Promise.withResolvers<ServiceError | null>();
    const call = client.makeClientStreamRequest(methods.input.path, bytes, bytes, (error) => done.resolve(error));
    call.cancel();
    assert.equal((await done.promise)?.code, status.CANCELLED);
  },
  async cancel_after_first_response(client) {
    const call = openDuplex(client);
    const ended = statusOf(call);
    call.write(outputRequest([31_415], 27_182));
    await once(call, "data");
    call.cancel();
    assert.equal((await ended).code, status.CANCELLED);
  },
  async custom_metadata(client) {
    const { error, initial, trailing } = await unary(client, methods.unary, simpleRequest(1, 1), echoMetadata());
    assert.equal(error, undefined);
    assertEchoed(initial, trailing);
    const call = openDuplex(client, echoMetadata());
    const ended = statusOf(call);
    const began = once(call, "metadata");
    call.write(outputRequest([1], 1));
    await once(call, "data");
    call.end();
    assertEchoed(((await began) as [Metadata])[0], (await ended).metadata);
  },
  async status_code_and_message(client) {
    const expected = { code: 2, message: "test status message" };
    await assertStatus(client, expected);
    const call = openDuplex(client);
    const ended = statusOf(call);
    call.on("data", () => {});
    call.write(outputRequest([], 0, expected));
    call.end();
    const { code, details } = await ended;
    assert.deepEqual([code, details], [expected.code, expected.message]);
  },
  special_status_message: (client) =>
    assertStatus(client, {
      code: 2,
      message: "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n",
    }),
  async unimplemented_method(client) {
    const { error } = await unary(client, method("UnimplementedCall", false, false), empty);
    assert.equal(error?.code, status.UNIMPLEMENTED);
  },
  async unimplemented_service(client) {
    const missing = { ...methods.empty, path: "/grpc.testing.UnimplementedService/UnimplementedCall" };
    assert.equal((await unary(client, missing, empty)).error?.code, status.UNIMPLEMENTED);
  },
};

/** A client whose messages may be of any size. */
export const openClient = (port: number): Client & Disposable => {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.enable_retries": 0,
  });
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
};
